"""Claiming a generation: it becomes this worker's, and everything that is needed to run it comes along in one statement."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from app.chat import circuit
from app.chat.access import is_offered, may_use
from app.chat.facts import NOT_TAKEN
from app.chat.tree import BRANCH, decode_branch
from app.database import fetch_row
from app.parts import Part
from app.providers.base import ChatMessage, Image

#: A model that may write the answer, with all that a call of it takes: the columns of `_CANDIDATES`.
Candidate = Mapping[str, Any]


class Claim(msgspec.Struct, frozen=True):
    """A generation that this worker holds. The answer itself is the last entry of `branch`.

    `candidates`: the model that was asked for, if it is still there, and those that its owner named to be tried next.
    """

    row: Mapping[str, Any]
    branch: tuple[ChatMessage, ...]
    candidates: list[Candidate]

    @property
    def id(self) -> uuid.UUID:
        """The generation's id."""
        found: uuid.UUID = self.row["id"]
        return found

    @property
    def before(self) -> list[Part]:
        """What the answer consists of already, if it is a continued one."""
        return [part for part in self.branch[-1].parts if not isinstance(part, Image)]


async def claim_generation(generation_id: uuid.UUID, worker_id: int) -> Claim | None:
    """Take a queued generation, or take up the one that this worker holds. None: it is not to be had.

    The disk is not waited for: what is kept next, before the model is called, waits for both (`keep_request`).
    """
    row = await fetch_row(_CLAIM, generation_id, worker_id)
    if row is None:
        return None
    candidates: list[Candidate] = msgspec.json.decode(row["candidates"] or "[]")
    first = candidates[0] if candidates else {"model_name": "", "provider_name": ""}
    return Claim({**row, **first}, decode_branch(row["branch"]), candidates)


_CANDIDATES = f"""(
    SELECT json_agg(json_build_object(
        'model', m.id, 'model_name', m.name, 'context_window', m.context_window,
        'max_output_tokens', m.max_output_tokens, 'has_reasoning', m.has_reasoning,
        'not_taken', {NOT_TAKEN}, 'engine', m.engine::text, 'provider_id', p.id, 'kind', p.kind,
        'provider_name', p.name, 'base_url', p.base_url, 'base_url_sealed', p.base_url_sealed,
        'key_sealed', p.key_sealed, 'allows_private', p.allows_private,
        {circuit.KEYS}) ORDER BY w.place)
    FROM model AS asked, LATERAL (
        SELECT id, min(place) AS place FROM jsonb_array_elements_text(jsonb_build_array(asked.id) || asked.fallbacks)
            WITH ORDINALITY AS e (id, place) GROUP BY id
    ) AS w
    JOIN model AS m ON m.id = w.id::uuid AND {is_offered()} AND {may_use('t."user"')}
    JOIN provider AS p ON p.id = m.provider AND p.is_enabled
    WHERE asked.id = a.model
)"""

# A worker that holds it already asks again: the answer to its first claim was lost with the connection.
_CLAIM = f"""
WITH claimed AS (
    UPDATE generation SET state = 'running', worker = $2, attempt = attempt + (state = 'queued')::int,
        started_at = coalesce(started_at, now())
    WHERE id = $1 AND (state = 'queued' OR (state = 'running' AND worker = $2))
      AND EXISTS (SELECT 1 FROM worker WHERE id = $2 AND is_alive)
    RETURNING *
), answer AS (
    UPDATE message SET status = 'running' FROM claimed WHERE message.id = claimed.message
    RETURNING message.model, message.model_label
)
SELECT c.id, c.message, c.thread, c.attempt, c.is_continuation, c.provider_attempts, c.language,
       extract(epoch FROM now() - c.queued_at) * 1000 AS waited_ms,
       extract(epoch FROM now() - c.started_at) AS spent_seconds,
       NOT (t.is_named OR EXISTS (SELECT 1 FROM message AS m WHERE m.thread = c.thread AND m.role = 'assistant'
           AND m.status = 'complete' AND m.id <> c.message)) AS wants_title,
       t."user", t.system_prompt, t.options, a.model AS asked_model, a.model_label AS asked_label,
       {BRANCH % "c.message"} AS branch, {_CANDIDATES} AS candidates,
       set_config('synchronous_commit', 'off', true) AS commit
FROM claimed AS c
JOIN answer AS a ON true
JOIN thread AS t ON t.id = c.thread
"""
