"""OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat/streaming."""

import json
from collections.abc import Sequence
from typing import Any

from tests.scripted.dialects.dialect import Dialect, compact
from tests.scripted.request import Request


class OpenAIDialect(Dialect):
    kind = "openai"
    base_path = "/v1"
    chat_path = "/v1/chat/completions"
    listing_path = "/v1/models"
    content_type = "text/event-stream"
    end_marker = b"data: [DONE]\n\n"

    def text(self, text: str) -> bytes:
        return self._delta({"content": text})

    def thought(self, text: str) -> bytes:
        return self._delta({"reasoning_content": text})

    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        """In pieces, as servers do: the call first, then its arguments in two halves."""
        half = len(arguments) // 2
        call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        return self._delta({"tool_calls": [call]}) + b"".join(
            self._delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in (arguments[:half], arguments[half:])
        )

    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        frames = self._delta({}, finish_reason=reason)
        if usage:
            counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
            frames += self._frame(self._envelope() | {"choices": [], "usage": counts})
        return frames + self.end_marker

    def text_at_an_end(self, text: str, said: str) -> bytes:
        return self._delta({"content": text}, finish_reason=said)

    def whole(self, text: str, thought: str = "", reason: str = "stop", usage: tuple[int, int] | None = None) -> Any:
        message = {"role": "assistant", "content": text} | ({"reasoning_content": thought} if thought else {})
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        counts = usage and {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
        return self._envelope() | {"object": "chat.completion", "choices": [choice], "usage": counts}

    def error(self, message: str) -> bytes:
        return self._frame({"error": {"message": message, "type": "server_error", "code": None}})

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "type": "", "param": None, "code": None}}).encode()

    def unreadable(self) -> bytes:
        return self._frame({"choices": 7})

    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        if request.path != self.listing_path or "anthropic-version" in request.headers:
            return None
        entries = [{"id": name, "object": "model", "created": 1, "owned_by": "scripted"} for name in models]
        return {"object": "list", "data": entries}

    def _envelope(self) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._frame(self._envelope() | {"choices": [choice]})

    def _frame(self, value: dict[str, Any]) -> bytes:
        return b"data: %s\n\n" % compact(value)
