"""What lives as long as the process: the pool, the HTTP client, the live reader, the worker, the look for dead workers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

import httpx
import structlog

from app import database, jobs
from app.chat import catalog, circuit, resolution, upkeep
from app.chat.calls import Connect
from app.chat.health import Process
from app.chat.title import naming
from app.chat.worker import Worker
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
        await catalog.ensure_builtin(settings)
        async with make_client() as client:
            connect = catalog.connector(client, settings)
            await catalog.refresh_builtin(connect)
            reader = Reader(url)
            worker = Worker(url, settings, connect, naming(connect), reader.hand_over) if with_worker else None
            running = Running(reader, client, connect, worker)
            _current.append(running)
            parts = (jobs.load, reader.run, resolution.run, running.process.pulse.run)
            async with _in_background(*parts, *_work(worker, settings, connect, reader)):
                try:
                    yield running
                finally:
                    running.begin_shutdown()
                    _current.remove(running)
                    if worker is not None:
                        await worker.drain(
                            min(settings.drain_seconds, 2.0) if running.is_hurried else settings.drain_seconds
                        )
            await ENGINES.close()
    finally:
        await database.close_pool()


def _work(
    worker: Worker | None, settings: Settings, connect: Connect, reader: Reader
) -> list[Callable[[], Coroutine[None, None, None]]]:
    if worker is None:
        return []
    reader.hears.append(worker.hear)

    async def refresh() -> None:
        await catalog.refresh_due(settings.catalog_seconds, connect)

    async def probe() -> None:
        await circuit.probe_due(lambda provider_id: catalog.refresh(provider_id, connect))

    jobs.SCHEDULES["probe"] = ("* * * * * */5", probe)
    jobs.SCHEDULES["catalog"] = ("* * * * * */10", refresh)
    jobs.SCHEDULES["upkeep"] = ("* * * * *", upkeep.run)
    return [worker.run]


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
