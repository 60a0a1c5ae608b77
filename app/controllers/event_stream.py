"""An event stream as an answer: little more than the sending of it, since hundreds send dozens of frames a second each."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

HEADERS = {"x-accel-buffering": "no"}


class EventStream(ASGIResponse):
    """Sends what `events` yields until that ends or the page goes; then `events` is closed."""

    __slots__ = ("_events",)
    _should_set_content_length = False

    def __init__(self, events: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(media_type="text/event-stream", headers=HEADERS, **options)
        self._events = events

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
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
