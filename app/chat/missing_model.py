"""The model that a thread used and that cannot be offered there any more: what it was called, and why."""

import uuid
from typing import Literal

import msgspec

from app.chat.access import may_use
from app.database import fetch_row


class Missing(msgspec.Struct, frozen=True):
    """`restricted`: there is such a model, but this person may not use it, or its server is switched off."""

    name: str
    reason: Literal["hidden", "removed", "restricted"]
    model: uuid.UUID | None


async def find_missing(thread: uuid.UUID, user: uuid.UUID) -> Missing | None:
    """The model that a thread used, for a person who is not offered it. None: it never had one."""
    row = await fetch_row(_MISSING, thread, user)
    return Missing(row["name"], row["reason"], row["model"]) if row and row["name"] else None


_MISSING = f"""
SELECT coalesce(m.name, a.model_label) AS name, m.id AS model,
       CASE WHEN m.id IS NULL OR m.gone_at IS NOT NULL THEN 'removed' WHEN NOT {may_use("$2::uuid")} THEN 'restricted'
            WHEN m.is_hidden THEN 'hidden' ELSE 'restricted' END AS reason
FROM thread AS t LEFT JOIN model AS m ON m.id = t.model LEFT JOIN message AS a ON a.id = t.leaf WHERE t.id = $1
"""
