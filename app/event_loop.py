"""Work that may be long is cut into pieces, which together leave about half of the event loop's time to others."""

import asyncio
import time
from typing import Final

#: Of the processor: after so long others have their turn.
MAX_HOLD_SECONDS: Final = 0.004


class Share:
    """About half of the event loop's time, for all such work of this process together.

    A request goes through the loop many times. If such work took all of the rest, each time it would wait for every piece of it.
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
        self.spend(time.thread_time() - began)  # not what the machine did meanwhile

    def spend(self, seconds: float) -> None:
        """So much work was done; whoever begins next waits for as long a rest."""
        self._rested_at = max(self._rested_at, time.monotonic()) + seconds


SHARE: Final = Share()
