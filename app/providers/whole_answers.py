"""A whole answer where a stream was asked for → the events that would have streamed it, so that one reader reads both. Pure.

Only where a dialect's whole answer has another shape than its pieces: Anthropic's messages and OpenAI's responses.
"""

from collections.abc import Iterator
from typing import Any

import msgspec


def message_events(message: dict[str, Any]) -> Iterator[bytes]:
    """https://platform.claude.com/docs/en/api/messages/create: its blocks have the form in which others begin."""
    yield _event("message_start", message={"usage": message.get("usage")})
    for index, block in enumerate(_objects(message.get("content"))):
        yield _event("content_block_start", index=index, content_block=block)
        yield _event("content_block_stop", index=index)
    reason = message.get("stop_reason")
    yield _event("message_delta", delta={"stop_reason": reason}, usage=message.get("usage"))
    if reason is not None:
        yield _event("message_stop")


def response_events(response: dict[str, Any]) -> Iterator[bytes]:
    """https://platform.openai.com/docs/api-reference/responses/object: each item is told of as it is added, and as it ends."""
    for index, item in enumerate(_objects(response.get("output"))):
        yield _event("response.output_item.added", output_index=index, item=item)
        for number, part in enumerate(_objects(item.get("summary"))):
            yield _event("response.reasoning_summary_part.added", summary_index=number)
            yield _event("response.reasoning_summary_text.delta", delta=part.get("text") or "")
        for part in _objects(item.get("content")):
            kind = "refusal" if part.get("type") == "refusal" else "output_text"
            if item.get("type") == "message":
                yield _event(f"response.{kind}.delta", delta=part.get("refusal") or part.get("text") or "")
        yield _event("response.output_item.done", output_index=index, item=item)
    if (status := response.get("status")) in ("completed", "incomplete", "failed", "cancelled"):
        yield _event(f"response.{status}", response=response)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _event(kind: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"type": kind, **fields})
