"""The circuit of a provider: what fails again and again is not called any more until a probe finds it back.

It stands in the provider's row, so all workers see the same. `failures` counts failed calls since the last good one;
from `MOST_FAILURES` on the circuit is open and only probes call the server. `state` is what people see: it is down as well
when the last look at its models failed, though calls are tried then.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec
import structlog

from app.chat.shared_words import told_to_all
from app.database import AWAY, fetch, fetch_row
from app.live import News
from app.providers.errors import BadAnswer, ProviderError, RateLimited, StreamCut
from app.words import gettext as _

log = structlog.get_logger()

#: So many failed calls in a row, the first of them at most `WINDOW_SECONDS` before the last, open the circuit.
MOST_FAILURES = 5
WINDOW_SECONDS = 60.0
#: The pauses between probes: doubled from the first to the longest. The schedule looks every five seconds.
FIRST_PROBE_SECONDS, LONGEST_PROBE_SECONDS = 5.0, 30.0
#: Who takes a probe has so long to say what came of it; then it is taken again.
PROBE_LEASE_SECONDS = 30.0

#: Columns of `provider AS p` that say enough for `is_open` and `note_success`. An open circuit that nobody has probed
#: for long (no worker keeps the schedules) counts as closed: nothing may be down for ever.
IS_DOWN = f"p.failures >= {MOST_FAILURES} AND p.probe_at > now() - interval '2 minutes' AS is_down"
COLUMNS = f"p.failures, {IS_DOWN}"

#: Everybody's open pages hear of this: what can be picked has changed.
CATALOG = msgspec.json.encode(News(key="everybody", event="catalog")).decode()


class AllDown(ProviderError):
    """Every provider that could have written the answer is down: nothing was called."""

    code = "all_down"


def all_down(names: Sequence[str]) -> AllDown:
    """What a person is told when no provider of these names can be called."""
    if len(names) == 1:
        sentence = _("%(name)s does not answer at the moment. Your question is kept.")
        return AllDown(sentence % {"name": names[0]})
    sentence = _("None of %(names)s answers at the moment. Your question is kept.")
    return AllDown(sentence % {"names": ", ".join(names)})


async def list_answerable(answers: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these failed answers that the model that was asked, or one that is tried after it, could write now: it was
    looked at since, or nobody had been asked."""
    return {row["id"] for row in await fetch(_ANSWERABLE, answers)}


def is_open(row: Mapping[str, Any]) -> bool:
    """Whether this provider is not to be called now. `row` has `COLUMNS`."""
    return bool(row["is_down"])


def counts(error: ProviderError, *, has_begun: bool = False) -> bool:
    """Whether a failed call says that the server does not work. One that asks for patience (429) does.

    One that breaks off does not, whether it had begun or not: a good call in between forgives it. Nonsense counts in the
    place of an answer; in the middle of one it may be the model's.
    """
    if isinstance(error, BadAnswer):
        return not has_begun
    return isinstance(error, StreamCut) or (error.is_retryable and not isinstance(error, RateLimited))


async def note_failure(provider_id: uuid.UUID, error: ProviderError, *, has_begun: bool = False) -> None:
    """A call failed: its server is looked at within seconds. The one that fills the measure opens the circuit, and tells
    all open pages."""
    if not counts(error, has_begun=has_begun):
        return
    _failing.add(provider_id)
    with contextlib.suppress(*AWAY, asyncpg.PostgresError):
        row = await fetch_row(
            _FAILED, provider_id, WINDOW_SECONDS, MOST_FAILURES, told_to_all(error),
            FIRST_PROBE_SECONDS, LONGEST_PROBE_SECONDS, CATALOG,
        )  # fmt: skip
        if row is not None and row["failures"] == MOST_FAILURES:
            log.warning("circuit_opened", provider=row["name"], error=error.code)


async def note_success(provider_id: uuid.UUID, failures: int = 0) -> None:
    """A call went well. `failures`: as the claim's row said. Where nothing had failed this asks the database nothing.

    It does not close an open circuit: a long answer that ends well was begun before the server went away.
    """
    if not failures and provider_id not in _failing:
        return
    with contextlib.suppress(*AWAY, asyncpg.PostgresError):
        await fetch(_SUCCEEDED, provider_id, MOST_FAILURES)
        _failing.discard(provider_id)


async def found_up(provider_id: uuid.UUID, latency_ms: int, *, has_news: bool) -> None:
    """A look at the provider's models went well: it is back if it was down. `has_news`: it has other models than before.

    A circuit that was open stays touchy: one more failure within the window opens it again, for longer. After that what
    had failed is forgotten. What it refused before it was down is sent again: it may be a newer one.
    """
    row = await fetch_row(_UP, provider_id, latency_ms, MOST_FAILURES, has_news, CATALOG, WINDOW_SECONDS)
    if row is not None and row["was_down"]:
        log.info("provider_back", provider=row["name"], seconds=row["down_seconds"])


async def found_down(provider_id: uuid.UUID, sentence: str) -> None:
    """A look at the provider's models failed: it is shown as down, and probed, ever more rarely."""
    await fetch(_DOWN, provider_id, sentence, FIRST_PROBE_SECONDS, LONGEST_PROBE_SECONDS, CATALOG, WINDOW_SECONDS)


async def probe_due(refresh: Callable[[uuid.UUID], Awaitable[object]]) -> None:
    """Look at every provider that is down and due. `refresh` ends in `found_up` or `found_down`. Safe to run twice at once."""
    await look_at_each([row["id"] for row in await fetch(_TAKE_DUE, PROBE_LEASE_SECONDS)], refresh)


async def look_at_each(providers: Sequence[uuid.UUID], refresh: Callable[[uuid.UUID], Awaitable[object]]) -> None:
    """Look at all of them at once: whatever one of them does, the others are looked at. Raises what a database away does."""
    found = await asyncio.gather(*map(refresh, providers), return_exceptions=True)
    for provider_id, failure in zip(providers, found, strict=True):
        if isinstance(failure, AWAY):
            raise failure
        if isinstance(failure, Exception):
            log.error("provider_not_looked_at", provider_id=str(provider_id), exc_info=failure)


#: Providers whose last call from this process failed: a success must say so even if the claim came before the failure.
_failing: set[uuid.UUID] = set()

# Each is one statement: the row is locked and read as whoever came before has left it, so no failure is lost, and only
# the one that changes what people see tells them.
_FAILED = """
WITH before AS MATERIALIZED (
    SELECT id, state, s.is_streak, CASE WHEN s.is_streak THEN failures ELSE 0 END + 1 AS count,
           CASE WHEN s.is_streak OR state = 'down' THEN probes ELSE 0 END AS pauses
    FROM provider, LATERAL (SELECT coalesce(failing_since > now() - make_interval(secs => $2), false)) AS s (is_streak)
    WHERE id = $1 AND failures < $3 FOR NO KEY UPDATE OF provider
), counted AS (
    UPDATE provider AS p SET failures = b.count, probes = b.pauses, probe_at = coalesce(p.probe_at, now()),
        failing_since = CASE WHEN b.is_streak THEN p.failing_since ELSE now() END
    FROM before AS b WHERE p.id = b.id AND b.count < $3
    RETURNING p.name, p.failures, NULL AS state
), opened AS (
    UPDATE provider AS p SET failures = b.count, probes = b.pauses + 1, failing_since = coalesce(p.failing_since, now()),
        state = 'down', error = $4, down_since = coalesce(p.down_since, now()),
        probe_at = now() + make_interval(secs => least($5 * 2 ^ least(b.pauses, 10), $6))
    FROM before AS b WHERE p.id = b.id AND b.count >= $3
    RETURNING p.name, p.failures, b.state
)
SELECT name, failures, NULL AS told FROM counted
UNION ALL
SELECT name, failures, CASE WHEN state <> 'down' THEN pg_notify('parley_news', $7)::text END FROM opened
"""

_SUCCEEDED = """
UPDATE provider SET failures = 0, failing_since = NULL, probes = CASE WHEN state = 'down' THEN probes ELSE 0 END
WHERE id = $1 AND failures BETWEEN 1 AND $2 - 1
"""

_UP = """
WITH before AS MATERIALIZED (
    SELECT id, state, down_since, failures >= $3 AS is_open,
           failures >= $3 OR coalesce(failing_since > now() - make_interval(secs => $6), false) AS is_touchy
    FROM provider WHERE id = $1 FOR NO KEY UPDATE
), up AS (
    UPDATE provider AS p SET state = 'ok', error = '', latency_ms = $2, refreshed_at = now(), down_since = NULL,
        probe_at = NULL, failures = CASE WHEN b.is_touchy THEN least(p.failures, $3 - 1) ELSE 0 END,
        probes = CASE WHEN b.is_touchy THEN p.probes ELSE 0 END,
        failing_since = CASE WHEN b.is_open THEN now() WHEN b.is_touchy THEN p.failing_since END
    FROM before AS b WHERE p.id = b.id
    RETURNING p.name, b.state = 'down' AS was_down, extract(epoch FROM now() - b.down_since)::int AS down_seconds
), forgotten AS (
    UPDATE model AS m SET refused = '[]' FROM before AS b WHERE m.provider = b.id AND b.state = 'down' AND m.refused <> '[]'
)
SELECT *, CASE WHEN was_down OR $4 THEN pg_notify('parley_news', $5)::text END FROM up
"""

_DOWN = """
WITH before AS MATERIALIZED (
    SELECT id, state, CASE WHEN state = 'down' OR failing_since > now() - make_interval(secs => $6) THEN probes ELSE 0 END
        AS pauses
    FROM provider WHERE id = $1 FOR NO KEY UPDATE
), down AS (
    UPDATE provider AS p SET state = 'down', error = $2, refreshed_at = now(), down_since = coalesce(p.down_since, now()),
        probes = b.pauses + 1, probe_at = now() + make_interval(secs => least($3 * 2 ^ least(b.pauses, 10), $4))
    FROM before AS b WHERE p.id = b.id RETURNING b.state
)
SELECT pg_notify('parley_news', $5) FROM down WHERE state <> 'down'
"""

_ANSWERABLE = """
SELECT a.id FROM message AS a WHERE a.id = ANY($1) AND EXISTS (
    SELECT 1 FROM model AS asked, jsonb_array_elements_text(jsonb_build_array(asked.id) || asked.fallbacks) AS w (id)
    JOIN model AS m ON m.id = w.id::uuid AND m.gone_at IS NULL
    JOIN provider AS p ON p.id = m.provider AND p.is_enabled AND p.state <> 'down'
    WHERE asked.id = a.model AND (a.error_code = 'all_down' OR p.refreshed_at > a.finished_at)
)
"""

_TAKE_DUE = """
UPDATE provider SET probe_at = now() + make_interval(secs => $1) WHERE is_enabled AND probe_at <= now() RETURNING id
"""
