"""Open pages on which nothing happens: what each costs the server."""

import asyncio
import resource

import msgspec

from tests.bench import cost
from tests.bench.instance import Instance
from tests.bench.timed_tab import TimedTab

WATCHED_SECONDS = 16.0  # one keep-alive of every page


class Idle(msgspec.Struct, frozen=True):
    """`opened` of so many pages; bytes of memory and share of a core (in percent) for each thousand."""

    wanted: int
    opened: int
    bytes_each: float
    core_percent_per_thousand: float


def raise_file_limit() -> int:
    """As many file descriptors as this user may have, for us and what we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def hold_open(instance: Instance, pages: int) -> Idle:
    """Open so many pages, hold them, close them."""
    before = cost.memory_bytes(instance.processes)
    tabs: list[TimedTab] = []
    for _ in range(pages // 100):
        caller, user = await instance.add_caller()
        (thread,) = await instance.add_threads(user, 1)
        batch = [TimedTab(caller, thread, instance.model) for _ in range(100)]
        for start in range(0, len(batch), 20):
            await asyncio.gather(*(tab.open() for tab in batch[start : start + 20]))
        for tab in batch:
            tab.line.close()  # a browser drops what it does not use
        tabs += batch
    await asyncio.sleep(1)
    memory = cost.memory_bytes(instance.processes) - before
    cpu = cost.cpu_seconds(instance.processes)
    await asyncio.sleep(WATCHED_SECONDS)
    cpu = cost.cpu_seconds(instance.processes) - cpu
    opened = sum(tab.is_connected and tab.connects == 1 for tab in tabs)
    await asyncio.gather(*(tab.close() for tab in tabs))
    return Idle(pages, opened, memory / pages, cpu / WATCHED_SECONDS * 100 / (pages / 1000))
