"""Renderers that break where a text asks for it: see `tests/children/broken.py`."""

from collections.abc import AsyncIterator

import pytest

from app.html.offload import RENDERERS

NOT_YET = "This answer is not formatted yet; here is its text."
GIVEN_UP = "This answer could not be formatted; here is its text."


def poison(fault: str) -> str:
    """An answer that does this to whatever renders it."""
    return f"# Here\n\n```python\n[[{fault}]] <b>&\n```\n"


@pytest.fixture
async def broken_renderers() -> AsyncIterator[None]:
    """Children of this process obey such texts, with time enough for a busy machine."""
    usual = RENDERERS.program, RENDERERS.deadline_seconds, RENDERERS.wait_seconds
    RENDERERS.program, RENDERERS.deadline_seconds, RENDERERS.wait_seconds = "tests.children.broken", 60, 60
    yield
    RENDERERS.program, RENDERERS.deadline_seconds, RENDERERS.wait_seconds = usual
    await RENDERERS.close()
