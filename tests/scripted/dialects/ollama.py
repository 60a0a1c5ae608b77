"""Ollama's own protocol: https://github.com/ollama/ollama/blob/main/docs/api.md."""

import json
from collections.abc import Sequence
from typing import Any

from tests.scripted.dialects.dialect import ARGUMENTS, Dialect, compact, with_arguments
from tests.scripted.request import Request


class OllamaDialect(Dialect):
    kind = "ollama"
    base_path = ""
    chat_path = "/api/chat"
    listing_path = "/api/tags"
    content_type = "application/x-ndjson"
    end_marker = b""
    quotes_arguments = False

    def text(self, text: str) -> bytes:
        return self._line({"content": text})

    def thought(self, text: str) -> bytes:
        return self._line({"content": "", "thinking": text})

    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        call = {"id": call_id, "function": {"index": index, "name": name, "arguments": ARGUMENTS}}
        return with_arguments(self._line({"content": "", "tool_calls": [call]}), arguments)

    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        counts = {"prompt_eval_count": usage[0], "eval_count": usage[1]} if usage else {}
        # Ollama ends an answer with tool calls in "stop" too.
        done = {"done": True, "done_reason": "stop" if reason == "tool_calls" else reason, "total_duration": 1}
        return self._line({"content": ""}, **done, **counts)

    def error(self, message: str) -> bytes:
        return compact({"error": message}) + b"\n"

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": message}).encode()

    def unreadable(self) -> bytes:
        return b"[7]\n"

    def ping(self) -> bytes:
        return b"\n"

    def lookup(self, request: Request, models: Sequence[str]) -> Any:
        details = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "1B"}
        details |= {"quantization_level": "Q4_0", "parent_model": ""}
        entries = [{"name": name, "model": name, "size": 1234, "digest": "d", "details": details} for name in models]
        if request.path == self.listing_path:
            return {"models": entries}
        if request.path == "/api/ps":
            loaded = {"expires_at": "2030-01-01T00:00:00Z", "size_vram": 0, "context_length": 4096}
            return {"models": [entry | loaded for entry in entries[:1]]}
        if request.path == "/api/show" and request.json.get("model") in models:
            info = {"general.architecture": "llama", "llama.context_length": 131072}
            return {"details": details, "model_info": info, "capabilities": ["completion", "tools"]}
        return None

    def _line(self, message: dict[str, Any], **fields: Any) -> bytes:
        line = {"model": "scripted", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant"} | message}
        return compact(line | {"done": False} | fields) + b"\n"
