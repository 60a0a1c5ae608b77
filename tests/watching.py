"""What a test may watch: the news that open pages would get."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from app.database import own_connection
from app.live.log import NEWS_CHANNEL


@contextlib.asynccontextmanager
async def news_of(database: str) -> AsyncIterator["asyncio.Queue[dict[str, Any]]"]:
    """A queue of the news that are told from now on."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with own_connection(database, name="watching") as connection:
        await connection.add_listener(NEWS_CHANNEL, lambda *arguments: queue.put_nowait(json.loads(arguments[3])))
        yield queue
