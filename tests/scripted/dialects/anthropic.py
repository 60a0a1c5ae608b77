"""Anthropic's Messages: https://platform.claude.com/docs/en/build-with-claude/streaming.

A message is made of numbered blocks, each begun and ended. Frames by themselves are deltas of block 0, which `head` has
begun as text, and of calls from block 1 on; `frames` numbers the blocks as the API does.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tests.scripted.dialects.dialect import Dialect, compact
from tests.scripted.request import Request

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class AnthropicDialect(Dialect):
    kind = "anthropic"
    base_path = ""
    chat_path = "/v1/messages"
    listing_path = "/v1/models"
    content_type = "text/event-stream"
    end_marker = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    signature = "EqQBCgIYAhIM"

    def opening(self) -> bytes:
        return self._message_start() + self._begin(0, {"type": "text", "text": ""})

    def text(self, text: str) -> bytes:
        return self._delta(0, {"type": "text_delta", "text": text})

    def thought(self, text: str) -> bytes:
        return self._delta(0, {"type": "thinking_delta", "thinking": text})

    def signed(self, signature: str) -> bytes:
        return self._delta(0, {"type": "signature_delta", "signature": signature})

    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        """In pieces, as the API does: the call first, then its arguments in two halves."""
        half = len(arguments) // 2
        pieces = (
            self._delta(index + 1, {"type": "input_json_delta", "partial_json": piece})
            for piece in ("", arguments[:half], arguments[half:])
        )
        call = self._begin(index + 1, {"type": "tool_use", "id": call_id, "name": name, "input": {}})
        return call + b"".join(pieces) + self._stop(index + 1)

    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        counts = {"usage": {"input_tokens": usage[0], "output_tokens": usage[1]}} if usage else {}
        delta = {"stop_reason": STOP_REASONS.get(reason, reason), "stop_sequence": None}
        return self._frame("message_delta", delta=delta, **counts) + self.end_marker

    def text_at_an_end(self, text: str, said: str) -> bytes:
        return self.text(text) + self._frame("message_delta", delta={"stop_reason": said, "stop_sequence": None})

    def whole(self, text: str, thought: str = "", reason: str = "stop", usage: tuple[int, int] | None = None) -> Any:
        thoughts = [{"type": "thinking", "thinking": thought, "signature": self.signature}] if thought else []
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted"}
        message |= {"content": [*thoughts, {"type": "text", "text": text}], "stop_reason": STOP_REASONS[reason]}
        counts = {"input_tokens": usage[0], "output_tokens": usage[1]} if usage else None
        return message | {"stop_sequence": None, "usage": counts}

    def error(self, message: str) -> bytes:
        return self._frame("error", error={"type": "api_error", "message": message})

    def error_body(self, message: str) -> bytes:
        return json.dumps({"type": "error", "error": {"type": "api_error", "message": message}}).encode()

    def unreadable(self) -> bytes:
        return b'event: content_block_delta\ndata: {"type":7}\n\n'

    def ping(self) -> bytes:
        return self._frame("ping")

    def key_headers(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        if request.path == self.listing_path and "anthropic-version" in request.headers:
            dated = {"type": "model", "created_at": "2026-01-01T00:00:00Z"}
            entries = [dated | {"id": name, "display_name": name} for name in models]
            first, last = (models[0], models[-1]) if models else (None, None)
            return {"data": entries, "has_more": False, "first_id": first, "last_id": last}
        if request.path == "/v1/messages/count_tokens":
            return {"input_tokens": len(request.body)}
        return None

    def frames(
        self,
        words: Iterable[str],
        thoughts: Iterable[str] = (),
        tool_calls: Iterable[bytes] = (),
        reason: str = "stop",
        usage: tuple[int, int] | None = None,
    ) -> list[bytes]:
        found: list[bytes] = []
        number = 0
        if thinking := [*map(self.thought, thoughts)]:
            thinking[-1] += self.signed(self.signature)
            found += self._block(0, {"type": "thinking", "thinking": "", "signature": ""}, thinking)
            number = 1
        if said := [_moved(self.text(word), number) for word in words]:
            found += self._block(number, {"type": "text", "text": ""}, said)
            number += 1
        found += [_moved(call, number - 1) for call in tool_calls]
        first, *others = [*found, self.finish(reason, usage)]
        return [self._message_start(usage) + first, *others]

    def _block(self, number: int, block: dict[str, Any], deltas: list[bytes]) -> list[bytes]:
        """Its begin and end go out with their neighbours: a frame a word, at whatever pace."""
        deltas = [self._begin(number, block) + deltas[0], *deltas[1:]]
        return [*deltas[:-1], deltas[-1] + self._stop(number)]

    def _message_start(self, usage: tuple[int, int] | None = None) -> bytes:
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "scripted",
            "content": [],
        }
        message |= {"stop_reason": None, "stop_sequence": None}
        if usage:
            message["usage"] = {"input_tokens": usage[0], "output_tokens": 1}
        return self._frame("message_start", message=message)

    def _begin(self, number: int, block: dict[str, Any]) -> bytes:
        return self._frame("content_block_start", index=number, content_block=block)

    def _delta(self, number: int, delta: dict[str, Any]) -> bytes:
        return self._frame("content_block_delta", index=number, delta=delta)

    def _stop(self, number: int) -> bytes:
        return self._frame("content_block_stop", index=number)

    def _frame(self, event: str, **fields: Any) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (event.encode(), compact({"type": event} | fields))


def _moved(frames: bytes, by: int) -> bytes:
    """The same events with their blocks' numbers moved."""
    if not by:
        return frames
    moved = b""
    for frame in frames.removesuffix(b"\n\n").split(b"\n\n"):
        before, _, data = frame.partition(b"\ndata: ")
        event = json.loads(data)
        moved += b"%s\ndata: %s\n\n" % (before, compact(event | {"index": event["index"] + by}))
    return moved
