"""Deleting models: what names them is locked first.

Whoever changes a thread, a preset or a person's settings holds that row and then waits for the model that it is to name. A
deletion that held the model and then waited for those rows, to empty them, would be waited for by what it waits for.
"""

import uuid
from collections.abc import Sequence

from app.database import fetch, transaction


async def remove_provider(provider: uuid.UUID) -> None:
    """Delete a provider with its models; threads, answers, presets and people keep everything but the reference."""
    async with transaction():
        await lock_naming([row["id"] for row in await fetch("SELECT id FROM model WHERE provider = $1", provider)])
        await fetch("DELETE FROM provider WHERE id = $1", provider)


async def lock_naming(models: Sequence[uuid.UUID]) -> None:
    """Lock every row that names one of these models, for the current transaction. Messages go by their threads."""
    for statement in (_PEOPLE, _PRESETS, _THREADS):
        await fetch(statement, models)


_PEOPLE = "SELECT 1 FROM users WHERE default_model = ANY($1) ORDER BY id FOR NO KEY UPDATE"

_PRESETS = "SELECT 1 FROM preset WHERE model = ANY($1) ORDER BY id FOR NO KEY UPDATE"

_THREADS = """
SELECT 1 FROM thread WHERE model = ANY($1) OR id IN (SELECT thread FROM message WHERE model = ANY($1))
ORDER BY id FOR NO KEY UPDATE
"""
