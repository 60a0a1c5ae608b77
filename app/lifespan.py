"""What lives as long as the process: the pool, the HTTP client, the live reader, the worker, the look for dead workers."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine

import httpx
import structlog

from app import database, jobs
from app.chat import catalog, circuit, reachability, resolution, upkeep
from app.chat.calls import Connect
from app.chat.engine_rows import EngineRows
from app.chat.health import Process
from app.chat.task_runner import TaskRunner
from app.chat.title import naming
from app.chat.worker import Worker
from app.html.renderers import RENDERERS
from app.instance import holding, sealing
from app.live import Reader
from app.providers.client import make_client
from app.providers.engines import ENGINES
from app.settings import Settings

log = structlog.get_logger()


class Running:
    """The parts of a running process that requests may ask for."""

    def __init__(self, reader: Reader, client: httpx.AsyncClient, connect: Connect, worker: Worker | None) -> None:
        self.reader = reader
        self.client = client
        self.connect = connect
        self.worker = worker
        self.process = Process(reader, worker)
        self.is_hurried = False

    def begin_shutdown(self, *, is_hurried: bool = False) -> None:
        """The process was told to end: streams finish by themselves, no new job is taken. Safe to call twice."""
        self.is_hurried = self.is_hurried or is_hurried
        self.reader.end()
        if self.worker is not None:
            self.worker.is_ending.set()


@contextlib.asynccontextmanager
async def run(url: str, settings: Settings, *, with_worker: bool) -> AsyncIterator[Running]:
    """Everything that a process does beside answering requests, started and ended in order."""
    await database.open_pool(url, size=settings.pool_size)
    try:
        await holding.take()
        await sealing.seal_addresses()
        await sealing.bind_settings()
        await catalog.ensure_builtin(settings)
        async with make_client(settings.ca_file) as client:
            connect = catalog.connector(client, settings)
            await catalog.refresh_builtin(connect)
            reader = Reader(url)
            work = Work(url, settings, connect, reader) if with_worker else None
            running = Running(reader, client, connect, work.worker if work else None)
            _current.append(running)
            follower = holding.Follower()
            reader.hears.append(follower.hear)
            reader.begins.append(follower.doubt)
            if work is not None:
                follower.tells.append(work.configure)
            parts = (jobs.load, reader.run, follower.run, resolution.run, running.process.pulse.run, RENDERERS.run)
            async with _in_background(*parts, *(work.parts if work else ())):
                try:
                    yield running
                finally:
                    running.begin_shutdown()
                    _current.remove(running)
                    if work is not None:
                        seconds = min(settings.drain_seconds, 2.0) if running.is_hurried else settings.drain_seconds
                        await work.drain(seconds)
            await ENGINES.close()
            await RENDERERS.close()
    finally:
        await database.close_pool()


class Work:
    """What a process does as a worker: answers, tasks of models, schedules. `parts` run as long as the process."""

    def __init__(self, url: str, settings: Settings, connect: Connect, reader: Reader) -> None:
        self._settings = settings
        self.configure()
        refresh = functools.partial(catalog.refresh, connect=connect)
        self.worker = Worker(url, settings, connect, naming(connect, settings), reader.hand_over)
        rows = EngineRows(self.worker, ENGINES, settings.models_folder)
        self._runner = TaskRunner(self.worker, connect, refresh, rows.write)
        self._probes = reachability.Probes(refresh)
        self.parts = (self.worker.run, rows.run)
        reader.hears += [self.worker.hear, self._runner.hear, rows.hear]
        jobs.SCHEDULES["probe"] = ("* * * * * */5", self._probe)
        jobs.SCHEDULES["catalog"] = ("* * * * * */10", lambda: catalog.refresh_due(settings.catalog_seconds, connect))
        jobs.SCHEDULES["upkeep"] = ("* * * * *", upkeep.run)

    def configure(self) -> None:
        """Tell the engines what the settings say now."""
        limit_mb = self._settings.engine_memory_mb
        ENGINES.configure(
            idle_seconds=self._settings.engine_idle_seconds, limit_bytes=limit_mb * 1_000_000 if limit_mb else None
        )

    async def _probe(self) -> None:
        await circuit.close_quiet()
        await self._probes.start_due()

    async def drain(self, seconds: float) -> None:
        """Put back what others can go on with; let answers go on for so long."""
        await self._probes.stop()
        await self._runner.drain()
        await self.worker.drain(seconds)


@contextlib.asynccontextmanager
async def _in_background(*parts: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_keep_running(part)) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(part: Callable[[], Coroutine[None, None, None]]) -> None:
    """A part that fails in a way that nobody foresaw is begun again: without it the process would only seem to live."""
    while True:
        task = asyncio.create_task(part())
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            log.error("background_part_failed", exc_info=error)
        await asyncio.sleep(1)


_current: list[Running] = []


def begin_shutdown(*, is_hurried: bool = False) -> None:
    """Tell this process's parts that it ends: for a signal handler. `is_hurried`: running answers get two seconds."""
    for running in _current:
        running.begin_shutdown(is_hurried=is_hurried)
