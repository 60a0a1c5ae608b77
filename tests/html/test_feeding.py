"""A catch-up, however large, leaves the event loop to others in between, and ends in the same page."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from app.event_loop import MAX_HOLD_SECONDS
from app.html.feeding import feed
from app.html.stream import AnswerView
from app.parts import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from tests.corpora.markdown import DOCUMENTS
from tests.loop_passes import counted_passes

LARGE = {
    "tags": "<" * 300_000,
    "lines": "a | b\n" * 50_000,
    "documents": "\n\n".join([*DOCUMENTS.values()] * 10),
}


@pytest.mark.parametrize("name", LARGE)
async def test_others_have_their_turns_while_a_page_catches_up(name: str) -> None:
    view = AnswerView("x")
    async with counted_passes() as passes:
        await feed(view, [TextDelta(LARGE[name])], 1)
    assert passes.number > 1
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


async def test_many_pages_that_catch_up_leave_as_much_of_the_loop_as_one() -> None:
    """What others do takes many ways through the loop, and on each they meet a page at most, not all of them."""
    slices = 0

    def slow() -> Iterator[Delta]:
        nonlocal slices
        for _ in range(5):
            works_until = time.thread_time() + 1.5 * MAX_HOLD_SECONDS
            while time.thread_time() < works_until:
                pass
            slices += 1
            yield TextDelta("word ")

    async with counted_passes() as passes:
        await asyncio.gather(*(feed(AnswerView("x"), slow(), 1) for _ in range(12)))
    assert slices == 60
    assert passes.number > slices, "the pages together held the loop"


async def test_a_page_that_gets_a_word_waits_for_nothing() -> None:
    view = AnswerView("x")
    await asyncio.sleep(20 * MAX_HOLD_SECONDS)  # nothing of other tests is left to rest for
    async with counted_passes() as passes:
        await feed(view, [TextDelta("word")], 1)
    assert passes.number == 0
