"""Feeds a running answer's view what was written meanwhile, however much it is, without holding the event loop."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from app.html.stream import AnswerView, Op
from app.parts import Delta, ToolCallDelta

#: Of the processor: after so long others have their turn. One piece takes far less, whatever stands in it.
MAX_HOLD_SECONDS: Final = 0.004
MAX_PIECE_CHARS: Final = 1_000


class Share:
    """About half of the event loop's time, for all views of this process together.

    A request goes through the loop many times. If views took all of the rest, each time it would wait for every one of them.
    """

    def __init__(self) -> None:
        self._rested_at = 0.0

    async def begin(self) -> float:
        """Waits where the share is used up. The thread's time at which work begins, which must await nothing until `end`."""
        while (rest := self._rested_at - time.monotonic() - MAX_HOLD_SECONDS) > 0:  # noqa: ASYNC110  others may have begun
            await asyncio.sleep(rest)
        return time.thread_time()

    def end(self, began: float) -> None:
        """Work is followed by as long a rest; a little of it may be put off."""
        worked = time.thread_time() - began  # not what the machine did meanwhile
        self._rested_at = max(self._rested_at, time.monotonic()) + worked


SHARE: Final = Share()


async def feed(view: AnswerView, deltas: Iterable[Delta], seq: int) -> list[Op]:
    """As `view.feed`, with pauses. Nothing else may use the view meanwhile."""
    began = await SHARE.begin()
    for delta in deltas:
        for piece in _cut(delta):
            view.take(piece)
            if time.thread_time() - began > MAX_HOLD_SECONDS:
                SHARE.end(began)
                began = await SHARE.begin()
    ops = view.step(seq)
    SHARE.end(began)
    return ops


def _cut(delta: Delta) -> Iterator[Delta]:
    if isinstance(delta, ToolCallDelta) or len(delta.text) <= MAX_PIECE_CHARS:
        yield delta
        return
    for start in range(0, len(delta.text), MAX_PIECE_CHARS):
        yield msgspec.structs.replace(delta, text=delta.text[start : start + MAX_PIECE_CHARS])
