"""One site for all tests of a test process."""

from collections.abc import Iterator

import pytest

from tests.preview.site import Site, running_site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with running_site() as started:
        yield started
