"""DeepAI's text generation: a form goes in, one JSON comes out. It has neither frames nor a stream, roles nor counts."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

from tests.scripted.dialects.dialect import Dialect
from tests.scripted.request import Request
from tests.scripted.steps import Script, whole


class DeepAIDialect(Dialect):
    kind = "deepai"
    base_path = "/api"
    chat_path = "/api/text-generator"
    listing_path = chat_path
    content_type = "application/json"
    end_marker = b""

    def text(self, text: str) -> bytes:
        return json.dumps({"id": "4f1c", "output": text}, ensure_ascii=False).encode()

    def thought(self, text: str) -> bytes:
        return b""

    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        return b""

    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        return b""

    def error(self, message: str) -> bytes:
        return self.error_body(message)

    def error_body(self, message: str) -> bytes:
        return json.dumps({"err": message}).encode()

    def unreadable(self) -> bytes:
        return b'{"id":7,"output":7}'

    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        return {"status": "POST"} if request.path == self.listing_path else None

    def is_question(self, request: Request) -> bool:
        return (request.method, request.path) == ("POST", self.chat_path)

    def model_of(self, request: Request) -> str:
        return "text-generator"

    def key_headers(self, key: str) -> dict[str, str]:
        return {"api-key": key}

    def answer(
        self,
        words: Iterable[str],
        *,
        thoughts: Iterable[str] = (),
        usage: tuple[int, int] | None = None,
        reason: str = "stop",
        tool_calls: Iterable[bytes] = (),
        per_second: float | None = None,
    ) -> Script:
        return whole(self.text("".join(words)))


def text_of(request: Request) -> str:
    """What was asked."""
    [text] = parse_qs(request.body.decode(), strict_parsing=True)["text"]
    return text
