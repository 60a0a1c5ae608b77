"""From a thread's active branch to the exact request, and how that request is kept.

Prompts are append-only: the request of a later turn begins with all of the request of an earlier one, so that the
prompt caches of model servers work.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app.database import fetch
from app.errors import ContextOverflow
from app.parts import ErrorPart, TextPart
from app.providers.base import ChatMessage, ChatRequest, Parameters, Provider
from app.words import gettext as _

#: Below this share of the context window an estimate is trusted; above it the model's own tokenizer is asked.
TRUSTED_SHARE = 0.6
#: What the protocols call the list of messages in a body: OpenAI, Anthropic and Ollama; Gemini; OpenAI's Responses API.
MESSAGE_FIELDS = ("messages", "contents", "input")


def build_request(
    model: str,
    system_prompt: str,
    branch: Iterable[ChatMessage],
    parameters: Parameters,
    *,
    continues: bool = False,
    max_output_tokens: int | None = None,
) -> ChatRequest:
    """System prompt and branch → request. Answers that came to nothing are left out; everything else is in, uncut."""
    messages: list[ChatMessage] = []
    if system_prompt.strip():
        messages.append(ChatMessage("system", (TextPart(system_prompt),)))
    for message in branch:
        if any(isinstance(part, ErrorPart) for part in message.parts):
            parts = tuple(part for part in message.parts if not isinstance(part, ErrorPart))
            message = ChatMessage(message.role, parts)
        if message.parts:
            messages.append(message)
    return ChatRequest(model, tuple(messages), parameters, continues=continues, max_output_tokens=max_output_tokens)


async def check_fit(provider: Provider, request: ChatRequest, context_window: int | None) -> None:
    """Refuse a prompt that leaves no room in the context window. Raises `ContextOverflow`; unknown windows let it pass."""
    window = request.parameters.context_window or context_window
    if window is None:
        return
    count = await Provider.count_tokens(provider, request)
    if count.tokens > window * TRUSTED_SHARE:
        count = await provider.count_tokens(request)
    if count.tokens >= window:
        kind = _("exact") if count.is_exact else _("estimated")
        sentence = _(
            "This thread has %(tokens)s tokens (%(kind)s), and %(model)s takes %(window)s. Nothing was sent."
            " Choose a model with a larger context window, or begin a new thread."
        )
        numbers = {"tokens": f"{count.tokens:,}", "window": f"{window:,}"}
        raise ContextOverflow(sentence % {"kind": kind, "model": request.model, **numbers})


async def keep_request(generation_id: uuid.UUID, body: dict[str, Any]) -> None:
    """Store what is about to be sent: its messages as shared blocks, the rest with the generation."""
    name = next(name for name in MESSAGE_FIELDS if name in body)
    texts = [msgspec.json.encode(message) for message in body[name]]
    hashes = [hashlib.sha256(text).digest() for text in texts]
    blocks = dict(zip(hashes, map(bytes.decode, texts), strict=True))
    order = [key.hex() for key in hashes]
    head = {key: value for key, value in body.items() if key != name}
    stored = msgspec.json.encode({"head": head, name: order}).decode()
    await fetch(_KEEP, list(blocks), list(blocks.values()), generation_id, stored)


async def find_request(message_id: uuid.UUID) -> dict[str, Any] | None:
    """The exact request behind an answer's newest generation, as it was sent; None if nothing was sent yet."""
    rows = await fetch(
        "SELECT request FROM generation WHERE message = $1 AND request <> '{}' ORDER BY queued_at DESC LIMIT 1",
        message_id,
    )
    if not rows:
        return None
    stored = msgspec.json.decode(rows[0]["request"])
    name = next(name for name in MESSAGE_FIELDS if name in stored)
    hashes = [bytes.fromhex(text) for text in stored[name]]
    bodies = {row["hash"]: row["body"] for row in await fetch("SELECT * FROM block WHERE hash = ANY($1)", hashes)}
    return {**stored["head"], name: [msgspec.json.decode(bodies[key]) for key in hashes]}


async def list_attempts(message_id: uuid.UUID) -> list[dict[str, Any]]:
    """Every call of a model that was made for an answer, oldest first: provider, model, error, duration, usage."""
    rows = await fetch("SELECT provider_attempts FROM generation WHERE message = $1 ORDER BY queued_at", message_id)
    return [attempt for row in rows for attempt in msgspec.json.decode(row["provider_attempts"])]


def merge_parameters(*levels: Parameters) -> Parameters:
    """Parameters over their defaults: the first level that sets a value wins."""
    chosen: dict[str, Any] = {}
    for name in Parameters.__struct_fields__:
        values: Sequence[Any] = [value for level in levels if (value := getattr(level, name)) not in (None, ())]
        if values:
            chosen[name] = values[0]
    return Parameters(**chosen)


_KEEP = """
WITH blocks AS (
    INSERT INTO block (hash, body) SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING
)
UPDATE generation SET request = $4 WHERE id = $3
"""
