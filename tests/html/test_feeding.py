"""A catch-up, however large, leaves the event loop to others in between, and ends in the same page."""

import asyncio

import pytest

from app.html.feeding import feed
from app.html.stream import AnswerView
from app.parts import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from tests.corpora.markdown import DOCUMENTS

LARGE = {
    "tags": "<" * 300_000,
    "lines": "a | b\n" * 50_000,
    "documents": "\n\n".join([*DOCUMENTS.values()] * 10),
}


@pytest.mark.parametrize("name", LARGE)
async def test_others_have_their_turns_while_a_page_catches_up(name: str) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    others = asyncio.create_task(take_turns())
    view = AnswerView("x")
    await feed(view, [TextDelta(LARGE[name])], 1)
    others.cancel()
    assert turns > 1
    at_once = AnswerView("x")
    at_once.feed([TextDelta(LARGE[name])], 1)
    assert view.html() == at_once.html()


async def test_a_page_is_told_the_same_as_if_it_had_been_fed_at_once() -> None:
    deltas: list[Delta] = [
        ReasoningDelta("Hm.\n\n" + "word " * 1_000),
        ToolCallDelta(0, "c", "find", '{"a": "' + "b" * 5_000),
        TextDelta("\r\n".join(DOCUMENTS.values())),
    ]
    in_slices, at_once = AnswerView("x"), AnswerView("x")
    for seq, delta in enumerate(deltas, 1):
        assert await feed(in_slices, [delta], seq) == at_once.feed([delta], seq)
        assert in_slices.html() == at_once.html()
