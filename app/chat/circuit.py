"""The circuit of a model: one that fails again and again is not called, except for one trial call every few seconds.

It stands in the model's row, so all workers see the same. `failures` counts failed calls since the last good one; from
`MOST_FAILURES` on the circuit is open (`down_since`) and the next trial may be made from `trial_at` on. Whether its provider can
be reached at all is kept in `reachability.py`: failures to connect are the provider's and count there. See ADR 0041.
"""

import contextlib
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import structlog

from app.chat.access import is_offered
from app.chat.reachability import CATALOG, IS_DOWN, WINDOW_SECONDS, is_unconnected, note_unconnected
from app.chat.shared_words import told_to_all
from app.database import AWAY, fetch, fetch_row
from app.providers import PROVIDERS
from app.providers.errors import BadAnswer, ProviderError, RateLimited, StreamCut
from app.words import gettext as _

log = structlog.get_logger()

#: This many failed calls in a row, the first of them at most `WINDOW_SECONDS` before the last, open the circuit.
MOST_FAILURES = 5
#: The pause between trials, whatever their outcome: one that hangs does not block the next.
TRIAL_PAUSE_SECONDS = 3.0
#: If a due trial is not made for this long, the circuit closes; the next failure opens it again.
QUIET_SECONDS = 1.0
#: How long a trial, and a call within a minute of the last failures, waits for the first token where another model would answer.
TRIAL_SECONDS = 10.0
#: An answer is noted this often at most, where nothing had failed.
NOTED_SECONDS = 5.0

#: SQL of JSON keys, for rows `model AS m` and `provider AS p`: what a `Circuit` is made from.
KEYS = f"""'failures', m.failures, 'is_open', m.down_since IS NOT NULL, 'must_load', m.is_loaded IS FALSE, 'is_doubtful',
    m.failures >= {MOST_FAILURES - 1} AND coalesce(m.failing_since > now() - interval '{WINDOW_SECONDS} seconds', false),
    'is_due', m.trial_at IS NULL OR m.trial_at <= now(), 'is_failing', p.state = 'failing', 'is_down', {IS_DOWN}"""
#: SQL of a row `model AS m` and its `provider AS p`: whether calls of it fail at the moment, though connections are made.
IS_SILENT = "(p.state <> 'down' AND (m.down_since IS NOT NULL OR p.state = 'failing'))"


class AllDown(ProviderError):
    """No model that could have written the answer was called: each circuit is open, or its provider is down."""

    code = "all_down"


class Circuit:
    """The circuit of one model, as a claim found it, for the calls of one answer. `row` has `KEYS` and what names the model."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.model = uuid.UUID(row["model"])
        self.needs_trial = bool(row["is_open"] or row["is_failing"])

    @property
    def is_open(self) -> bool:
        """Whether it is not to be called now: its provider is down, or its next trial is not due."""
        return bool(self.row["is_down"] or (self.needs_trial and not self.row["is_due"]))

    @property
    def is_out(self) -> str:
        """The name of what does not answer: the whole provider, or only this model."""
        return str(self.row["provider_name" if self.is_provider_out else "model_name"])

    @property
    def is_provider_out(self) -> bool:
        """Whether its provider cannot be reached, or none of its models answers."""
        return bool(self.row["is_down"] or self.row["is_failing"])

    @property
    def patience_seconds(self) -> float:
        """How long the first token is waited for where another model could answer. Loading a model takes as long as it takes."""
        is_short = (self.needs_trial or self.row["is_doubtful"]) and not self.row["must_load"]
        return TRIAL_SECONDS if is_short else math.inf

    async def may_call(self) -> bool:
        """Take the trial if one is needed; only one worker gets it."""
        if self.is_open:
            return False
        return not self.needs_trial or await fetch_row(_TAKE_TRIAL, self.model, TRIAL_PAUSE_SECONDS) is not None

    async def note_failure(self, error: ProviderError, *, seconds: float = 0.0, has_begun: bool = False) -> bool:
        """A call failed after so long: whether its circuit is open now, so that calling it again makes no sense.

        The failure that fills the measure opens the circuit and tells all open pages.
        """
        if not counts(error, has_begun=has_begun):
            return False
        provider_id = uuid.UUID(self.row["provider_id"])
        _failing.add(self.model)
        with contextlib.suppress(*AWAY, asyncpg.PostgresError):
            if is_unconnected(error) and not PROVIDERS[self.row["kind"]].runs_here:
                await note_unconnected(provider_id, told_to_all(error), seconds)
                return False
            row = await fetch_row(
                _FAILED, self.model, provider_id, told_to_all(error), WINDOW_SECONDS, seconds, MOST_FAILURES,
                TRIAL_PAUSE_SECONDS, CATALOG,
            )  # fmt: skip
            if row is not None and row["has_opened"]:
                log.warning("circuit_opened", model=row["name"], provider=self.row["provider_name"], error=error.code)
            return bool(row and row["is_open"])
        return False

    async def note_begun(self) -> None:
        """The first token came: a trial closes the circuit now, not at the end of a long answer. The next failure reopens it."""
        if self.needs_trial:
            await self._note(is_complete=False)

    async def note_success(self) -> None:
        """A call went well: what had failed is forgotten. Where nothing had, the database hears of it now and then.

        An answer that was begun before the circuit opened does not close it: a server that is going away ends its answers.
        """
        was_noted = time.monotonic() - _noted.get(self.row["provider_id"], -NOTED_SECONDS) < NOTED_SECONDS
        if self.row["failures"] or self.needs_trial or self.model in _failing or not was_noted:
            await self._note(is_complete=True)

    async def _note(self, *, is_complete: bool) -> None:
        with contextlib.suppress(*AWAY, asyncpg.PostgresError):
            row = await fetch_row(_ANSWERED, self.model, is_complete, MOST_FAILURES, CATALOG, self.needs_trial)
            _noted[self.row["provider_id"]] = time.monotonic()
            if is_complete:
                _failing.discard(self.model)
            if row is not None and row["has_closed"]:
                log.info("circuit_closed", model=row["name"], provider=self.row["provider_name"], was_tried=True)


def all_down(circuits: Sequence[Circuit]) -> AllDown:
    """The error when none of these can be called; it says whether a model or a whole server fails."""
    names = sorted({circuit.is_out for circuit in circuits})
    if len(names) > 1:
        sentence = _("None of %(names)s answers at the moment. Your question is kept.")
        return AllDown(sentence % {"names": ", ".join(names)})
    if circuits[0].is_provider_out:
        sentence = _("%(name)s does not answer at the moment. Your question is kept.")
    else:
        sentence = _("The model %(name)s does not answer at the moment, but its server does. Your question is kept.")
    return AllDown(sentence % {"name": names[0]})


def counts(error: ProviderError, *, has_begun: bool = False) -> bool:
    """Whether a failed call says that the model does not work. A server that asks to slow down (429) works.

    One that breaks off does not, whether it had begun or not: a good call in between forgives it. Nonsense counts in the
    place of an answer; in the middle of one it may be the model's.
    """
    if isinstance(error, BadAnswer):
        return not has_begun
    return isinstance(error, StreamCut) or (error.is_retryable and not isinstance(error, RateLimited))


async def close_quiet() -> None:
    """Close circuits whose trial is overdue because no question came: pages offer the model again, a failure reopens it."""
    for row in await fetch(_CLOSE_QUIET, QUIET_SECONDS, MOST_FAILURES, CATALOG):
        log.info("circuit_closed", model=row["name"], provider=row["provider"], was_tried=False)
    await fetch(_CLOSE_QUIET_PROVIDERS, CATALOG)


async def list_answerable(answers: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these failed answers that the model that was asked, or one that is tried after it, could write now: its server
    was looked at or answered since, or nothing had been called."""
    return {row["id"] for row in await fetch(_ANSWERABLE, answers)}


#: Models whose last call from this process failed: a success must say so even if the claim came before the failure.
_failing: set[uuid.UUID] = set()
#: Provider → when this process last noted an answer of it.
_noted: dict[str, float] = {}

# Each is one statement. Both rows are locked, the provider's first as everywhere, and read as the last writer left them, so
# no failure is lost, and only the one that changes what people see is published. The time that calls took does not count
# towards the window. While the circuit is open nothing moves the next trial but a trial.
_FAILED = f"""
WITH account AS MATERIALIZED (SELECT state, answered_at FROM provider WHERE id = $2 FOR NO KEY UPDATE),
before AS MATERIALIZED (
    SELECT m.id, m.down_since IS NOT NULL AS is_open, s.is_streak, account.state IN ('failing', 'down')
               OR coalesce(account.answered_at > now() - interval '{WINDOW_SECONDS + NOTED_SECONDS} seconds', false) AS is_up,
           CASE WHEN s.is_streak THEN m.failures ELSE 0 END + 1 AS count
    FROM account, model AS m, LATERAL (
        SELECT m.down_since IS NOT NULL
            OR coalesce(m.failing_since > now() - make_interval(secs => $4::float8 + $5::float8), false)
    ) AS s (is_streak)
    WHERE m.id = $1 FOR NO KEY UPDATE OF m
), failed AS (
    UPDATE model AS m SET error = $3, failures = least(b.count, $6),
        failing_since = CASE WHEN b.is_open OR NOT b.is_streak THEN now()
            ELSE least(m.failing_since + make_interval(secs => $5), now()) END,
        down_since = CASE WHEN b.count >= $6 THEN coalesce(m.down_since, now()) ELSE m.down_since END,
        trial_at = CASE WHEN b.count >= $6 AND NOT b.is_open THEN now() + make_interval(secs => $7) ELSE m.trial_at END
    FROM before AS b WHERE m.id = b.id
    RETURNING m.name, m.down_since IS NOT NULL AS is_open, NOT b.is_open AND m.down_since IS NOT NULL AS has_opened,
        m.down_since IS NOT NULL AND NOT b.is_up
            AND EXISTS (SELECT 1 FROM model AS o WHERE o.provider = $2 AND o.id <> $1 AND o.down_since IS NOT NULL) AS shuts
), shut AS (
    UPDATE provider AS p SET probe_at = coalesce(p.probe_at, now()),
        state = CASE WHEN f.shuts THEN 'failing' ELSE p.state END, error = CASE WHEN f.shuts THEN $3 ELSE p.error END,
        down_since = CASE WHEN f.shuts THEN now() ELSE p.down_since END
    FROM failed AS f WHERE p.id = $2
)
SELECT name, is_open, has_opened, CASE WHEN has_opened OR shuts THEN pg_notify('parley_news', $8)::text END FROM failed
"""

_TAKE_TRIAL = """
UPDATE model SET trial_at = now() + make_interval(secs => $2)
WHERE id = $1 AND (trial_at IS NULL OR trial_at <= now()) RETURNING id
"""

# Does not wait for the disk: what a crash loses of it, the next answer writes again.
_ANSWERED = """
WITH account AS MATERIALIZED (
    SELECT id, state FROM provider WHERE id = (SELECT provider FROM model WHERE id = $1) FOR NO KEY UPDATE
), before AS MATERIALIZED (
    SELECT m.id, m.name, account.id AS provider, account.state, m.down_since IS NOT NULL AND NOT $5 AS stays_open,
           m.down_since IS NOT NULL AND $5 AS closes
    FROM account, model AS m WHERE m.id = $1 FOR NO KEY UPDATE OF m
), closed AS (
    UPDATE model AS m SET down_since = NULL, trial_at = NULL, failures = CASE WHEN $2 THEN 0 ELSE least(m.failures, $3 - 1) END,
        failing_since = CASE WHEN $2 THEN NULL ELSE m.failing_since END, error = CASE WHEN $2 THEN '' ELSE m.error END
    FROM before AS b WHERE m.id = b.id AND NOT b.stays_open AND (m.failures > 0 OR m.trial_at IS NOT NULL)
), answered AS (
    UPDATE provider AS p SET answered_at = now(),
        state = CASE WHEN b.state <> 'failing' THEN p.state WHEN p.probes > 0 THEN 'stale' ELSE 'ok' END,
        error = CASE WHEN b.state = 'failing' THEN '' ELSE p.error END,
        down_since = CASE WHEN b.state = 'failing' THEN NULL ELSE p.down_since END
    FROM before AS b WHERE p.id = b.provider
)
SELECT name, closes AS has_closed, CASE WHEN closes OR state = 'failing' THEN pg_notify('parley_news', $4)::text END,
       set_config('synchronous_commit', 'off', true)
FROM before
"""

_CLOSE_QUIET = """
WITH closed AS (
    UPDATE model SET down_since = NULL, trial_at = NULL, failures = $2 - 1 WHERE id IN (
        SELECT id FROM model WHERE down_since IS NOT NULL AND trial_at <= now() - make_interval(secs => $1)
        FOR NO KEY UPDATE SKIP LOCKED
    ) RETURNING name, provider
)
SELECT c.name, p.name AS provider, pg_notify('parley_news', $3)::text FROM closed AS c JOIN provider AS p ON p.id = c.provider
"""

_CLOSE_QUIET_PROVIDERS = """
WITH closed AS (
    UPDATE provider AS p SET state = CASE WHEN probes > 0 THEN 'stale' ELSE 'ok' END, down_since = NULL,
        error = CASE WHEN probes > 0 THEN error ELSE '' END
    WHERE state = 'failing' AND 2 > (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.down_since IS NOT NULL)
    RETURNING id
)
SELECT pg_notify('parley_news', $1) FROM closed LIMIT 1
"""

_ANSWERABLE = f"""
SELECT a.id FROM message AS a WHERE a.id = ANY($1) AND EXISTS (
    SELECT 1 FROM model AS asked, jsonb_array_elements_text(jsonb_build_array(asked.id) || asked.fallbacks) AS w (id)
    JOIN model AS m ON m.id = w.id::uuid AND {is_offered()}
    JOIN provider AS p ON p.id = m.provider AND p.is_enabled AND p.state <> 'down' AND NOT {IS_SILENT}
    WHERE asked.id = a.model AND (a.error_code = 'all_down' OR p.answered_at > a.finished_at
        OR (p.state = 'ok' AND p.refreshed_at > a.finished_at))
)
"""
