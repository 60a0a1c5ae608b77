"""WebSockets: only signed-in people open them, and they are closed when the session ends."""

import asyncio
from typing import Any

from litestar import WebSocket
from litestar.types import ASGIApp, Receive, Send

from app.chat.watch import until_signed_out
from app.controllers.visit import find_principal
from app.errors import NotSignedIn
from app.words import gettext as _

#: RFC 6455 §7.4.1 and its registry: policy violation; service restart.
REFUSED = 1008
COME_BACK = 1012


class Sockets:
    """ASGI middleware of every route, so that no WebSocket can be without it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        principal = await find_principal(WebSocket(scope, receive, send))
        if principal is None or principal.person is None or principal.session is None:
            raise NotSignedIn(_("You are not signed in."))
        reader = scope["litestar_app"].state.running.reader
        is_closed = False

        async def send_noting(message: Any) -> None:
            nonlocal is_closed
            is_closed = is_closed or message["type"] == "websocket.close"
            await send(message)

        async def talk_on() -> None:
            await self._app(scope, receive, send_noting)

        talk = asyncio.create_task(talk_on())
        end = asyncio.create_task(until_signed_out(reader, principal.person, principal.session))
        try:
            await asyncio.wait((talk, end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (talk, end):
                task.cancel()
            await asyncio.wait((talk, end))
        if not talk.cancelled():
            talk.result()
        elif not is_closed and not end.cancelled():
            is_signed_out = end.result()
            await send({"type": "websocket.close", "code": REFUSED if is_signed_out else COME_BACK, "reason": ""})
