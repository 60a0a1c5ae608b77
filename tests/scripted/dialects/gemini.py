"""Gemini's `streamGenerateContent`: https://ai.google.dev/api/generate-content. The model stands in the path."""

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from tests.scripted.dialects.dialect import ARGUMENTS, Dialect, compact, with_arguments
from tests.scripted.request import Request

REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


class GeminiDialect(Dialect):
    kind = "gemini"
    base_path = "/v1beta"
    chat_path = "/v1beta/models/scripted:streamGenerateContent"
    listing_path = "/v1beta/models"
    content_type = "text/event-stream"
    end_marker = b""
    quotes_arguments = False

    def text(self, text: str) -> bytes:
        return self._parts({"text": text})

    def thought(self, text: str) -> bytes:
        return self._parts({"text": text, "thought": True})

    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        """Whole, as Gemini writes them; the first of an answer is signed."""
        call = {"functionCall": {"id": call_id, "name": name, "args": ARGUMENTS}}
        return with_arguments(self._parts(call if index else call | {"thoughtSignature": "c2lnbmVk"}), arguments)

    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        """With an empty text, and of the output two tokens of thought, if there are so many."""
        chunk = self._chunk({"text": ""}, finishReason=REASONS[reason])
        if usage:
            thought = min(2, usage[1])
            counts = {"promptTokenCount": usage[0], "candidatesTokenCount": usage[1] - thought}
            chunk["usageMetadata"] = counts | {"thoughtsTokenCount": thought, "totalTokenCount": sum(usage)}
        return self._frame(chunk)

    def text_at_an_end(self, text: str, said: str) -> bytes:
        return self._frame(self._chunk({"text": text}, finishReason=said))

    def whole(self, text: str, thought: str = "", reason: str = "stop", usage: tuple[int, int] | None = None) -> Any:
        thoughts = [{"text": thought, "thought": True}] if thought else []
        chunk = self._chunk(*thoughts, {"text": text}, finishReason=REASONS[reason])
        if usage:
            chunk["usageMetadata"] = {"promptTokenCount": usage[0], "candidatesTokenCount": usage[1]}
        return chunk

    def error(self, message: str) -> bytes:
        return self._frame({"error": {"code": 500, "message": message, "status": "INTERNAL"}})

    def error_body(self, message: str) -> bytes:
        return json.dumps([{"error": {"code": 400, "message": message, "status": "UNKNOWN"}}]).encode()

    def unreadable(self) -> bytes:
        return self._frame({"candidates": 7})

    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        methods = ["generateContent", "countTokens"]
        limits = {"version": "1", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536, "thinking": True}
        if request.path == self.listing_path:
            named = [
                {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
                for name in models
            ]
            return {"models": [entry | limits for entry in named]}
        if request.path.startswith(f"{self.listing_path}/") and request.path.endswith(":countTokens"):
            asked = request.json
            contents = asked.get("contents") or asked["generateContentRequest"]["contents"]
            return {"totalTokens": len(json.dumps(contents).split())}
        return None

    def is_question(self, request: Request) -> bool:
        return re.fullmatch(r"/v1beta/models/[^/:]+:streamGenerateContent", request.path) is not None

    def model_of(self, request: Request) -> str:
        return unquote(request.path.rsplit("/", 1)[1].partition(":")[0])

    def messages(self, body: Any) -> list[Any]:
        found: list[Any] = body["contents"]
        return found

    def key_headers(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}

    def _parts(self, *parts: dict[str, Any]) -> bytes:
        return self._frame(self._chunk(*parts))

    def _chunk(self, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
        candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0} | fields
        return {"candidates": [candidate], "modelVersion": "scripted", "responseId": "r1"}

    def _frame(self, value: dict[str, Any]) -> bytes:
        return b"data: %s\r\n\r\n" % compact(value)
