"""Waiting for what comes a moment later: bounds that a busy machine keeps, and a failure that says what hung."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

#: Ten times what a busy machine needs for anything within the tests' process.
HERE_SECONDS = 60.0
#: The same for what a program does that a test has started.
STARTED_SECONDS = 120.0


@contextlib.asynccontextmanager
async def within(what: str, seconds: float = HERE_SECONDS) -> AsyncIterator[None]:
    """Fails with `what` if the block takes longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"{what}: not within {seconds:.0f} s") from None


async def until(
    what: str, holds: Callable[[], Any], seconds: float = HERE_SECONDS, *, shows: Callable[[], object] | None = None
) -> Any:
    """Looks again until `holds()`, awaited if need be, is true, and returns it. A failure says `what`, and what was there."""
    found: Any = None
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                found = holds()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        if not limit.expired():
            raise
        there = shows() if shows else found
        raise AssertionError(f"{what}: not within {seconds:.0f} s; there was {there!r}") from None


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
