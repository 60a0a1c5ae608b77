"""Whether a provider can be reached, and when its list of models is looked at again: its row, the same to every worker.

`state` is `ok`, `unknown` (not looked at yet), `stale` (the list could not be refreshed, its models are called as before),
`failing` (at least two of its models fail and none answered in the last minute: `circuit.py`) or `down`: no connection can be
made, and until a look at the list makes one nothing is called there.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from app.database import AWAY, fetch, fetch_row
from app.live import News
from app.providers.errors import AddressRefused, NotConnected, ProviderError

log = structlog.get_logger()

#: Calls that found no connection in a row, the first of them at most `WINDOW_SECONDS` before the last, mean that a provider
#: is down. One look at its list that finds none means it at once.
MOST_UNCONNECTED = 5
WINDOW_SECONDS = 60.0
#: The pause before the next look at a provider that is down. The schedule ticks every five seconds: one that is back is
#: found within ten.
PROBE_SECONDS = 4.0
#: The pauses between looks at a list that is refused: doubled from `PROBE_SECONDS` up to this, or as long as its server asks,
#: within reason.
LONGEST_PAUSE_SECONDS, LONGEST_ASKED_SECONDS = 30.0, 3600.0
#: A worker that takes a probe has this long to report its result; then another one takes it.
PROBE_LEASE_SECONDS = 30.0

#: SQL of a row `provider AS p`: whether its models are not called. After a long time without a look (no worker runs the
#: schedules) it is called again, so that no provider stays down for good.
IS_DOWN = "(p.state = 'down' AND coalesce(p.probe_at > now() - interval '2 minutes', false))"

#: Every open page hears of this: what can be picked has changed.
CATALOG = msgspec.json.encode(News(key="everybody", event="catalog")).decode()


def is_unconnected(error: ProviderError) -> bool:
    """Whether no connection could be made, which is the server's failure and no model's."""
    return isinstance(error, NotConnected | AddressRefused)


async def note_unconnected(provider_id: uuid.UUID, sentence: str, seconds: float) -> None:
    """A call made no connection within `seconds`: the list is looked at as soon as possible. Enough of them mark it down."""
    row = await fetch_row(
        _UNCONNECTED, provider_id, sentence, WINDOW_SECONDS, seconds, MOST_UNCONNECTED, PROBE_SECONDS, CATALOG
    )
    if row is not None:
        log.warning("provider_down", provider=row["name"])


async def found_up(provider_id: uuid.UUID, latency_ms: int, *, has_news: bool) -> None:
    """A look at the list went well: what was down is back. `has_news`: it has other models than before.

    A provider whose models fail while its list works all along is not back by this: an answer says so. After a failure the
    server may be a newer one: what it refused before is sent again.
    """
    row = await fetch_row(_UP, provider_id, latency_ms, has_news, CATALOG)
    if row is not None and row["is_back"]:
        log.info("provider_back", provider=row["name"], seconds=row["down_seconds"])


async def found_down(provider_id: uuid.UUID, failure: ProviderError) -> None:
    """A look at the list failed: without a connection the provider is down, otherwise only its list is stale."""
    asked = min(failure.retry_after_seconds or 0.0, LONGEST_ASKED_SECONDS)
    await fetch(
        _DOWN,
        provider_id,
        failure.sentence,
        is_unconnected(failure),
        asked,
        PROBE_SECONDS,
        LONGEST_PAUSE_SECONDS,
        CATALOG,
    )


class Probes:
    """The looks at lists that are due, each a task of its own: a server that hangs delays no look at another one.

    `refresh` looks at one provider and ends in `found_up` or `found_down`.
    """

    def __init__(self, refresh: Callable[[uuid.UUID], Awaitable[object]]) -> None:
        self._refresh = refresh
        self._running: set[asyncio.Task[None]] = set()

    async def start_due(self) -> None:
        """Take what is due and start looking at it. Safe to run twice at once."""
        for row in await fetch(_TAKE_DUE, PROBE_LEASE_SECONDS):
            task = asyncio.create_task(self._look(row["id"]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def wait(self) -> None:
        """Wait until all started looks are done."""
        await asyncio.gather(*self._running)

    async def stop(self) -> None:
        """Cancel running looks; another worker takes them over."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _look(self, provider_id: uuid.UUID) -> None:
        with contextlib.suppress(*AWAY):
            await look_at_each([provider_id], self._refresh)


async def look_at_each(providers: Sequence[uuid.UUID], refresh: Callable[[uuid.UUID], Awaitable[object]]) -> None:
    """Look at all of them at once; one failure does not stop the others. Raises the errors of an unavailable database."""
    found = await asyncio.gather(*map(refresh, providers), return_exceptions=True)
    for provider_id, failure in zip(providers, found, strict=True):
        if isinstance(failure, AWAY):
            raise failure
        if isinstance(failure, Exception):
            log.error("provider_not_looked_at", provider_id=str(provider_id), exc_info=failure)


# Each is one statement: the row is locked and read as the last writer left it, so no failure is lost, and only the one that
# changes what people see is published. The time that calls took does not count towards the window: slow failures are a
# streak like quick ones.
_UNCONNECTED = """
WITH before AS MATERIALIZED (
    SELECT id, s.is_streak, CASE WHEN s.is_streak THEN failures ELSE 0 END + 1 AS count
    FROM provider, LATERAL (
        SELECT coalesce(failing_since > now() - make_interval(secs => $3::float8 + $4::float8), false)
    ) AS s (is_streak)
    WHERE id = $1 AND state <> 'down' FOR NO KEY UPDATE OF provider
), counted AS (
    UPDATE provider AS p SET failures = b.count, probe_at = now(),
        failing_since = CASE WHEN b.is_streak THEN least(p.failing_since + make_interval(secs => $4), now()) ELSE now() END
    FROM before AS b WHERE p.id = b.id AND b.count < $5
), shut AS (
    UPDATE provider AS p SET failures = b.count, state = 'down', error = $2, down_since = coalesce(p.down_since, now()),
        probe_at = now() + make_interval(secs => $6)
    FROM before AS b WHERE p.id = b.id AND b.count >= $5
    RETURNING p.name
)
SELECT name, pg_notify('parley_news', $7)::text FROM shut
"""

_UP = """
WITH before AS MATERIALIZED (
    SELECT id, state, down_since, state = 'failing' AND probes = 0 AS stays_failing FROM provider WHERE id = $1
    FOR NO KEY UPDATE
), up AS (
    UPDATE provider AS p SET latency_ms = $2, refreshed_at = now(), failures = 0, failing_since = NULL, probes = 0,
        probe_at = NULL, state = CASE WHEN b.stays_failing THEN p.state ELSE 'ok' END,
        error = CASE WHEN b.stays_failing THEN p.error ELSE '' END,
        down_since = CASE WHEN b.stays_failing THEN p.down_since END
    FROM before AS b WHERE p.id = b.id
    RETURNING p.name, b.state IN ('down', 'failing') AND p.state = 'ok' AS is_back,
        extract(epoch FROM now() - b.down_since)::int AS down_seconds
), forgotten AS (
    UPDATE model AS m SET refused = '[]' FROM before AS b
    WHERE m.provider = b.id AND b.state IN ('down', 'stale') AND m.refused <> '[]'
)
SELECT *, CASE WHEN is_back OR $3 THEN pg_notify('parley_news', $4)::text END FROM up
"""

_DOWN = """
WITH before AS MATERIALIZED (
    SELECT id, state, probes, state = 'failing' AND NOT $3 AS stays_failing FROM provider WHERE id = $1 FOR NO KEY UPDATE
), looked AS (
    UPDATE provider AS p SET refreshed_at = now(), probes = b.probes + 1,
        state = CASE WHEN $3 THEN 'down' WHEN b.stays_failing THEN p.state ELSE 'stale' END,
        error = CASE WHEN b.stays_failing THEN p.error ELSE $2 END,
        down_since = CASE WHEN $3 THEN coalesce(p.down_since, now()) WHEN b.stays_failing THEN p.down_since END,
        probe_at = now() + make_interval(secs => CASE WHEN $3 THEN $5::float8
            ELSE greatest($4, least($5 * 2 ^ least(b.probes, 10), $6::float8)) END)
    FROM before AS b WHERE p.id = b.id RETURNING b.state
)
SELECT pg_notify('parley_news', $7) FROM looked WHERE (state = 'down') <> $3
"""

_TAKE_DUE = """
UPDATE provider SET probe_at = now() + make_interval(secs => $1) WHERE is_enabled AND probe_at <= now() RETURNING id
"""
