"""Concurrent turns: what a page waits for, and what they cost."""

import asyncio
import os
import statistics
import uuid

import msgspec

from tests.bench import cost
from tests.bench.instance import Instance
from tests.bench.timed_tab import TimedTab
from tests.wire import Caller

TABS_A_PERSON = 10
START_SECONDS = 1.0
TIMEOUT_SECONDS = 90.0


class Turns(msgspec.Struct, frozen=True):
    """What `count` concurrent turns came to. Times in milliseconds. `label` says what was special about them."""

    count: int
    first_token_p50: float
    first_token_p95: float
    token_p50: float
    token_p95: float
    token_p99: float
    cpu_per_thousand: float
    postgres_per_thousand: float
    frame_bytes_per_token: float
    bytes_per_token: float
    frames_per_token: float
    fetches_per_turn: float
    memory_mb: float
    load: float
    faults: tuple[str, ...]
    label: str = ""


class People:
    """Callers with threads to speak in: made before anything is measured, each thread used once."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._free: list[tuple[Caller, str]] = []

    async def fill(self, count: int) -> None:
        """So many threads, each with one turn in it."""
        while len(self._free) < count:
            caller, user = await self._instance.add_caller()
            for thread in await self._instance.add_threads(user, TABS_A_PERSON):
                await self._instance.fill_thread(thread, 2)
                self._free.append((caller, thread))

    def pages(self, count: int) -> list[TimedTab]:
        """Tabs that are to be opened."""
        taken, self._free = self._free[:count], self._free[count:]
        return [TimedTab(caller, thread, self._instance.model) for caller, thread in taken]


async def run_turns(instance: Instance, people: People, count: int, *, rounds: int, tokens: int) -> Turns:
    """`rounds` times `count` turns that start within a second, each in a page that is open: the median of the rounds."""
    await people.fill(count * rounds)
    # Once: it makes Postgres plan every prepared statement anew, as happens now and then, and not before each turn.
    await instance.database.execute("ANALYZE")
    measured = []
    for _ in range(rounds):
        pages = people.pages(count)
        await open_all(pages)
        await _settle(instance)
        measured.append(await run_round(instance, pages, tokens))
    return _median(measured)


async def open_all(pages: list[TimedTab]) -> None:
    """Open them, ten at a time."""
    for start in range(0, len(pages), 10):
        await asyncio.gather(*(page.open() for page in pages[start : start + 10]))


async def run_round(instance: Instance, pages: list[TimedTab], tokens: int) -> Turns:
    """A turn in each of these open pages, starting within a second."""
    cpu, postgres = cost.cpu_seconds(instance.processes), cost.share_of_postgres(instance.processes)
    starts = (_start(page, START_SECONDS * place / len(pages)) for place, page in enumerate(pages))
    together = asyncio.gather(*starts)
    await asyncio.sleep(START_SECONDS + 1.5)
    memory = cost.memory_bytes(instance.processes)
    await together
    cpu = cost.cpu_seconds(instance.processes) - cpu
    postgres = cost.share_of_postgres(instance.processes) - postgres
    return _sum_up(pages, tokens, cpu, postgres, memory)


async def _start(page: TimedTab, delay_seconds: float) -> None:
    await asyncio.sleep(delay_seconds)
    await page.turn(f"Tell me about {uuid.uuid4()}.", TIMEOUT_SECONDS)


async def _settle(instance: Instance) -> None:
    """Until what came before is over: rows written, and nothing running."""
    await instance.database.execute("CHECKPOINT")
    for _ in range(100):
        before = cost.cpu_seconds(instance.processes)
        await asyncio.sleep(0.3)
        if cost.cpu_seconds(instance.processes) - before < 0.03:
            return


def _sum_up(pages: list[TimedTab], tokens: int, cpu: float, postgres: float, memory: int) -> Turns:
    faults = [page.fault or _miscount(page, tokens) for page in pages]
    firsts = [page.first_token_seconds for page in pages if page.first_token_seconds is not None] or [float("nan")]
    latencies = [latency for page in pages for latency in page.latencies] or [float("nan")]
    written = tokens * len(pages) / 1000
    return Turns(
        count=len(pages),
        first_token_p50=percentile(firsts, 50) * 1000,
        first_token_p95=percentile(firsts, 95) * 1000,
        token_p50=percentile(latencies, 50) * 1000,
        token_p95=percentile(latencies, 95) * 1000,
        token_p99=percentile(latencies, 99) * 1000,
        cpu_per_thousand=cpu / written,
        postgres_per_thousand=postgres / written,
        frame_bytes_per_token=sum(page.frame_bytes for page in pages) / (written * 1000),
        bytes_per_token=sum(page.stream_bytes for page in pages) / (written * 1000),
        frames_per_token=sum(page.frames for page in pages) / (written * 1000),
        fetches_per_turn=statistics.mean(page.fetches for page in pages),
        memory_mb=memory / 1e6,
        load=os.getloadavg()[0],
        faults=tuple(fault for fault in faults if fault),
    )


def _median(rounds: list[Turns]) -> Turns:
    numbers = [name for name in Turns.__struct_fields__ if name not in ("count", "faults", "label")]
    medians = {name: statistics.median(getattr(each, name) for each in rounds) for name in numbers}
    faults = tuple(fault for each in rounds for fault in each.faults)
    return Turns(count=rounds[0].count, faults=faults, **medians)


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _miscount(page: TimedTab, tokens: int) -> str:
    return "" if len(page.latencies) == tokens else f"{len(page.latencies)} of {tokens} tokens arrived"
