"""Answers whose worker is dead: begun again if nothing was stored of them, else marked interrupted. Never later than 15 s.
What it did with models is given to another one.

A worker is dead when nobody holds its lock and it has been silent for a few seconds (its process is gone), or when it
holds the lock but has been silent for long (its process is frozen). Every process looks, so the last one alive does.
"""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from app.chat.calls import MOST_CALLS
from app.chat.ending import Ending, finish
from app.chat.tasks import resume_tasks
from app.chat.tree import find_message
from app.database import AWAY, Outage, fetch, fetch_row, transaction
from app.jobs import enqueue
from app.live import read_log
from app.words import choose, speaking
from app.words import gettext as _

log = structlog.get_logger()

LOOK_SECONDS = 2.0
SILENT_SECONDS = 6.0
FROZEN_SECONDS = 11.0
#: A queued answer whose job is gone gets a new one after this; the job's own worker may be about to claim it.
ORPHAN_SECONDS = 5.0
#: Without any live worker a queued answer waits this long before it is given up.
ABANDONED_SECONDS = 12.0
#: After Postgres, its clock or this process stood still, the workers get so long to say that they live.
PATIENCE_SECONDS = 6.0


async def run() -> None:
    """Look for dead workers until cancelled."""
    outage, clock = Outage("resolution"), asyncio.get_running_loop().time
    looked: datetime | None = None
    patient_until: datetime | None = None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            now, began = await _now(), clock()
            if looked is None or abs(now - looked) > timedelta(seconds=2.5 * LOOK_SECONDS):
                patient_until = now + timedelta(seconds=PATIENCE_SECONDS if looked else 2 * LOOK_SECONDS)
            if patient_until is None or now >= patient_until:
                await resolve(now)
            looked = now + timedelta(seconds=clock() - began)
            outage.end()
        except (*AWAY, asyncpg.PostgresError) as error:
            # As if Postgres had not been looked at for long: its workers have lost it too.
            looked = datetime.min.replace(tzinfo=UTC)
            outage.note(error)


async def resolve(now: datetime | None = None) -> int:
    """Declare silent workers dead and resolve what they held, and what nobody holds; returns how many answers that were.

    `now`: what the clock of the database said just before.
    """
    soon = (now or await _now()) + timedelta(seconds=LOOK_SECONDS)
    for row in await fetch(_DECLARE_DEAD, SILENT_SECONDS, FROZEN_SECONDS, soon):
        log.warning("worker_died", worker=row["id"], name=row["name"])
    left = await fetch(_LEFT, ORPHAN_SECONDS, ABANDONED_SECONDS)
    for row in left:
        try:
            if row["what"] == "running":
                await _resolve_running(row["id"])
            elif row["what"] == "queued":
                await _resolve_queued(row["id"], has_worker=row["has_worker"])
        except AWAY:
            raise
        except asyncpg.PostgresError:
            # One that cannot be ended keeps no other one waiting. It is tried again with the next look.
            log.exception("generation_unresolved", generation_id=str(row["id"]))
    answers = sum(1 for row in left if row["what"] != "task")
    if answers < len(left):
        await resume_tasks()
    return answers


async def _resolve_running(generation_id: uuid.UUID) -> None:
    async with transaction():
        # Locked and read in two statements: what is read must be newer than the lock.
        if not await fetch(_LOCK, generation_id) or (row := await fetch_row(_TAKE, generation_id)) is None:
            return
        rows = await read_log(row["id"])
        ending = Ending(row, (await find_message(row["message"])).part_list, row["worker"])
        ending.begin_call()
        with speaking(choose(row["language"], "")):
            ending.cut("stopped" if row["is_stop_requested"] else "interrupted")
        may_repeat = not rows and not row["is_stop_requested"] and row["attempt"] < MOST_CALLS
        if may_repeat:
            await fetch(_REPEAT, row["id"], row["message"], ending.log_of_attempts())
            await enqueue("generation", str(row["id"]))
        else:
            await finish(ending, rows)
    log.warning("generation_resolved", generation_id=str(row["id"]), outcome="queued" if may_repeat else ending.status)


async def _resolve_queued(generation_id: uuid.UUID, *, has_worker: bool) -> None:
    """A queued generation whose job is gone gets a new one; without any worker it is given up."""
    async with transaction():
        if has_worker:
            await enqueue("generation", str(generation_id), key=str(generation_id))
        elif taken := await fetch_row(_TAKE_QUEUED, generation_id):
            ending = Ending(taken, (await find_message(taken["message"])).part_list, None)
            with speaking(choose(taken["language"], "")):
                ending.cut("interrupted", _("No worker was there to write this answer."))
            await finish(ending, [])


async def _now() -> datetime:
    """The clock of the database: it is what everything here is measured by."""
    (row,) = await fetch("SELECT now() AS now")
    now: datetime = row["now"]
    return now


# `seen_at` beyond now: the clock was set back. $3: a statement that reached Postgres late, because one of them stood
# still meanwhile, must not judge. pg_try_advisory_xact_lock succeeds only if nobody holds the worker's lock; it is given
# back with the transaction. A worker whose row is locked is just writing.
_DECLARE_DEAD = """
WITH dead AS MATERIALIZED (
    SELECT id FROM worker
    WHERE is_alive AND now() < $3 AND (
        seen_at < now() - make_interval(secs => $2)
        OR (seen_at NOT BETWEEN now() - make_interval(secs => $1) AND now() + make_interval(secs => $1)
            AND pg_try_advisory_xact_lock(id))
    )
    FOR UPDATE SKIP LOCKED
)
UPDATE worker SET is_alive = false FROM dead WHERE worker.id = dead.id RETURNING worker.id, worker.name
"""

_COLUMNS = """
g.id, g.message, g.thread, g.language, g.attempt, g.worker, g.is_continuation, g.is_stop_requested, g.provider_attempts,
extract(epoch FROM now() - g.queued_at) * 1000 AS waited_ms,
coalesce(p.name, '') AS provider_name, coalesce(p.kind, '') AS kind, coalesce(p.id::text, '') AS provider_id,
coalesce(m.name, '') AS model_name
"""
_JOINS = """
JOIN message AS a ON a.id = g.message LEFT JOIN model AS m ON m.id = a.model LEFT JOIN provider AS p ON p.id = m.provider
"""

_LOCK = """
SELECT 1 FROM thread AS t JOIN generation AS g ON g.thread = t.id WHERE g.id = $1 FOR NO KEY UPDATE OF t SKIP LOCKED
"""

_TAKE = f"""
SELECT {_COLUMNS} FROM generation AS g {_JOINS}
WHERE g.id = $1 AND g.state = 'running' AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = g.worker AND w.is_alive)
"""

_REPEAT = """
WITH again AS (
    UPDATE generation SET state = 'queued', worker = NULL, provider_attempts = $3 WHERE id = $1 AND state = 'running' RETURNING 1
)
UPDATE message SET status = 'queued' FROM again WHERE message.id = $2
"""

_TAKE_QUEUED = f"""
WITH held AS MATERIALIZED (
    SELECT t.id FROM thread AS t JOIN generation AS g ON g.thread = t.id WHERE g.id = $1 FOR NO KEY UPDATE OF t SKIP LOCKED
), taken AS (
    UPDATE generation SET state = 'running', worker = NULL FROM held
    WHERE generation.id = $1 AND state = 'queued' RETURNING generation.*
)
SELECT {_COLUMNS} FROM taken AS g {_JOINS}
"""

# All in one look, which is taken every two seconds. A job that waits within a worker is no orphan while that worker says
# that it has it.
_LEFT = """
WITH workers AS (SELECT bool_or(is_alive) AS has_worker, max(seen_at) AS seen_at FROM worker)
SELECT 'running' AS what, g.id, false AS has_worker
FROM generation AS g LEFT JOIN worker AS w ON w.id = g.worker AND w.is_alive WHERE g.state = 'running' AND w.id IS NULL
UNION ALL
SELECT 'task', t.id, false
FROM model_task AS t LEFT JOIN worker AS w ON w.id = t.worker AND w.is_alive WHERE t.state = 'running' AND w.id IS NULL
UNION ALL (
    SELECT 'queued', g.id, coalesce(w.has_worker, false)
    FROM generation AS g, workers AS w
    WHERE g.state = 'queued' AND CASE
        WHEN w.has_worker THEN g.queued_at < now() - make_interval(secs => $1) AND NOT EXISTS (
            SELECT 1 FROM pgqueuer AS j
            WHERE j.entrypoint = 'generation' AND j.payload = convert_to(g.id::text, 'UTF8')
              AND (j.status = 'queued' OR j.heartbeat > now() - interval '10 seconds'))
        ELSE greatest(g.queued_at, w.seen_at) < now() - make_interval(secs => $2)
    END
    LIMIT 500
)
"""
