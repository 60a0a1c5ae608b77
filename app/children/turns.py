"""Who may use one of a few places next: people take turns, and one person never holds them all."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator


class NoPlace(Exception):
    """No place became free in time."""


class Turns:
    """`size` places. One person holds at most all but one; those who wait are served person by person."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._most = max(1, size - 1)
        self._held: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, collections.deque[asyncio.Future[None]]] = {}  # in the order of their turns

    @contextlib.asynccontextmanager
    async def place(self, person: str, *, wait_seconds: float) -> AsyncIterator[None]:
        """A place, held within the `with`. Raises `NoPlace`."""
        if self._free and self._held[person] < self._most:
            self._take(person)
        else:
            await self._wait(person, wait_seconds)
        try:
            yield
        finally:
            self._give_back(person)

    async def _wait(self, person: str, seconds: float) -> None:
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(person, collections.deque()).append(given)
        has_come = False
        try:
            async with asyncio.timeout(seconds):
                await given
            has_come = True
        except TimeoutError:
            raise NoPlace from None
        finally:
            if not has_come:
                self._leave(person, given)

    def _leave(self, person: str, given: "asyncio.Future[None]") -> None:
        if given.done() and not given.cancelled():  # it was given in the moment of leaving
            self._give_back(person)
            return
        queue = self._waiting.get(person)
        if queue and given in queue:  # otherwise it was passed over
            queue.remove(given)
            if not queue:
                del self._waiting[person]

    def _take(self, person: str) -> None:
        self._free -= 1
        self._held[person] += 1

    def _give_back(self, person: str) -> None:
        self._free += 1
        self._held[person] -= 1
        if not self._held[person]:
            del self._held[person]
        while (waiting := self._next()) is not None:
            next_person, given = waiting
            if not given.done():  # otherwise its time has just run out, and it leaves in a moment
                self._take(next_person)
                given.set_result(None)
                return

    def _next(self) -> "tuple[str, asyncio.Future[None]] | None":
        """Takes the next wait out of its queue, and moves the rest of that person's behind all others."""
        person = next((each for each in self._waiting if self._held[each] < self._most), None)
        if person is None:
            return None
        queue = self._waiting.pop(person)
        given = queue.popleft()
        if queue:
            self._waiting[person] = queue
        return person, given
