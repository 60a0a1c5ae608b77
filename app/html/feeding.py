"""Feeds a running answer's view what was written meanwhile, however much it is, without holding the event loop."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from app.html.stream import AnswerView, Op
from app.parts import Delta, ToolCallDelta

#: After so long others have their turn. One piece takes far less, whatever stands in it.
MAX_HOLD_SECONDS: Final = 0.004
MAX_PIECE_CHARS: Final = 1_000


async def feed(view: AnswerView, deltas: Iterable[Delta], seq: int) -> list[Op]:
    """As `view.feed`, with pauses. Nothing else may use the view meanwhile."""
    began = time.monotonic()
    for delta in deltas:
        for piece in _cut(delta):
            view.take(piece)
            if time.monotonic() - began > MAX_HOLD_SECONDS:
                await asyncio.sleep(0)
                began = time.monotonic()
    return view.step(seq)


def _cut(delta: Delta) -> Iterator[Delta]:
    if isinstance(delta, ToolCallDelta) or len(delta.text) <= MAX_PIECE_CHARS:
        yield delta
        return
    for start in range(0, len(delta.text), MAX_PIECE_CHARS):
        yield msgspec.structs.replace(delta, text=delta.text[start : start + MAX_PIECE_CHARS])
