"""A worker as it carries out tasks of models: each ends once, with a reason, and can be taken over by another worker."""

import asyncio
import contextlib
import contextvars
import functools
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

import asyncpg
import msgspec
import structlog

from app import jobs
from app.chat.calls import Connect
from app.chat.tasks import JOB, PAGES
from app.chat.worker import Worker
from app.database import AWAY, fetch, fetch_row, outlast, transaction
from app.live import News, tell
from app.providers import PROVIDERS
from app.providers.errors import ProviderError
from app.providers.keeping import Keeper, Progress, Pull
from app.words import gettext as _

log = structlog.get_logger()

#: So often a page hears how far a task is.
SAY_SECONDS = 0.4
#: And so often while nothing happens.
SILENT_SECONDS = 2.0
#: What is kept of what a model server says meanwhile.
MOST_LOG_CHARS = 16_000

#: Asks a provider for its models again: after a task they are others, or in another state.
Refresh = Callable[[uuid.UUID], Awaitable[object]]


class Superseded(Exception):
    """The task is another worker's by now, or gone."""


class TaskRunner:
    """The tasks of one worker. `hear` news of cancellations, `drain` before the worker ends."""

    def __init__(
        self, worker: Worker, connect: Connect, refresh: Refresh, note_engines: Callable[[], Awaitable[None]]
    ) -> None:
        self._worker = worker
        self._connect = connect
        self._refresh = refresh
        self._note_engines = note_engines
        self._running: dict[uuid.UUID, asyncio.Task[None]] = {}
        # Of those that run, the part that may be broken off: a claim or an end that is torn apart leaves a task to nobody.
        self._work: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._cancelled: set[uuid.UUID] = set()
        self._after: set[asyncio.Task[None]] = set()
        jobs.JOBS[JOB] = self._start

    def hear(self, news: News) -> None:
        """Cancel a task when somebody asked for it, in whatever process."""
        if news.key == "worker" and news.event == "cancel_task" and (task := uuid.UUID(news.task)) in self._running:
            self._cancelled.add(task)
            self._break_off(task)

    async def drain(self) -> None:
        """Put back what runs: another worker, or this one when it is started again, goes on with it."""
        for task_id in list(self._work):
            self._break_off(task_id)
        for after in self._after:
            after.cancel()
        if running := [*self._running.values(), *self._after]:
            await asyncio.wait(running, timeout=5)

    def _break_off(self, task_id: uuid.UUID) -> None:
        if work := self._work.get(task_id):
            work.cancel()

    async def _start(self, payload: str) -> None:
        if self._worker.is_ending.is_set():
            raise jobs.NotNow
        task_id = uuid.UUID(payload)
        if task_id in self._running:
            # It has told its end and is about to be forgotten, or runs: then there is nothing left to claim.
            self._running[task_id].add_done_callback(lambda _: self._begin(task_id))
            return
        self._begin(task_id)

    def _begin(self, task_id: uuid.UUID) -> None:
        if self._worker.is_ending.is_set() or task_id in self._running:
            return
        # A fresh context: the queue's own must not leak into a task that outlives the job.
        task = asyncio.create_task(self._run(task_id), context=contextvars.Context())
        self._running[task_id] = task
        task.add_done_callback(functools.partial(self._forget, task_id))

    def _forget(self, task_id: uuid.UUID, task: "asyncio.Task[None]") -> None:
        self._running.pop(task_id, None)
        self._work.pop(task_id, None)
        self._cancelled.discard(task_id)
        if not task.cancelled() and (error := task.exception()):
            log.error("model_task_lost", task_id=str(task_id), exc_info=error)
            self._start_after(self._give_up(task_id))

    async def _run(self, task_id: uuid.UUID) -> None:
        row = await outlast(functools.partial(fetch_row, _CLAIM, task_id, self._worker.id), "task")
        if row is None:
            return
        keeper = self._connect(row)
        assert isinstance(keeper, Keeper)  # nobody is offered tasks of other providers
        telling = Telling(row)
        work = self._work[task_id] = asyncio.create_task(_carry_out(row, keeper, telling))
        if task_id in self._cancelled or self._worker.is_ending.is_set():
            work.cancel()
        await asyncio.wait([work])
        error, state = "", "done"
        try:
            work.result()
        except asyncio.CancelledError:
            state = "cancelled" if task_id in self._cancelled or telling.is_cancelled else "queued"
        except ProviderError as failure:
            state, error = "failed", failure.sentence
        except (OSError, asyncpg.PostgresError) as failure:
            log.warning("model_task_broke", task_id=str(task_id), error=type(failure).__name__)
            state, error = "failed", _("Something went wrong inside Parley while this was done. Try it again.")
        except Superseded:
            return
        await self._end(row, keeper, telling, state, error)

    async def _end(self, row: Mapping[str, Any], keeper: Keeper, telling: "Telling", state: str, error: str) -> None:
        if state == "cancelled" and row["task"] == "pull":
            with contextlib.suppress(ProviderError, OSError):
                await keeper.discard(_pull_of(row))
        if PROVIDERS[row["kind"]].runs_here:
            # Who hears of the end looks at once, and should find the model where it is now.
            with contextlib.suppress(*AWAY, asyncpg.PostgresError):
                await self._note_engines()
        await outlast(functools.partial(_finish, row, telling, state, error), "task")
        log.info(
            "model_task_ended", task_id=str(row["id"]), kind=row["task"], model=row["model_name"], state=state,
            bytes=telling.progress.done_bytes,
        )  # fmt: skip
        if state != "queued" and not self._worker.is_ending.is_set():
            # Not a part of the task: that may be asked for again from here on.
            self._start_after(self._look(row["provider"]))

    def _start_after(self, work: Coroutine[Any, Any, None]) -> None:
        after = asyncio.get_running_loop().create_task(work)
        self._after.add(after)
        after.add_done_callback(self._after.discard)

    async def _give_up(self, task_id: uuid.UUID) -> None:
        """Whatever went wrong, nobody goes on with it: without this it would seem to run for ever."""
        sentence = _("Something went wrong inside Parley while this was done. Try it again.")
        await outlast(functools.partial(fetch, _LOST, task_id, self._worker.id, sentence), "task")
        await tell(News(key=PAGES, event="task", task=str(task_id), is_final=True))

    async def _look(self, provider: uuid.UUID) -> None:
        with contextlib.suppress(*AWAY, asyncpg.PostgresError):
            await self._refresh(provider)
            for news in (News(key=PAGES, event="models"), News(key="everybody", event="catalog")):
                await tell(news)


async def _carry_out(row: Mapping[str, Any], keeper: Keeper, telling: "Telling") -> None:
    name = row["model_name"]
    await telling.say()
    match row["task"]:
        case "pull":
            await telling.follow(keeper.pull(_pull_of(row)))
        case "load":
            await telling.follow(keeper.load(name))
        case "unload":
            await _let_go(row, keeper)
        case "delete":
            await _let_go(row, keeper)
            await keeper.delete(name)


async def _let_go(row: Mapping[str, Any], keeper: Keeper) -> None:
    """Unload a model here, and in every other worker that runs it itself."""
    if PROVIDERS[row["kind"]].runs_here:
        await tell(News(key="worker", event="unload", title=row["model_name"]))
    await keeper.unload(row["model_name"])


def _pull_of(row: Mapping[str, Any]) -> Pull:
    return msgspec.json.decode(row["options"], type=Pull)


class Telling:
    """How far a task is, as the row and the open pages know it."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.progress = Progress("connecting")
        self.log = ""
        self.is_cancelled = False
        self._row = row
        self._is_unsaid = False
        self._marks: list[tuple[float, int]] = []

    async def follow(self, steps: AsyncGenerator[Progress, None]) -> None:
        """Take every step, and say from time to time how far it is. Raises `Superseded`."""
        taking = asyncio.create_task(self._take(steps))
        try:
            while not taking.done():
                await asyncio.wait([taking], timeout=SAY_SECONDS)
                # A line that has come to a halt is told of too: its speed falls.
                if self._is_unsaid or time.monotonic() - self._marks[-1][0] > SILENT_SECONDS:
                    await self.say()
            taking.result()
        finally:
            taking.cancel()
            await asyncio.wait([taking])

    async def _take(self, steps: AsyncGenerator[Progress, None]) -> None:
        async with contextlib.aclosing(steps):
            async for step in steps:
                self.progress, self._is_unsaid = step, True
                if step.line:
                    self.log = (self.log + step.line.rstrip("\n") + "\n")[-MOST_LOG_CHARS:]

    async def say(self) -> None:
        """Store how far it is and tell the pages. Raises `Superseded`, and `CancelledError` if that was asked for."""
        self._is_unsaid = False
        self._marks = [*self._marks, (time.monotonic(), self.progress.done_bytes)][-20:]
        try:
            told = await fetch_row(
                _SAY, self._row["id"], self._row["worker"], self._row["attempt"], self.progress.phase,
                self.progress.done_bytes, self.progress.total_bytes, self.speed, self.log.replace("\x00", ""),
                _encoded(News(key=PAGES, event="progress", task=str(self._row["id"]))),
            )  # fmt: skip
        except AWAY:
            return  # it is said the next time
        if told is None:
            raise Superseded
        if told["is_cancel_requested"]:
            self.is_cancelled = True
            raise asyncio.CancelledError

    @property
    def speed(self) -> float | None:
        """Bytes per second of late; None while that is not known."""
        (began, first), (now, last) = self._marks[0], self._marks[-1]
        return (last - first) / (now - began) if last > first and now > began else None


async def _finish(row: Mapping[str, Any], telling: Telling, state: str, error: str) -> None:
    async with transaction():
        ended = await fetch_row(
            _END, row["id"], row["worker"], row["attempt"], state, error, telling.log.replace("\x00", ""),
            telling.progress.done_bytes,
        )  # fmt: skip
        if ended is None:
            return
        if (state := ended["state"]) == "queued":
            await jobs.enqueue(JOB, str(row["id"]))
        await tell(News(key=PAGES, event="task", task=str(row["id"]), is_final=state != "queued"))


def _encoded(news: News) -> str:
    return msgspec.json.encode(news).decode()


_CLAIM = """
WITH claimed AS (
    UPDATE model_task SET state = 'running', worker = $2, attempt = attempt + 1, started_at = coalesce(started_at, now())
    WHERE id = $1 AND state = 'queued' AND EXISTS (SELECT 1 FROM worker WHERE id = $2 AND is_alive)
    RETURNING id, kind AS task, model_name, options, worker, attempt, provider
)
SELECT c.*, p.kind, p.name AS provider_name, p.base_url, p.base_url_sealed, p.key_sealed, p.allows_private,
       coalesce(m.engine, '{}') AS engine
FROM claimed AS c JOIN provider AS p ON p.id = c.provider
LEFT JOIN model AS m ON m.provider = c.provider AND m.name = c.model_name
"""

_SAY = """
WITH said AS (
    UPDATE model_task SET phase = $4, done_bytes = $5, total_bytes = $6, bytes_per_second = $7, log = $8
    WHERE id = $1 AND worker = $2 AND attempt = $3 AND state = 'running' RETURNING is_cancel_requested
)
SELECT is_cancel_requested, pg_notify('parley_news', $9)::text FROM said
"""

# What failed just when somebody cancelled it is taken up once more, to be cancelled: its remains are thrown away then.
_END = """
UPDATE model_task AS t SET state = e.state, error = $5, log = $6, done_bytes = $7, bytes_per_second = NULL,
    ended_at = CASE WHEN e.state <> 'queued' THEN now() END, worker = CASE WHEN e.state <> 'queued' THEN worker END
FROM (
    SELECT CASE WHEN $4::varchar = 'failed' AND is_cancel_requested THEN 'queued' ELSE $4::varchar END AS state
    FROM model_task WHERE id = $1 FOR UPDATE
) AS e
WHERE t.id = $1 AND t.worker = $2 AND t.attempt = $3 AND t.state = 'running' RETURNING t.state
"""

_LOST = """
UPDATE model_task SET state = 'failed', error = $3, ended_at = now() WHERE id = $1 AND worker = $2 AND state = 'running'
"""
