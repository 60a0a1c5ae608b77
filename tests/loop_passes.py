"""How often others got their turn on the event loop, and how long it was free for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Passes:
    number = 0


@contextlib.asynccontextmanager
async def counted_passes() -> AsyncIterator[Passes]:
    """Counts how often somebody else goes through the event loop while the block runs."""
    passes = Passes()

    async def go_through() -> None:
        while True:
            await asyncio.sleep(0)
            passes.number += 1

    others = asyncio.create_task(go_through())
    try:
        yield passes
    finally:
        others.cancel()


class Awake:
    """`seconds` in which the event loop was free to go on; those in which the machine stood still are not among them."""

    TICK_SECONDS = 0.05

    def __init__(self) -> None:
        self.ticks = 0

    @property
    def seconds(self) -> float:
        return self.ticks * self.TICK_SECONDS


@contextlib.asynccontextmanager
async def awake() -> AsyncIterator[Awake]:
    """How long the block has to wait for timers and for others, however slow the machine is."""
    clock = Awake()

    async def tick() -> None:
        while True:
            await asyncio.sleep(clock.TICK_SECONDS)
            clock.ticks += 1

    ticking = asyncio.create_task(tick())
    try:
        yield clock
    finally:
        ticking.cancel()
