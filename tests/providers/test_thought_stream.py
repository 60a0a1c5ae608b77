"""An answer that comes all at once, and is slow to tell apart, leaves the event loop to others."""

from collections.abc import AsyncGenerator

import pytest

from app.parts import ReasoningDelta, TextDelta
from app.providers.base import Event
from app.providers.thinking import Splitter
from app.providers.thought_stream import told_apart
from tests.loop_passes import counted_passes


async def at_once(*events: Event) -> AsyncGenerator[Event, None]:
    for event in events:
        yield event


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
@pytest.mark.parametrize("is_cut", [False, True], ids=["one delta", "many deltas"])
async def test_others_have_their_turn(kind: type[TextDelta] | type[ReasoningDelta], is_cut: bool) -> None:
    text = "<" * 100_000
    deltas = [kind(text[at : at + 50]) for at in range(0, len(text), 50)] if is_cut else [kind(text)]
    async with counted_passes() as passes:
        told = [event async for event in told_apart(at_once(*deltas))]
    assert passes.number > 20
    assert "".join(event.text for event in told if isinstance(event, kind)) == text


async def test_a_long_delta_is_told_apart_as_it_would_be_at_once() -> None:
    text = "<think>" + "a < b, " * 2_000 + "</think>" + "So `<b>` it is. " * 2_000
    told = [event async for event in told_apart(at_once(TextDelta(text)))]
    splitter = Splitter()
    expected = [*splitter.pass_on(TextDelta(text)), *splitter.end()]
    for kind in (TextDelta, ReasoningDelta):
        assert "".join(e.text for e in told if isinstance(e, kind)) == "".join(
            e.text for e in expected if isinstance(e, kind)
        )
