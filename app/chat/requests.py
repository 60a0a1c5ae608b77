"""The exact requests behind an answer: stored before they are sent, read later. Naming the thread is one of them.

The messages of a request are rows of `block (thread, hash, body)`: each text is stored once in a thread however often it
is sent, and is deleted with the thread. `hash` is the SHA-256 of `body`, which is JSON text exactly as it was sent.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from app.database import fetch
from app.live import Fenced

#: What the protocols call the list of messages in a body: OpenAI, Anthropic and Ollama; Gemini; OpenAI's Responses API; and
#: DeepAI its one text.
MESSAGE_FIELDS = ("messages", "contents", "input", "text")


class Sent(msgspec.Struct, frozen=True):
    """One body, and the calls that it was sent with, as `Ending` notes them. `is_naming`: it asked for a title.

    No calls: the first one is under way. No body: it was never sent, or nobody knows.
    """

    body: dict[str, Any] | None
    calls: list[dict[str, Any]]
    is_naming: bool = False


async def keep_request(generation_id: uuid.UUID, body: dict[str, Any], *, call: int, worker_id: int | None) -> None:
    """Store what is about to be sent with this call: its messages as blocks of the thread, the rest with the generation.

    The claim is on the disk with it. Raises `Fenced` if the generation is not this worker's (any more).
    """
    if not await _keep(_REQUEST, generation_id, body, str(call), worker_id):
        raise Fenced


async def keep_naming(generation_id: uuid.UUID, body: dict[str, Any]) -> None:
    """The same of what asks for a title after a generation."""
    await _keep(_NAMING, generation_id, body)


async def note_naming(generation_id: uuid.UUID, model: uuid.UUID, call: Mapping[str, Any]) -> None:
    """How that call ended, as `Ending.note_attempt` says it of others; what it cost is added."""
    usage = call["usage"] or {}
    counts = [usage.get(name) for name in ("input_tokens", "output_tokens", "cached_tokens")]
    await fetch(_NAMED, generation_id, model, msgspec.json.encode(call).decode(), *counts)


async def list_sent(message_id: uuid.UUID) -> list[Sent]:
    """All that was sent for an answer, in order: again, to other models, to go on with it, and to name its thread."""
    rows = await fetch(
        "SELECT thread, request, provider_attempts, naming FROM generation WHERE message = $1 ORDER BY queued_at",
        message_id,
    )
    found = [(stored, calls, is_naming) for row in rows for stored, calls, is_naming in _of_generation(row)]
    hashes = [bytes.fromhex(key) for stored, *_ in found if stored for key in stored[_name(stored)]]
    blocks = await fetch(_LIST_BLOCKS, rows[0]["thread"], hashes) if rows else []
    bodies = {row["hash"]: row["body"] for row in blocks}
    return [Sent(_body(stored, bodies), calls, is_naming) for stored, calls, is_naming in found]


def _of_generation(row: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]], bool]]:
    request, naming = msgspec.json.decode(row["request"]), msgspec.json.decode(row["naming"])
    calls: list[dict[str, Any]] = msgspec.json.decode(row["provider_attempts"])
    bodies = {int(number): request[number] for number in request}
    groups: dict[int, list[dict[str, Any]]] = {number: [] for number in bodies}
    for call in calls:
        groups.setdefault(max((number for number in bodies if number <= call["number"]), default=0), []).append(call)
    for number in sorted(groups):
        yield bodies.get(number), groups[number], False
    if naming:
        yield naming["request"], [naming["call"]] if "call" in naming else [], True


async def _keep(statement: str, generation_id: uuid.UUID, body: dict[str, Any], *arguments: Any) -> bool:
    """Whether there is such a generation."""
    name = _name(body)
    messages = body[name] if isinstance(body[name], list) else [body[name]]
    texts = [msgspec.json.encode(message) for message in messages]
    hashes = [hashlib.sha256(text).digest() for text in texts]
    blocks = dict(zip(hashes, map(bytes.decode, texts), strict=True))
    head = {key: value for key, value in body.items() if key != name}
    stored = msgspec.json.encode({"head": head, name: [key.hex() for key in hashes]}).decode()
    return bool(await fetch(statement, list(blocks), list(blocks.values()), generation_id, stored, *arguments))


def _body(stored: Mapping[str, Any] | None, blocks: Mapping[bytes, str]) -> dict[str, Any] | None:
    if not stored:
        return None
    name = _name(stored)
    messages = [msgspec.json.decode(blocks[bytes.fromhex(key)]) for key in stored[name]]
    return {**stored["head"], name: messages[0] if name == "text" else messages}


def _name(body: Iterable[str]) -> str:
    return next(name for name in MESSAGE_FIELDS if name in body)


_LIST_BLOCKS = "SELECT hash, body FROM block WHERE thread = $1 AND hash = ANY($2)"

# Locks the thread first, as every other statement does, so a concurrent deletion cannot deadlock; a deleted thread gets no block.
_BLOCKS = """
WITH held AS MATERIALIZED (
    SELECT t.id FROM thread AS t JOIN generation AS g ON g.thread = t.id WHERE g.id = $3 FOR KEY SHARE OF t
), blocks AS (
    INSERT INTO block (thread, hash, body)
    SELECT held.id, b.* FROM held, unnest($1::bytea[], $2::text[]) AS b ON CONFLICT DO NOTHING
)
"""

# Safe to repeat.
_REQUEST = f"""{_BLOCKS}
UPDATE generation SET request = request || jsonb_build_object($5::text, $4::jsonb)
FROM held WHERE generation.id = $3 AND state = 'running' AND worker = $6
RETURNING generation.id
"""

_NAMING = f"""{_BLOCKS}
UPDATE generation SET naming = jsonb_build_object('request', $4::jsonb) FROM held WHERE generation.id = $3
RETURNING generation.id
"""

# The cost as `_FINISH` in ending.py has it: unknown as soon as a count or a price that it needs is.
_NAMED = """
UPDATE generation SET naming = naming || jsonb_build_object('call', $3::jsonb || jsonb_build_object('cost', (
    SELECT (($4::int - cached.tokens) * m.input_price + $5::int * m.output_price
        + CASE cached.tokens WHEN 0 THEN 0 ELSE cached.tokens * m.cached_price END) / 1000000
    FROM model AS m, LATERAL (SELECT least(coalesce($6::int, 0), $4::int) AS tokens) AS cached
    WHERE m.id = $2)))
WHERE id = $1
"""
