"""Ollama's own protocol: https://github.com/ollama/ollama/blob/main/docs/api.md."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.scripted.dialects.dialect import ARGUMENTS, Dialect, compact, with_arguments
from tests.scripted.request import Request
from tests.scripted.steps import LAST_CHUNK, Do, Script, Send, Sleep, Step, chunk, whole


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

    def text_at_an_end(self, text: str, said: str) -> bytes:
        return self._line({"content": text}, done=True, done_reason=said)

    def whole(self, text: str, thought: str = "", reason: str = "stop", usage: tuple[int, int] | None = None) -> Any:
        message = {"role": "assistant", "content": text} | ({"thinking": thought} if thought else {})
        counts = {"prompt_eval_count": usage[0], "eval_count": usage[1]} if usage else {}
        said = {"model": "scripted", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": True}
        return said | {"done_reason": reason} | counts

    def data(self, text: str) -> bytes:
        return b"%s\n" % text.encode()

    def error(self, message: str) -> bytes:
        return compact({"error": message}) + b"\n"

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": message}).encode()

    def unreadable(self) -> bytes:
        return b"[7]\n"

    def ping(self) -> bytes:
        return b"\n"

    def pull(
        self, *layers: int, steps: int = 4, every_seconds: float = 0.0, then: Callable[[], None] = lambda: None
    ) -> Script:
        """A pull of layers of these sizes, each told of in so many steps. `then` happens when all of it is there."""
        lines: list[Step] = [self._said("pulling manifest")]
        for number, total in enumerate(layers, start=1):
            digest = f"sha256:{number:012x}{0:052x}"
            for done in range(steps + 1):
                counts = {"digest": digest, "total": total, "completed": total * done // steps}
                lines += [Sleep(every_seconds), self._said(f"pulling {digest[7:19]}", **counts)]
        lines += [self._said("verifying sha256 digest"), self._said("writing manifest"), Do(then)]
        return (self.head(), *lines, self._said("success"), Send(LAST_CHUNK))

    def manage(self, request: Request, models: list[str], loaded: list[str]) -> Script | None:
        body = request.json if request.body else {}
        name = body.get("model", "")
        if request.path == "/api/pull":
            if "missing" in name:
                return self.stream(self.error("pull model manifest: file does not exist"))
            return self.pull(3000, 500, then=lambda: None if name in models else models.append(name))
        if request.path not in ("/api/generate", "/api/delete"):
            return None
        if name not in models:
            return whole(self.error_body(f"model '{name}' not found"), 404)
        if name in loaded:
            loaded.remove(name)
        if request.path == "/api/delete":
            models.remove(name)
            return whole(b"")
        is_end = body.get("keep_alive") == 0
        loaded += [] if is_end else [name]
        said = {"model": name, "created_at": "2026-01-01T00:00:00Z", "response": "", "done": True}
        return whole(compact(said | {"done_reason": "unload" if is_end else "load"}))

    def _said(self, status: str, **fields: Any) -> Send:
        return Send(chunk(compact({"status": status, **fields}) + b"\n"))

    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        details = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "1B"}
        details |= {"quantization_level": "Q4_0", "parent_model": ""}
        entries = [{"name": name, "model": name, "size": 1234, "digest": "d", "details": details} for name in models]
        if request.path == self.listing_path:
            return {"models": entries}
        if request.path == "/api/ps":
            running = {"size": 2345, "size_vram": 0, "context_length": 4096}
            running["expires_at"] = "2030-01-01T01:00:00.123456789+01:00"
            return {"models": [entry | running for entry in entries if entry["name"] in loaded]}
        if request.path == "/api/show" and request.json.get("model") in models:
            info = {"general.architecture": "llama", "llama.context_length": 131072}
            said = {
                "template": "{{ .Prompt }}",
                "parameters": 'stop "<|end|>"',
                "license": "MIT",
                "modelfile": "FROM x",
            }
            tensors = [{"name": "token_embd.weight", "type": "F16", "shape": [64, 512]}]
            return {
                **said, "details": details, "model_info": info, "tensors": tensors,
                "capabilities": ["completion", "tools"], "modified_at": "2026-01-01T00:00:00Z",
            }  # fmt: skip
        return None

    def _line(self, message: dict[str, Any], **fields: Any) -> bytes:
        line = {"model": "scripted", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant"} | message}
        return compact(line | {"done": False} | fields) + b"\n"
