"""A visitor of the small app behind the guard."""

from collections.abc import AsyncIterator

import pytest

from tests.controllers.guarded import Visitor


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    """A browser that is signed out, on the small app."""
    async with Visitor() as browser:
        yield browser
