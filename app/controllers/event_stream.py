"""Streaming responses for open pages. They do little but send, because hundreds of them send dozens of frames a second."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.controllers.open_streams import OPEN_STREAMS

HEADERS = {"x-accel-buffering": "no"}


class OpenStream(ASGIResponse):
    """Sends what `pieces` yields until it ends or the client disconnects, then closes it. Counts towards the person's limit."""

    __slots__ = ("_person", "_pieces")
    _should_set_content_length = False

    def __init__(self, pieces: AsyncGenerator[bytes, None], person: uuid.UUID, **options: Any) -> None:
        super().__init__(headers=HEADERS, **options)
        self._pieces = pieces
        self._person = person

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `TooManyRequests` before anything is sent."""
        with OPEN_STREAMS.count(self._person):
            await super().__call__(scope, receive, send)

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Two tasks: this one waits for the page to go, which is all that can be received from it now."""
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait((sending, leaving))
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        async with contextlib.aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class EventStream(OpenStream):
    """Server-sent events."""

    def __init__(self, events: AsyncGenerator[bytes, None], person: uuid.UUID, **options: Any) -> None:
        super().__init__(events, person, media_type="text/event-stream", **options)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
