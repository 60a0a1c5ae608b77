"""What a scripted server was asked."""

import asyncio
import json
from typing import Any


class Request:
    """One request as it came. `closed` is set when its client goes."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body
        self.closed = asyncio.Event()

    @property
    def json(self) -> Any:
        return json.loads(self.body)
