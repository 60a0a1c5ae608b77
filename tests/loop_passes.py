"""How often others got their turn on the event loop."""

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
