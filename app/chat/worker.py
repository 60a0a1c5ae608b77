"""A worker: takes generations from the queue, shows that it lives, and resolves those of workers that do not."""

import asyncio
import contextlib
import contextvars
import functools
import os
import secrets
import socket
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import structlog

from app import database, jobs
from app.chat.calls import Connect
from app.chat.ending import Ending
from app.chat.generation import Rules, run
from app.chat.options import defaults
from app.chat.slots import Slots
from app.database import AWAY, Outage, fetch, outlast
from app.live import HandOver, News, Writer
from app.settings import Settings

log = structlog.get_logger()

BEAT_SECONDS = 2.0

AfterEnd = Callable[[Ending], Coroutine[Any, Any, None]]


class Worker:
    """This process as a writer of answers. A fenced worker forgets its generations and goes on under a new id."""

    def __init__(
        self, url: str, settings: Settings, connect: Connect, after_end: AfterEnd, hand_over: HandOver | None = None
    ) -> None:
        self.id = secrets.randbits(62)
        self.writer = Writer(url, self.id, hand_over)
        self.is_ending = asyncio.Event()
        self._url = url
        self._hand_over = hand_over
        self._settings = settings
        self._connect = connect
        self._after_end = after_end
        self._running: dict[uuid.UUID, asyncio.Task[Ending | None]] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._reasons: dict[uuid.UUID, str] = {}
        self._slots = Slots(lambda: settings.max_generations)
        self._is_registered = asyncio.Event()
        self._renewed = asyncio.Event()

    async def run(self) -> None:
        """Work until `drain`; through restarts of Postgres."""
        jobs.JOBS["generation"] = self._start
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live())
            await self._is_registered.wait()
            group.create_task(self._write())
            group.create_task(jobs.run(self._url, is_ending=self.is_ending))

    def hear(self, news: News) -> None:
        """Stop a generation when somebody asked for it, in whatever process."""
        if news.key == "worker" and news.event == "stop":
            self._cancel(uuid.UUID(news.generation), "stopped")

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let running answers go on for a while, then interrupt them; each is stored."""
        self.is_ending.set()
        if self._running and seconds > 0:
            log.info("worker_drained", generations=len(self._running), seconds=seconds)
            await asyncio.wait(self._running.values(), timeout=seconds)
        self._cancel_all()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=5)
        for task in self._after:
            task.cancel()
        with contextlib.suppress(*AWAY, asyncpg.PostgresError):
            await fetch("UPDATE worker SET is_alive = false WHERE id = $1", self.id)

    async def _start(self, payload: str) -> None:
        generation_id = uuid.UUID(payload)
        await self._take_slot()
        if generation_id in self._running:
            # The queue gives a job twice when it has not heard of us for a while.
            self._slots.release()
            return
        # A fresh context: the queue's own must not leak into a task that outlives the job.
        task = asyncio.create_task(self._until_stored(generation_id), context=contextvars.Context())
        self._running[generation_id] = task
        task.add_done_callback(functools.partial(self._finish, generation_id))

    async def _take_slot(self) -> None:
        """Wait until there is room for one more. Raises `NotNow` when this worker ends."""
        if self._slots.are_full:
            waits = [asyncio.create_task(self._slots.take()), asyncio.create_task(self.is_ending.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                has_slot = waits[0].done() and not waits[0].cancelled()
            if not has_slot:
                raise jobs.NotNow
        else:
            await self._slots.take()
        if self.is_ending.is_set() or not self._is_registered.is_set():
            self._slots.release()
            raise jobs.NotNow

    def _finish(self, generation_id: uuid.UUID, task: "asyncio.Task[Ending | None]") -> None:
        self._running.pop(generation_id, None)
        self._reasons.pop(generation_id, None)
        self._slots.release()
        if task.cancelled():
            return
        if error := task.exception():
            log.error("generation_lost", generation_id=str(generation_id), exc_info=error)
            self._follow_up(self._let_go(generation_id, self.id))
        elif (ending := task.result()) is not None and not self.is_ending.is_set():
            self._follow_up(self._after_end(ending))

    def _follow_up(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._after.add(task)
        task.add_done_callback(self._after.discard)

    async def _let_go(self, generation_id: uuid.UUID, worker_id: int) -> None:
        """Nobody writes it any more: `resolution` ends it as it ends those of the dead."""
        await outlast(lambda: fetch(_LET_GO, generation_id, worker_id), "letting go")

    async def _until_stored(self, generation_id: uuid.UUID) -> Ending | None:
        return await run(
            generation_id,
            worker_id=self.id,
            writer=self.writer,
            connect=self._connect,
            rules=Rules(self._settings.generation_deadline_seconds, defaults(self._settings)),
            why_cancelled=lambda: self._reasons.get(generation_id, "interrupted"),
        )

    def _cancel_all(self) -> None:
        for generation_id in list(self._running):
            self._cancel(generation_id, "interrupted")

    def _cancel(self, generation_id: uuid.UUID, why: str) -> None:
        task = self._running.get(generation_id)
        if task is not None and generation_id not in self._reasons:
            self._reasons[generation_id] = why
            task.cancel()

    async def _write(self) -> None:
        """Run the writer; when it is fenced, begin again as a new worker."""
        while True:
            await self.writer.run()
            log.warning("worker_begins_again", worker=self.id)
            self._cancel_all()
            self.id = secrets.randbits(62)
            self.writer = Writer(self._url, self.id, self._hand_over)
            self._is_registered.clear()
            self._renewed.set()
            await self._is_registered.wait()

    async def _live(self) -> None:
        """Hold the lock that says that this worker lives, and say so every few seconds."""
        name = f"{socket.gethostname()}:{os.getpid()}"
        outage = Outage("worker")
        while True:
            try:
                async with database.own_connection(self._url, name="parley worker") as connection:
                    await connection.execute("SET synchronous_commit = off")  # the next beat comes soon
                    await self._beat(connection, name, outage)
            except (*AWAY, asyncpg.PostgresError) as error:
                outage.note(error)
                await asyncio.sleep(0.2)

    async def _beat(self, connection: "asyncpg.Connection[object]", name: str, outage: Outage) -> None:
        held = 0
        while True:
            if held != self.id:
                # Not waited for: after a cut line our own old session may hold it for a while, which serves as well.
                await connection.execute("SELECT pg_advisory_unlock_all()")
                held = self.id if await connection.fetchval("SELECT pg_try_advisory_lock($1)", self.id) else 0
            if not self._is_registered.is_set():
                await connection.execute(_REGISTER, self.id, name)
                self._is_registered.set()
            elif not await connection.fetchval(_BEAT, self.id):
                self.writer.fence()
            outage.end()
            if self._running:
                # News are heard once or never; what was asked stands in the rows.
                for row in await connection.fetch(_STOPPED, list(self._running)):
                    self._cancel(row["id"], "stopped")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):  # `wait_for` may lose a cancellation on Python 3.11
                    await self._renewed.wait()
            self._renewed.clear()


_REGISTER = """
INSERT INTO worker (id, name, is_alive, started_at, seen_at) VALUES ($1, $2, true, now(), now())
ON CONFLICT (id) DO UPDATE SET seen_at = now()
"""

# A worker that was declared dead stays so: its row is never made alive again, it must take a new id.
_BEAT = "UPDATE worker SET seen_at = now() WHERE id = $1 RETURNING is_alive"

_LET_GO = "UPDATE generation SET worker = NULL WHERE id = $1 AND worker = $2 AND state = 'running'"

_STOPPED = """
SELECT r.id FROM unnest($1::uuid[]) AS r (id) LEFT JOIN generation AS g ON g.id = r.id
WHERE g.id IS NULL OR (g.is_stop_requested AND g.state = 'running')
"""
