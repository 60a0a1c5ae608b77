"""How an answer ends: what was measured on the way, and the one guarded statement that makes it final."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from app.chat import counters
from app.chat.figures import estimated, filled, speed
from app.chat.sidebar import told
from app.database import fetch_row
from app.live import Fenced, Row, to_delta
from app.parts import FinishReason, Part, ReasoningPart, Usage, encode_parts, fold, join, text_of
from app.providers.base import ChatRequest
from app.words import gettext as _

#: What a column of counts holds at most.
MOST_STORED = 2**31 - 1


class Ending:
    """What is known of an answer's end, gathered while it runs. Durations are in milliseconds.

    `before`: what the answer consisted of already, if it is a continued one.
    """

    def __init__(self, row: Mapping[str, Any], before: Sequence[Part], worker_id: int | None) -> None:
        self.row = row
        self.attempt: int = row["attempt"]
        self.before = before
        self.worker_id = worker_id
        self.request: ChatRequest | None = None
        self.status = "complete"
        self.finish_reason: FinishReason | None = None
        self.error_code = ""
        self.error_sentence = ""
        self.usage: Usage | None = None
        self.first_token_ms: int | None = None
        self.reasoning_ms: int | None = None
        self.attempts: list[dict[str, Any]] = msgspec.json.decode(row["provider_attempts"])
        self.content = ""
        self.text_chars = 0
        self._started = time.monotonic()
        self._call_started: float | None = None
        self._was_repeated = False
        self._reasoning_since: float | None = None

    def see(self, *, is_reasoning: bool) -> None:
        """A delta came."""
        now = time.monotonic()
        if self.first_token_ms is None:
            self.first_token_ms = round((now - self._started) * 1000 + float(self.row["waited_ms"]))
        if is_reasoning and self._reasoning_since is None:
            self._reasoning_since = now
        if not is_reasoning and self._reasoning_since is not None and self.reasoning_ms is None:
            self.reasoning_ms = round((now - self._reasoning_since) * 1000)

    def use(self, candidate: Mapping[str, Any]) -> None:
        """Another model writes it from now on: what the one before counted stands with its call."""
        self.row = {**self.row, **candidate}
        self.usage = None

    def begin_call(self) -> None:
        """The model is called; `note_attempt` ends the call, and so does every end of the answer."""
        self._call_started = time.monotonic()
        self._was_repeated = False
        self.usage = None

    def note_repeat(self) -> None:
        """The request of this call was sent a second time, because the connection was dead: it is still one call."""
        self._was_repeated = True

    def note_attempt(self, error: str) -> None:
        """The call under way is over; `error` is its code, empty if there was none. Usage counts for this call."""
        if self._call_started is None:
            return
        self.attempts.append(
            {
                "number": self.attempt,
                "provider": self.row["provider_name"],
                "model": self.row["model_name"],
                "kind": self.row.get("kind") or "",
                "provider_id": self.row.get("provider_id") or "",
                "error": error,
                "duration_ms": round((time.monotonic() - self._call_started) * 1000),
                "usage": msgspec.to_builtins(self.usage) if self.usage else None,
                **({"was_repeated": True} if self._was_repeated else {}),
            }
        )
        self._call_started = None

    def note_usage(self, usage: Usage) -> None:
        """What the last call came to, with estimates where its server did not say."""
        if self.attempts:
            self.attempts[-1]["usage"] = msgspec.to_builtins(usage)

    def cut(self, status: str, sentence: str = "") -> None:
        """It broke off: `stopped` by the person, or `interrupted`."""
        self.status = status
        self.finish_reason = "stopped" if status == "stopped" else "interrupted"
        if status == "interrupted":
            self.error_code, self.error_sentence = "interrupted", sentence or _interrupted()
        self.note_attempt(self.finish_reason)

    def fail(self, code: str, sentence: str) -> None:
        """It failed: what came stays, the sentence stands below it."""
        self.status, self.finish_reason = "failed", "failed"
        self.error_code, self.error_sentence = code, sentence
        self.note_attempt(code)

    def log_of_attempts(self) -> str:
        """The calls so far as the JSON of their column."""
        return msgspec.json.encode(self.attempts).decode()

    @property
    def duration_ms(self) -> int:
        """Since the person sent the question."""
        return round((time.monotonic() - self._started) * 1000 + float(self.row["waited_ms"]))

    def is_without_effect(self, new: Sequence[Part]) -> bool:
        """Whether an answer was to be continued, and `new` is nothing: refused, stopped or broken off before it went on."""
        return bool(self.row["is_continuation"]) and not new and self.status != "complete"

    def facts(self) -> dict[str, Any]:
        """What the log says of it."""
        usage = self.usage or Usage()
        return {
            "status": self.status, "error": self.error_code, "model": self.row["model_name"],
            "provider": self.row["provider_name"], "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens, "first_token_ms": self.first_token_ms,
            "duration_ms": self.duration_ms, "calls": len(self.attempts),
        }  # fmt: skip


def _interrupted() -> str:
    return _("The answer was interrupted: the process that wrote it, or the model server, went away.")


async def finish(ending: Ending, rows: Sequence[Row]) -> None:
    """Fold the deltas into parts and make the answer final. Raises `Fenced` if it was not ours any more.

    Nothing is rendered: whatever a model wrote, its end is stored. Pages make the HTML (`chat/rendering.py`).
    A continued answer to which nothing came keeps its earlier end: text, figures and all; why it did not go on is added.
    """
    new = fold(to_delta(kind, body) for _, kind, body in rows)
    parts = join(ending.before, _with_duration(new, ending.reasoning_ms))
    content = ending.content = text_of(parts)
    if ending.is_without_effect(new):
        return await _keep(ending)
    usage = filled(ending.usage, _estimate(ending, new))
    if new:
        ending.note_usage(usage)
    row, duration_ms = ending.row, ending.duration_ms
    done = await fetch_row(
        _FINISH,
        row["id"], ending.attempt, ending.worker_id, row["message"], row["thread"],
        ending.status, encode_parts(parts), content,
        usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.is_exact,
        ending.first_token_ms, duration_ms,
        speed(usage, first_token_ms=ending.first_token_ms, duration_ms=duration_ms), ending.finish_reason or "failed",
        ending.error_code, ending.error_sentence, ending.log_of_attempts(), bool(new or ending.usage),
        row["is_continuation"], bool(new),
    )  # fmt: skip
    if done is None:
        raise Fenced
    ending.usage = usage  # what is stored is what the log says
    _count(ending, usage)


async def _keep(ending: Ending) -> None:
    row = ending.row
    done = await fetch_row(
        _KEEP,
        row["id"], ending.attempt, ending.worker_id, row["message"], row["thread"],
        ending.error_code, ending.error_sentence, ending.log_of_attempts(),
    )  # fmt: skip
    if done is None:
        raise Fenced
    _count(ending, ending.usage or Usage())


async def is_stored(ending: Ending) -> bool:
    """Whether this very end was stored already: the answer to its COMMIT may have been lost."""
    ids = (ending.row["id"], ending.attempt, ending.worker_id)
    return await fetch_row(_STORED, *ids, ending.status, ending.error_code) is not None


def _count(ending: Ending, usage: Usage) -> None:
    counters.note_end(
        status=ending.status, usage=usage, attempts=ending.attempts, first_token_ms=ending.first_token_ms,
        duration_ms=ending.duration_ms,
    )  # fmt: skip


def _with_duration(parts: tuple[Part, ...], reasoning_ms: int | None) -> tuple[Part, ...]:
    if parts and isinstance(parts[0], ReasoningPart) and reasoning_ms is not None:
        return (msgspec.structs.replace(parts[0], duration_ms=reasoning_ms), *parts[1:])
    return parts


def _estimate(ending: Ending, new: Sequence[Part]) -> Usage:
    """When the server does not say. What was never sent took no tokens, nor what was refused before a word came."""
    if not ending.attempts or (ending.status == "failed" and not new):
        return Usage()
    return estimated(ending.request, new)


def _sum(column: str, value: str) -> str:
    """SQL of a count that is added to a continued answer's: unknown if either is, and never more than its column holds."""
    so_far = f"CASE WHEN $21::boolean THEN message.{column} ELSE 0 END"
    return f"CASE WHEN {so_far} + {value}::bigint IS NOT NULL THEN least({so_far} + {value}::bigint, {MOST_STORED}) END"


# Guarded twice: by the attempt that was claimed, and by the worker's fence. One statement, one commit, one notification.
# The thread is locked first, as by whoever starts, stops or deletes: two who take the same rows in another order would
# wait for each other.
_END = """
WITH held AS MATERIALIZED (SELECT 1 FROM thread WHERE id = $5 FOR NO KEY UPDATE),
ended AS (
    UPDATE generation SET state = 'ended', ended_at = now(), provider_attempts = $%s FROM held
    WHERE id = $1 AND attempt = $2 AND state = 'running' AND worker IS NOT DISTINCT FROM $3
    RETURNING id
), answer AS (
    UPDATE message SET %s, finished_at = now() FROM ended WHERE message.id = $4
), thread AS (
    UPDATE thread SET version = version + 1, updated_at = now() FROM ended WHERE thread.id = $5
    RETURNING thread.version, thread."user"
)
SELECT pg_notify('parley_news', json_build_object(
    'key', 'thread:' || $5::text, 'event', 'message', 'version', thread.version, 'message', $4::text,
    'is_final', true)::text), TOLD
FROM thread
""".replace("TOLD", told("idle", "$5", 'thread."user"'))

# Of an answer that was to go on and did not, whoever was asked to go on has written nothing.
_LAST_WRITER = """
    model = (SELECT id FROM model WHERE id = (message.writers -> -1 ->> 'model')::uuid),
    model_label = coalesce(message.writers -> -1 ->> 'label', message.model_label)
"""

# The cost of a part is NULL as soon as a count or a price that it needs is; $20: anything came that costs. $21: it was
# continued, so what is known of its parts is added up, and it is said if that is not all. $22: text came.
_FINISH = _END % (
    19,
    f"""
    status = $6, parts = $7, content = $8, html = '', html_version = 0, failed_renders = 0,
    input_tokens = {_sum("input_tokens", "$9::int")}, output_tokens = {_sum("output_tokens", "$10::int")},
    cached_tokens = coalesce({_sum("cached_tokens", "$11::int")}, $11, CASE WHEN $21 THEN message.cached_tokens END),
    usage_is_exact = $12::boolean AND (message.usage_is_exact OR NOT $21),
    first_token_ms = CASE WHEN $21 THEN coalesce(message.first_token_ms, $13) ELSE $13::int END,
    duration_ms = CASE WHEN $21 THEN message.duration_ms ELSE 0 END + $14::int,
    tokens_per_second = $15, finish_reason = $16, error_code = $17, error_sentence = $18,
    writers = CASE WHEN $21 AND $22::boolean AND message.writers -> -1 ->> 'label' <> message.model_label
        THEN message.writers || jsonb_build_object('model', message.model, 'label', message.model_label)
        ELSE message.writers END,
    (cost, cost_is_partial) = (
        SELECT CASE WHEN $21 THEN coalesce(message.cost + part.cost, message.cost, part.cost) ELSE part.cost END,
            $21 AND (message.cost_is_partial OR ($20 AND (message.cost IS NULL) <> (part.cost IS NULL)))
        FROM (SELECT CASE WHEN $20::boolean THEN (
            SELECT (($9::int - cached.tokens) * m.input_price + $10::int * m.output_price
                + CASE cached.tokens WHEN 0 THEN 0 ELSE cached.tokens * m.cached_price END) / 1000000
            FROM model AS m, LATERAL (SELECT least(coalesce($11::int, 0), $9::int) AS tokens) AS cached
            WHERE m.id = message.model
        ) END AS cost) AS part
    )
    """,
)

# `finish_reason` is still the earlier one, and tells how the answer stood.
_KEEP = _END % (
    8,
    f"""
    {_LAST_WRITER.strip()},
    status = CASE WHEN finish_reason IN ('stopped', 'interrupted') THEN finish_reason ELSE 'complete' END,
    error_code = $6, error_sentence = $7
    """,
)

_STORED = """
SELECT 1 FROM generation AS g JOIN message AS m ON m.id = g.message
WHERE g.id = $1 AND g.attempt = $2 AND g.worker IS NOT DISTINCT FROM $3 AND g.state = 'ended'
  AND (m.status = $4 OR (g.is_continuation AND m.error_code = $5))
"""
