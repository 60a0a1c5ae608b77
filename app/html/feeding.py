"""Feeds a running answer's view what was written meanwhile, however much it is, without holding the event loop."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from app.event_loop import MAX_HOLD_SECONDS, SHARE
from app.html.stream import AnswerView, Op
from app.parts import Delta, ToolCallDelta

#: So many characters are taken before the clock is looked at.
MAX_PIECE_CHARS: Final = 1_000


async def feed(view: AnswerView, deltas: Iterable[Delta], seq: int) -> list[Op]:
    """As `view.feed`, with pauses. Nothing else may use the view meanwhile."""
    await SHARE.rest()
    began = time.thread_time()
    for delta in deltas:
        for piece in _cut(delta):
            view.take(piece)
            if (worked := time.thread_time() - began) > MAX_HOLD_SECONDS:
                SHARE.spend(worked)
                await SHARE.rest()
                began = time.thread_time()
    ops = view.step(seq)
    SHARE.spend(time.thread_time() - began)
    return ops


def _cut(delta: Delta) -> Iterator[Delta]:
    if isinstance(delta, ToolCallDelta) or len(delta.text) <= MAX_PIECE_CHARS:
        yield delta
        return
    for start in range(0, len(delta.text), MAX_PIECE_CHARS):
        yield msgspec.structs.replace(delta, text=delta.text[start : start + MAX_PIECE_CHARS])
