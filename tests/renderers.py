"""Renderers with time enough for a busy machine, and some that break where a text asks for it: `tests/children/broken.py`."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.html.offload import RENDERERS

#: A child has a tenth of our weight (`NICENESS` in `app/children/child.py`): beside test processes that compute it starves.
SECONDS = 240.0
NOT_YET = "This answer is not formatted yet; here is its text."
GIVEN_UP = "This answer could not be formatted; here is its text."


def poison(fault: str) -> str:
    """An answer that does this to whatever renders it."""
    return f"# Here\n\n```python\n[[{fault}]] <b>&\n```\n"


@pytest.fixture(autouse=True)
def patient_renderers() -> Iterator[None]:
    """What computes is ended by its processor time, in tests too; the rest may take as long as it likes."""
    usual = RENDERERS.deadline_seconds, RENDERERS.wait_seconds, RENDERERS.start_seconds
    RENDERERS.deadline_seconds, RENDERERS.wait_seconds, RENDERERS.start_seconds = SECONDS, SECONDS, SECONDS
    yield
    RENDERERS.deadline_seconds, RENDERERS.wait_seconds, RENDERERS.start_seconds = usual


@pytest.fixture
async def broken_renderers() -> AsyncIterator[None]:
    """Children of this process obey such texts."""
    usual, RENDERERS.program = RENDERERS.program, "tests.children.broken"
    yield
    RENDERERS.program = usual
    await RENDERERS.close()
