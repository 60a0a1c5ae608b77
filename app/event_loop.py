"""Work that may be long is cut into pieces, which together leave about two thirds of the event loop's time to others."""

import asyncio
import time
from typing import Final

#: Of the processor: after so long others have their turn.
MAX_HOLD_SECONDS: Final = 0.004

#: How long a rest is, in times of the work before it.
REST: Final = 2


class Share:
    """About a third of the event loop's time, for all such work of this process together.

    A request goes through the loop many times. If such work took all of the rest, each time it would wait for every piece of it.
    (Half of the time was tried: the longest wait beside deadly texts was 185 ms instead of 115.)
    """

    def __init__(self) -> None:
        self._rested_at = 0.0

    async def begin(self) -> float:
        """Waits where the share is used up. The thread's time at which work begins, which must await nothing until `end`."""
        while (rest := self._rested_at - time.monotonic() - MAX_HOLD_SECONDS) > 0:  # noqa: ASYNC110  others may have begun
            await asyncio.sleep(rest)
        return time.thread_time()

    def end(self, began: float) -> None:
        """Work is followed by a rest twice as long; a little of it may be put off."""
        self.spend(time.thread_time() - began)  # not what the machine did meanwhile

    def spend(self, seconds: float) -> None:
        """So much work was done; whoever begins next waits for the rest."""
        self._rested_at = max(self._rested_at, time.monotonic()) + REST * seconds


SHARE: Final = Share()
