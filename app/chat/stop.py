"""Stopping an answer, whichever process writes it."""

import asyncio
import uuid

from app.chat.ending import Ending, finish
from app.chat.tree import find_message
from app.database import fetch_row, transaction
from app.live import News, tell

#: How long a page that pressed Stop waits to show the stopped answer instead of a running one.
PATIENCE_SECONDS = 0.6


async def stop(message_id: uuid.UUID) -> None:
    """Ask that the answer ends; returns when it has, or after a moment. Stopping an answer that ended changes nothing."""
    async with transaction():
        await fetch_row(_LOCK, message_id)
        row = await fetch_row(_STOP, message_id)
        if row is None:
            return
        if row["state"] == "queued":
            ending = Ending(row, (await find_message(message_id)).part_list, None)
            ending.cut("stopped")
            await fetch_row("UPDATE generation SET state = 'running', worker = NULL WHERE id = $1", row["id"])
            await finish(ending, [])
            return
        await tell(News(key="worker", event="stop", generation=str(row["id"])))
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        if await fetch_row("SELECT 1 FROM generation WHERE id = $1 AND state = 'ended'", row["id"]):
            return
        await asyncio.sleep(0.03)


# The thread first, as everywhere; see `_FINISH`.
_LOCK = "SELECT 1 FROM thread WHERE id = (SELECT thread FROM message WHERE id = $1) FOR NO KEY UPDATE"

# The lock comes first, so that no worker can claim the generation in between.
_STOP = """
WITH held AS (SELECT id, state FROM generation WHERE message = $1 AND state <> 'ended' FOR UPDATE),
asked AS (UPDATE generation AS g SET is_stop_requested = true FROM held WHERE g.id = held.id RETURNING g.*)
SELECT g.id, g.message, g.thread, g.attempt, g.worker, g.state, g.is_continuation, g.provider_attempts,
       extract(epoch FROM now() - g.queued_at) * 1000 AS waited_ms,
       coalesce(p.name, '') AS provider_name, coalesce(m.name, '') AS model_name
FROM asked AS g
JOIN message AS a ON a.id = g.message LEFT JOIN model AS m ON m.id = a.model LEFT JOIN provider AS p ON p.id = m.provider
"""
