"""What is done with a model and takes a while: asked for here, carried out by a worker (`task_runner.py`).

A task is a row and a job, committed together. At most one of a model waits or runs at a time.
"""

import uuid
from typing import Any, Literal

import asyncpg
import msgspec

from app.database import fetch, fetch_row, new_id, transaction
from app.errors import Conflict
from app.jobs import enqueue
from app.live import News, tell
from app.providers import PROVIDERS
from app.providers.keeping import Keeper, Pull
from app.words import gettext as _

Kind = Literal["pull", "load", "unload", "delete"]

JOB = "model_task"
#: Which pages hear of tasks and of models that come, go, load and unload.
PAGES = "models"
#: Ended tasks that failed are shown so long, so that whoever comes later sees why something is not there.
SHOWN_HOURS = 24


def can_be_kept(kind: str) -> bool:
    """Whether models of a provider of this kind can be pulled, loaded, unloaded and deleted."""
    return issubclass(PROVIDERS[kind], Keeper)


async def start_task(
    kind: Kind, provider: uuid.UUID, model_name: str, *, user: uuid.UUID, source: str = "", options: str = "{}"
) -> uuid.UUID:
    """Put a task into the queue. `options`: JSON. Raises `Conflict` while another task of this model waits or runs."""
    task = new_id()
    async with transaction():
        if not await fetch(_START, task, kind, provider, model_name, source, options, user):
            raise Conflict(_("Something is being done with this model already. Wait for it, or cancel it."))
        await enqueue(JOB, str(task))
        await tell(News(key=PAGES, event="task", task=str(task)))
    return task


async def cancel_task(task: uuid.UUID) -> None:
    """Ask that a task ends, and what it left is thrown away. One that ended well stays as it is; a failed one is forgotten."""
    async with transaction():
        if (row := await fetch_row(_CANCEL, task)) is None:
            await fetch("DELETE FROM model_task WHERE id = $1 AND kind <> 'pull' AND state = 'failed'", task)
        elif row["state"] == "queued":
            await enqueue(JOB, str(task))  # a pull that failed has no job any more; a second one does no harm
        await tell(News(key="worker", event="cancel_task", task=str(task)))
        await tell(News(key=PAGES, event="task", task=str(task)))


async def find_task(task: uuid.UUID) -> asyncpg.Record | None:
    """A task as it is now."""
    return await fetch_row(f"{_SELECT} WHERE t.id = $1", task)


async def list_tasks() -> list[asyncpg.Record]:
    """The tasks that wait or run, and those that failed of late, newest first."""
    return await fetch(
        f"{_SELECT} WHERE t.state IN ('queued', 'running')"
        " OR (t.state = 'failed' AND t.ended_at > now() - make_interval(hours => $1)) ORDER BY t.created_at DESC LIMIT 50",
        SHOWN_HOURS,
    )


async def resume_tasks() -> None:
    """Tasks whose worker is dead are carried out by another one; one that nobody survives is given up."""
    async with transaction():
        rows = await fetch(
            _RESUME, MOST_ATTEMPTS, _("It was begun %(count)s times, and each time the worker went away.")
        )
        for row in rows:
            if row["state"] == "queued":
                await enqueue(JOB, str(row["id"]))
            await tell(News(key=PAGES, event="task", task=str(row["id"]), is_final=row["state"] != "queued"))


def drawn(row: Any) -> dict[str, Any]:
    """A task's row with what a page says of it: the share that is done in percent, and the seconds that are left."""
    total, speed = row["total_bytes"], row["bytes_per_second"]
    share = min(100.0, 100 * row["done_bytes"] / total) if total else None
    left = (total - row["done_bytes"]) / speed if total and speed else None
    pull = msgspec.json.decode(row["options"], type=Pull) if row["kind"] == "pull" else None
    return dict(row) | {"share": share, "left_seconds": left, "pull": pull}


#: A task that its worker did not survive is begun again so often.
MOST_ATTEMPTS = 5

_START = """
INSERT INTO model_task (id, kind, provider, model_name, source, options, "user", created_at, state, log, error, phase)
VALUES ($1, $2, $3, $4, $5, $6, $7, now(), 'queued', '', '', '')
ON CONFLICT (provider, model_name) WHERE state IN ('queued', 'running') DO NOTHING RETURNING id
"""

# A pull that failed may have left something on the disk of its worker, so a worker ends it too.
_CANCEL = """
UPDATE model_task SET is_cancel_requested = true, state = CASE WHEN state = 'failed' THEN 'queued' ELSE state END
WHERE id = $1 AND (state IN ('queued', 'running') OR (state = 'failed' AND kind = 'pull')) RETURNING state
"""

_SELECT = """
SELECT t.id, t.kind, t.provider, t.model_name, t.source, t.state, t.phase, t.done_bytes, t.total_bytes, t.bytes_per_second,
       t.log, t.error, t.is_cancel_requested, t.options, t.created_at, t.started_at, t.ended_at, p.name AS provider_name
FROM model_task AS t JOIN provider AS p ON p.id = t.provider
"""

_RESUME = """
UPDATE model_task AS t SET worker = NULL, bytes_per_second = NULL,
    state = CASE WHEN is_cancel_requested THEN 'cancelled' WHEN attempt < $1 THEN 'queued' ELSE 'failed' END,
    error = CASE WHEN is_cancel_requested OR attempt < $1 THEN '' ELSE replace($2, '%(count)s', attempt::text) END,
    ended_at = CASE WHEN is_cancel_requested OR attempt >= $1 THEN now() END
WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM worker AS w WHERE w.id = t.worker AND w.is_alive)
RETURNING id, state
"""
