"""Work that may be long is cut into pieces, which together leave about two thirds of the event loop's time to others."""

import asyncio
import time
from typing import Final

#: Of the processor: after so long others have their turn.
MAX_HOLD_SECONDS: Final = 0.004
#: Work is followed by a rest so many times as long.
REST: Final = 2


class Share:
    """About a third of the event loop's time, for all such work of this process together.

    A request goes through the loop many times. If such work took all of the rest, each time it would wait for every piece of it.
    (Half of the time was tried: the longest wait beside deadly texts was 185 ms instead of 115.)
    """

    def __init__(self) -> None:
        self._rested_at = 0.0

    async def rest(self) -> None:
        """Wait until the work of everybody else leaves room for more; a little of the rest may be put off."""
        # While this one sleeps, others may work, and the rest gets longer.
        while (left := self._rested_at - time.monotonic() - MAX_HOLD_SECONDS) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    def spend(self, seconds: float) -> None:
        """Count work that was done, in seconds of the processor: what the machine did meanwhile is not ours."""
        self._rested_at = max(self._rested_at, time.monotonic()) + REST * seconds


SHARE: Final = Share()
