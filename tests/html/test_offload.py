"""What a page gets from the renderers: a message's HTML, or one of two errors."""

from collections.abc import AsyncIterator

import pytest

from app.html.offload import RENDERERS, RenderersBusy, RenderFailed, render_message
from app.html.stream import render_parts
from app.parts import Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

PARTS: list[Part] = [
    ReasoningPart("Let me see: $x^2$.", duration_ms=2000),
    TextPart("# Heading\n\n```python\nprint(1)\n```\n\n$$\\frac{1}{2}$$"),
    ToolCallPart("1", "look_up", '{"a": "<b>"}'),
    ToolResultPart("1", "<i>found</i>"),
]


@pytest.fixture(autouse=True)
async def renderers() -> AsyncIterator[None]:
    """Children that obey markers, with time enough for a busy machine."""
    usual = RENDERERS.program, RENDERERS.deadline_seconds, RENDERERS.wait_seconds
    RENDERERS.program, RENDERERS.deadline_seconds, RENDERERS.wait_seconds = "tests.children.broken", 60, 60
    yield
    RENDERERS.program, RENDERERS.deadline_seconds, RENDERERS.wait_seconds = usual
    await RENDERERS.close()


async def test_a_child_renders_what_this_process_would() -> None:
    assert await render_message(PARTS, dom="a") == render_parts(PARTS, dom="a")


async def test_a_text_that_breaks_the_renderer_fails() -> None:
    with pytest.raises(RenderFailed):
        await render_message([TextPart("```python\n[[crash]]\n```")], dom="a")


async def test_no_renderer_says_nothing_about_the_text() -> None:
    RENDERERS.program = "tests.children.ends_at_once"
    with pytest.raises(RenderersBusy):
        await render_message(PARTS, dom="a")
