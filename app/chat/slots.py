"""Room for so many answers at a time, where the number may change meanwhile."""

import asyncio
from collections.abc import Callable


class Slots:
    """`most` is asked anew each time. Who holds a slot keeps it when there are fewer; the next ones wait."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._taken = 0
        self._freed = asyncio.Event()

    @property
    def are_full(self) -> bool:
        """Whether who comes now waits."""
        return self._taken >= self._most()

    async def take(self) -> None:
        """One slot, waited for. The number may have grown without a word: it is looked at every second."""
        while self.are_full:
            self._freed.clear()
            try:
                async with asyncio.timeout(1):
                    await self._freed.wait()
            except TimeoutError:
                continue
        self._taken += 1

    def release(self) -> None:
        """Give one back."""
        self._taken -= 1
        self._freed.set()
