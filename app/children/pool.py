"""A few children of one program, started when they are first needed: ask one, and replace the one that failed.

Failed    the child took too long, too much memory, or crashed: the same request would fail again
Busy      no child was free in time, or none could be started: it says nothing about the request
"""

import asyncio
import os
import time
from typing import Final

import structlog

from app.children.child import START_SECONDS, Child, ChildEnded
from app.children.turns import NoPlace, Turns

log = structlog.get_logger()

#: On the wall. What computes for long is ended by its processor time; a busy machine lets this pass several times.
DEADLINE_SECONDS: Final = 3.0
#: How long a request waits for a child.
WAIT_SECONDS: Final = 4.0
#: A child that was not asked for so long ends.
IDLE_SECONDS: Final = 300.0


class Failed(Exception):
    """The child could not answer this request."""


class Busy(Exception):
    """There was no child for this request."""


class Pool:
    """At most `size` children of `program`, a module that calls `serve`. One person never keeps all of them busy.

    Tests give other programs and times, before the first request.
    """

    def __init__(
        self,
        program: str,
        *,
        size: int | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
        start_seconds: float = START_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.program = program
        self.deadline_seconds = deadline_seconds
        self.wait_seconds = wait_seconds
        self.start_seconds = start_seconds
        self.idle_seconds = idle_seconds
        self._turns = Turns(size or max(2, min(4, os.cpu_count() or 2)))
        self._idle: list[tuple[float, Child]] = []  # since when, the last one used at the end
        self._busy: set[Child] = set()
        self._closings = 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many children work at a request, and how many wait for one."""
        return len(self._busy), len(self._idle)

    async def ask(self, request: bytes, *, person: str = "", seconds: float | None = None) -> bytes:
        """The program's answer. `person` is whose request it is. Raises `Failed`, `Busy`."""
        try:
            async with self._turns.place(person, wait_seconds=self.wait_seconds):
                return await self._ask(await self._take(), request, seconds or self.deadline_seconds)
        except NoPlace:
            raise Busy from None

    async def run(self) -> None:
        """Ends children that were idle for long. Runs as long as the process."""
        while True:
            await asyncio.sleep(self.idle_seconds / 10)
            ends_before = time.monotonic() - self.idle_seconds
            while self._idle and self._idle[0][0] < ends_before:
                await self._idle.pop(0)[1].end()

    async def close(self) -> None:
        """End all children. A request under way is told that the pool is busy; a later one starts a child again."""
        self._closings += 1
        for child in self._busy:
            child.kill()
        while self._idle:
            await self._idle.pop()[1].end()

    async def _ask(self, child: Child, request: bytes, seconds: float) -> bytes:
        closings, why = self._closings, "cancelled"
        self._busy.add(child)
        try:
            answer = await child.ask(request, seconds=seconds)
            why = ""
        except ChildEnded as error:
            why = str(error)
            raise (Failed if closings == self._closings else Busy) from None
        finally:
            self._busy.discard(child)
            if why:
                log.warning("child_killed", program=child.program, why=why, code=await child.end())
            else:
                self._idle.append((time.monotonic(), child))
        return answer

    async def _take(self) -> Child:
        """A child that waits for a request, or a new one."""
        while self._idle:
            _since, child = self._idle.pop()
            if child.is_alive and child.program == self.program:
                return child
            await child.end()
        try:
            return await Child.start(self.program, seconds=self.start_seconds)
        except (ChildEnded, OSError) as error:
            log.warning("child_did_not_start", program=self.program, why=str(error))
            raise Busy from None
