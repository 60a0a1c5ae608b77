"""How everything is: one look at the database, the queue, workers, schedules, model servers and this process.

What `/api/health`, the owner's page, `/metrics` and `parley doctor` show is gathered here, by two statements and within
two seconds, whatever the database does.
"""

import asyncio
import platform
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg
import msgspec

from app import __version__, database
from app.chat.pulse import Pulse
from app.chat.reachability import IS_DOWN, WINDOW_SECONDS
from app.chat.worker import Worker
from app.database import AWAY
from app.live import Reader

#: A database that has not answered after this is down.
PATIENCE_SECONDS = 2.0

State = Literal["ok", "look", "down"]


class WorkerFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process that writes answers. `seen_at`: its last sign of life, one every two seconds."""

    name: str
    started_at: datetime
    seen_at: datetime
    running: int


class ScheduleFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that is done again and again. `last_run_at` is None until it was done since a worker last started."""

    name: str
    last_run_at: datetime | None
    next_run_at: datetime
    is_running: bool


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model whose last calls failed. `down_since`: its circuit is open; from `next_trial_at` on one call tries it again."""

    name: str
    failures: int
    error: str
    down_since: datetime | None
    next_trial_at: datetime | None


class ProviderFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model server as it was last found. `is_open`: no model of it is called, its list is looked at, at `next_probe_at`.

    `failures`: calls in a row that made no connection. `models`: those that fail by themselves. `version`: of the server's
    program, where it says. `lists_models` is false where models are added by hand alone.
    """

    id: uuid.UUID
    name: str
    kind: str
    state: Literal["ok", "stale", "failing", "down", "unknown"]
    error: str
    latency_ms: int | None
    looked_at: datetime | None
    down_since: datetime | None
    failures: int
    is_open: bool
    next_probe_at: datetime | None
    version: str = ""
    lists_models: bool = True
    models: tuple[ModelFacts, ...] = ()


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the database tells. `waiting` and `running` are answers, `jobs` what the queue holds; `delta_rows` is estimated."""

    now: datetime
    postgres: str
    schema: str
    size_bytes: int
    waiting: int
    oldest_waiting_at: datetime | None
    running: int
    jobs: int
    oldest_job_at: datetime | None
    delta_rows: int
    workers: tuple[WorkerFacts, ...]
    schedules: tuple[ScheduleFacts, ...]
    providers: tuple[ProviderFacts, ...]


class ProcessFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This very process. `pending_chars`: text of answers that waits to be stored; `loop_lag_seconds`: the worst of 15 s."""

    uptime_seconds: float
    viewers: int
    running: int
    pending_chars: int
    loop_lag_seconds: float
    connections: int
    idle_connections: int


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One look. `stored` is None while the database does not answer; then `error` names what it did instead."""

    checked_at: datetime
    parley: str
    python: str
    process: ProcessFacts | None
    latency_ms: float | None
    stored: Stored | None
    error: str = ""


class Process:
    """This process, as far as others may know: what `gather` asks it."""

    def __init__(self, reader: Reader, worker: Worker | None) -> None:
        self._reader = reader
        self._worker = worker
        self._started = time.monotonic()
        self.pulse = Pulse()

    def facts(self) -> ProcessFacts:
        """As it is now."""
        tapes = self._worker.writer.tapes if self._worker else set()
        pool = database.pool()
        return ProcessFacts(
            uptime_seconds=round(time.monotonic() - self._started, 1),
            viewers=len(self._reader.viewers),
            running=len(tapes),
            pending_chars=sum(len(body) for tape in tapes for _kind, body in tape.waiting),
            loop_lag_seconds=self.pulse.lag_seconds,
            connections=pool.get_size(),
            idle_connections=pool.get_idle_size(),
        )


async def gather(process: Process | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> Health:
    """Look at everything. Returns after `patience_seconds` at the latest, and raises nothing."""
    latency_ms, stored, error = None, None, ""
    try:
        latency_ms, stored = await _ask(patience_seconds)
    except (*AWAY, asyncpg.PostgresError) as failure:
        error = type(failure).__name__
    return Health(
        checked_at=datetime.now(UTC),
        parley=__version__,
        python=platform.python_version(),
        process=process.facts() if process else None,
        latency_ms=latency_ms,
        stored=stored,
        error=error,
    )


async def _ask(patience_seconds: float) -> tuple[float, Stored]:
    """The time that a statement takes, in milliseconds, and what the rows tell. Raises what asyncpg raises."""
    pool = database.pool()
    connection: Any = None
    try:
        async with asyncio.timeout(patience_seconds):
            connection = await pool.acquire()
            began = time.perf_counter()
            await connection.fetchval("SELECT 1")
            latency_ms = round((time.perf_counter() - began) * 1000, 2)
            told = await connection.fetchval(_STORED)
    except TimeoutError:
        # It would not answer to being told to stop either: without this the pool waits for it.
        if connection is not None:
            connection.terminate()
        raise
    finally:
        if connection is not None:
            await pool.release(connection)
    return latency_ms, msgspec.json.decode(told, type=Stored)


# The live log is large and short-lived: its size is what the statistics say, to within a minute.
_STORED = f"""
SELECT json_build_object(
    'now', now(),
    'postgres', split_part(current_setting('server_version'), ' ', 1),
    'schema', (SELECT coalesce(max(name), '') FROM migration WHERE app_name = 'parley'),
    'size_bytes', pg_database_size(current_database()),
    'waiting', a.waiting, 'oldest_waiting_at', a.oldest, 'running', a.running,
    'jobs', j.count, 'oldest_job_at', j.oldest,
    'delta_rows', coalesce((SELECT greatest(n_live_tup, 0) FROM pg_stat_user_tables WHERE relid = 'delta'::regclass), 0),
    'workers', (SELECT coalesce(json_agg(json_build_object(
        'name', w.name, 'started_at', w.started_at, 'seen_at', w.seen_at,
        'running', (SELECT count(*) FROM generation AS g WHERE g.state = 'running' AND g.worker = w.id)
    ) ORDER BY w.started_at), '[]') FROM worker AS w WHERE w.is_alive),
    'schedules', (SELECT coalesce(json_agg(json_build_object(
        'name', s.entrypoint, 'last_run_at', s.last_run, 'next_run_at', s.next_run, 'is_running', s.status = 'picked'
    ) ORDER BY s.entrypoint), '[]') FROM pgqueuer_schedules AS s),
    'providers', (SELECT coalesce(json_agg(json_build_object(
        'id', p.id, 'name', p.name, 'kind', p.kind, 'state', p.state, 'error', p.error, 'latency_ms', p.latency_ms,
        'looked_at', p.refreshed_at, 'down_since', p.down_since, 'failures', p.failures,
        'is_open', {IS_DOWN}, 'next_probe_at', p.probe_at,
        'version', p.version, 'lists_models', p.lists_models, 'models', (
            SELECT coalesce(json_agg(json_build_object(
                'name', m.name, 'failures', m.failures, 'error', m.error, 'down_since', m.down_since,
                'next_trial_at', m.trial_at) ORDER BY m.name), '[]')
            FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL AND m.failures > 0
            AND (m.down_since IS NOT NULL OR m.failing_since > now() - interval '{WINDOW_SECONDS} seconds'))
    ) ORDER BY p.created_at, p.id), '[]') FROM provider AS p WHERE p.is_enabled)
)::text
FROM (
    SELECT count(*) FILTER (WHERE state = 'queued') AS waiting, min(queued_at) FILTER (WHERE state = 'queued') AS oldest,
           count(*) FILTER (WHERE state = 'running') AS running
    FROM generation WHERE state <> 'ended'
) AS a, (SELECT count(*), min(created) AS oldest FROM pgqueuer WHERE status = 'queued') AS j
"""
