"""The queue: `enqueue` joins the current transaction; modules above add their jobs and schedules to the registries.

PgQueuer stands behind it, in `queue.py`. It takes as long to import as all of Litestar, so a start does not wait for it.
"""

import asyncio
import gc
import importlib
from collections.abc import Awaitable, Callable
from typing import Any


class NotNow(Exception):
    """Raised by a job that this worker cannot do now: it goes back into the queue, for any worker."""


#: name → what to do with the job's payload. A job must bear being run twice, and must not run long: it starts things.
JOBS: dict[str, Callable[[str], Awaitable[None]]] = {}

#: name → (cron expression, what to do). Run by one worker at a time.
SCHEDULES: dict[str, tuple[str, Callable[[], Awaitable[None]]]] = {}


async def enqueue(job: str, payload: str, *, key: str | None = None) -> None:
    """Put a job into the queue with the current transaction. With `key`, at most one such job waits or runs."""
    queue = await _queue()
    await queue.put(job, payload, key)


def enqueued(job: str, payload: str, source: str) -> str:
    """The same as a part of a larger statement: an INSERT of one job for each row of `source`. `payload` is SQL of a text.

    PgQueuer's own columns and their defaults; its trigger tells the workers when the statement commits.
    """
    return (
        "INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, status)"
        f" SELECT 0, '{job}', convert_to({payload}, 'UTF8'), now(), 'queued' FROM {source}"
    )


async def run(url: str, *, is_ending: asyncio.Event) -> None:
    """Take jobs and schedules until `is_ending`; through restarts of Postgres."""
    queue = await _queue()
    await queue.run(url, is_ending=is_ending)


async def load() -> None:
    """Import what stands behind the queue, in a thread: the loop goes on meanwhile."""
    if not _loaded:
        _loaded.append(await asyncio.to_thread(importlib.import_module, "app.jobs.queue"))
        gc.freeze()  # as after the rest of a start: none of it is garbage, ever


_loaded: list[Any] = []


async def _queue() -> Any:
    await load()
    return _loaded[0]
