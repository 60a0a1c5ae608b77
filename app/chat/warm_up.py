"""Loading the starter model before the first question: it is small, and its first answer should not wait for it."""

import contextlib
import uuid
from typing import Any

from app.chat.tasks import start_task
from app.database import fetch_row
from app.errors import Conflict


async def warm_up(model: dict[str, Any] | None, *, user: uuid.UUID) -> None:
    """Asks a worker to load a bundled model, unless it is in memory, being loaded, or failed to load a moment ago.

    `model`: a row of the picker, which says that it is loading from then on. Other models wait for the first question: they
    may need most of the machine's memory.
    """
    if (
        model is None
        or not model["is_bundled"]
        or not model["is_available"]
        or model["is_loaded"]
        or model["is_loading"]
    ):
        return
    if await fetch_row(_FAILED, model["provider"], model["name"]):
        return
    with contextlib.suppress(Conflict):  # another page asked at the same moment, or something else is done with it
        await start_task("load", model["provider"], model["name"], user=user)
        model["is_loading"] = True


_FAILED = """
SELECT 1 FROM model_task WHERE provider = $1 AND model_name = $2 AND kind = 'load' AND state IN ('failed', 'cancelled')
    AND ended_at > now() - interval '5 minutes' LIMIT 1
"""
