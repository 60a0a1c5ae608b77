"""PgQueuer: how jobs come into the queue with a transaction, and how a worker takes them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.errors import PgqException, RetryRequested
from pgqueuer.models import Job, Schedule

from app import database
from app.database import AWAY, Outage
from app.jobs import JOBS, SCHEDULES, NotNow

#: A job whose worker has been silent for so long is handed to another one.
HEARTBEAT = timedelta(seconds=8)
#: How many jobs one worker takes at a time, and how many it may hold that have to wait within it.
BATCH, MOST_HELD = 50, 100


async def put(job: str, payload: str, key: str | None) -> None:
    """See `enqueue`."""
    await _queries().enqueue(job, payload.encode(), dedupe_key=key, on_conflict="skip" if key else "raise")


async def run(url: str, *, is_ending: asyncio.Event) -> None:
    """Take jobs and schedules until `is_ending`; through restarts of Postgres."""
    outage = Outage("queue")
    while not is_ending.is_set():
        try:
            async with database.own_connection(url, name="parley queue") as connection:
                outage.end()
                # What a crash of Postgres undoes here is a job that is taken once more, which each of them bears.
                await connection.execute("SET synchronous_commit = off")
                await _run_on(connection, is_ending)
        except (*AWAY, asyncpg.PostgresError, PgqException) as error:
            outage.note(error)
            await asyncio.sleep(0.3)


async def _run_on(connection: "asyncpg.Connection[Any]", is_ending: asyncio.Event) -> None:
    driver = AsyncpgDriver(connection)
    queue = PgQueuer(driver, queries=_Looking(driver))
    for name in JOBS:
        queue.entrypoint(name, accepts_context=False)(_take(name))
    for name, (cron, _) in SCHEDULES.items():
        queue.schedule(name, cron, accepts_context=False, clean_old=True)(_tick(name))
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    running = asyncio.create_task(
        queue.run(
            batch_size=BATCH,
            max_concurrent_tasks=MOST_HELD,
            dequeue_timeout=timedelta(seconds=5),
            heartbeat_timeout=HEARTBEAT,
        )
    )
    waits = [asyncio.create_task(is_ending.wait()), asyncio.create_task(lost.wait())]
    try:
        await asyncio.wait([running, *waits], return_when=asyncio.FIRST_COMPLETED)
        queue.shutdown.set()
        if not lost.is_set():
            await running
    finally:
        for wait in waits:
            wait.cancel()
        # One cancellation ends its loop, another one the jobs that wait within it.
        while not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=0.5)
        if not running.cancelled():
            running.exception()


def _take(name: str) -> Callable[[Job], Awaitable[None]]:
    async def take(job: Job) -> None:
        _held.add(job.id)
        try:
            await JOBS[name]((job.payload or b"").decode())
        except NotNow as error:
            raise RetryRequested from error
        finally:
            _held.discard(job.id)

    return take


def _tick(name: str) -> Callable[[Schedule], Awaitable[None]]:
    async def tick(_schedule: Schedule) -> None:
        await SCHEDULES[name][1]()

    return tick


class _Looking(Queries):
    """PgQueuer asks three more questions before each wait: whether a job came since it last found none, and whether one is
    due later. Ours are all due at once, and a commit since then has sent a notification that the wait sees: PgQueuer
    throws some away while it takes jobs, but looks for jobs again after that.
    """

    async def eligible_queued_work(self, entrypoints: list[Any]) -> int:
        # Who holds as many as allowed leaves jobs in the queue of which no notification comes any more.
        return await super().eligible_queued_work(entrypoints) if len(_held) >= MOST_HELD else 0

    async def next_deferred_eta(self, entrypoints: list[Any]) -> timedelta | None:
        return None

    async def queued_work(self, entrypoints: list[Any]) -> int:
        return 0


_held: set[int] = set()


class _Joining(AsyncpgDriver):
    """PgQueuer's way to the database that joins the current transaction, where there is one."""

    def __init__(self) -> None:
        pass

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(row) for row in await database.fetch(query, *args)]


_made: list[Queries] = []


def _queries() -> Queries:
    if not _made:
        _made.append(Queries(_Joining()))
    return _made[0]
