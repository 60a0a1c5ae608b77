"""How late the event loop is: what holds it up holds up every page of this process."""

import asyncio
from collections import deque

BEAT_SECONDS = 0.5
#: So many beats are remembered: 15 seconds, the usual pause between two scrapes.
REMEMBERED = 30


class Pulse:
    """Beats in the loop, and notes by how much each beat was late."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def lag_seconds(self) -> float:
        """The latest of the beats remembered."""
        return max(self._late, default=0.0)

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(BEAT_SECONDS)
            self._late.append(round(max(0.0, loop.time() - began - BEAT_SECONDS), 4))
