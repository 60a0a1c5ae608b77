"""Admission: every function that creates a generation, or a call that a person asks for, calls `admit` first."""

import uuid

from app.chat.pace import pace
from app.database import fetch_row
from app.errors import TooManyRequests
from app.principals import may_write
from app.settings import settings


async def admit(user_id: uuid.UUID) -> None:
    """Count one more generation or call of this person. Raises `TooManyRequests`, which counts nothing."""
    pace.take(user_id, per_minute=settings.max_turns_per_minute)


async def admit_turn(user_id: uuid.UUID, thread_id: uuid.UUID, request_id: uuid.UUID) -> None:
    """As `admit`, for a turn. A repeated request is always admitted, because it starts no second turn."""
    try:
        await admit(user_id)
    except TooManyRequests:
        if await fetch_row(_SERVED, thread_id, user_id, request_id) is None:
            raise


_SERVED = f"""
SELECT 1 FROM message AS m JOIN thread AS t ON t.id = m.thread
WHERE t.id = $1 AND {may_write("$2")} AND m.request_id = $3
"""
