"""What a test may watch: what comes true elsewhere, however busy the machine is, and the news that open pages would get."""

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from app.database import own_connection
from app.live.log import NEWS_CHANNEL

T = TypeVar("T")

#: Ten times what a busy machine needs: for anything within a process, and for what a started process does.
SECONDS = 60.0
PROGRAM_SECONDS = 120.0


async def until(
    what: str,
    look: Callable[[], Awaitable[T] | T],
    seconds: float = SECONDS,
    *,
    shows: Callable[[], object] | None = None,
) -> T:
    """Look again and again; returns the first true value. What never comes true is named, with what was there instead:
    what was seen, or what `shows` returns.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, 0.001
    while True:
        is_late = loop.time() >= deadline
        seen = look()
        found: T = await seen if inspect.isawaitable(seen) else seen
        if found:
            return found
        assert not is_late, f"{what}: not within {seconds:.0f} s, there was {shows() if shows else found!r}"
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)


@contextlib.asynccontextmanager
async def within(what: str, seconds: float = SECONDS) -> AsyncIterator[None]:
    """A bound for what the block waits for; the failure names it."""
    try:
        async with asyncio.timeout(seconds) as bound:
            yield
    except TimeoutError:
        assert not bound.expired(), f"{what}: not within {seconds:.0f} s"
        raise


@contextlib.asynccontextmanager
async def news_of(database: str) -> AsyncIterator["asyncio.Queue[dict[str, Any]]"]:
    """A queue of the news that are told from now on."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with own_connection(database, name="watching") as connection:
        await connection.add_listener(NEWS_CHANNEL, lambda *arguments: queue.put_nowait(json.loads(arguments[3])))
        yield queue
