"""Requests by hand: their bodies come when the test says so, and what was read of them is known."""

import asyncio
from typing import Any

from litestar import Litestar

from tests.controllers.guarded import FORM
from tests.people import Browser
from tests.watching import within


class Line:
    """A request by hand: what was received of its body, and the answer."""

    def __init__(self, app: Litestar, path: str, headers: dict[str, str], *, method: str = "POST") -> None:
        known = {"host": "127.0.0.1:8000", **headers}
        self.scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "state": {},
            "headers": [(name.encode(), value.encode()) for name, value in known.items()],
            "client": ("127.0.0.1", 40_000), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        self.app = app
        self.waiting: asyncio.Queue[Any] = asyncio.Queue()
        self.read = 0
        self.answer: list[Any] = []
        self.has_begun = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.app(self.scope, self._receive, self._send)  # type: ignore[arg-type]

    async def _receive(self) -> Any:
        message = await self.waiting.get()
        self.read += len(message.get("body", b""))
        return message

    async def _send(self, message: Any) -> None:
        self.answer.append(message)
        self.has_begun.set()

    def put(self, body: bytes, *, more: bool = True) -> None:
        self.waiting.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self.waiting.put_nowait({"type": "http.disconnect"})

    async def status(self) -> int:
        """The answer's, once it has begun."""
        async with within(f"{self.scope['path']} is answered"):
            await self.has_begun.wait()
        return int(self.answer[0]["status"])

    async def end(self) -> None:
        self.leave()
        async with within(f"the request for {self.scope['path']} ends"):
            await self.task


async def line(browser: Browser, path: str, *, csrf: str | None = "", **headers: str) -> Line:
    token = csrf if csrf is None else csrf or await browser.csrf()
    known = {"cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar), **FORM}
    if token is not None:
        known["x-csrf-token"] = token
    return Line(browser.app, path, known | {name.replace("_", "-"): value for name, value in headers.items()})
