"""What a scripted server was asked."""

import asyncio
import json
from typing import Any


class Request:
    """One request as it came, and its client's going: `closed` is set, and `closed_at` read from the loop's clock."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body
        self.closed = asyncio.Event()
        self.closed_at: float | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)
