"""The page that says what went wrong. Who is signed in sees it in their theme, beside their threads."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from litestar import Request, Response
from litestar.types import ASGIApp, Receive, Scope, Send

from app.controllers.composer import KNOWN
from app.controllers.pages import HTML, local_path, page, with_sidebar
from app.controllers.visit import Connection, find_user, visit_of
from app.database import NO_ANSWER
from app.settings import settings

#: Fields that people write in, and that may be what was too large; the rest of a form goes along with them unseen.
WRITTEN = ("text", "system_prompt")


class ErrorPage(Response[bytes]):
    """Drawn while it is sent: handlers of errors cannot wait, and who is signed in is known to the database alone.

    From 500 on it stands by itself: the database may be what is missing.
    """

    def __init__(self, status_code: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(b"", status_code=status_code, headers=headers, media_type=HTML)
        self._status = status_code
        self._sentence = sentence

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **options: Any) -> ASGIApp:  # type: ignore[override]  # any ASGI app will do, says who calls it
        """The page as an ASGI app."""

        async def send_page(scope: Scope, receive: Receive, send: Send) -> None:
            context = _context(request, self._status, self._sentence)
            if self._status < 500 and not visit_of(request).is_partial:
                with contextlib.suppress(*NO_ANSWER):
                    context = await _with_person(request, context)
            # What was too large to be taken takes its time to be drawn.
            drawn = await asyncio.to_thread(
                page, request, "errors/show.html", context, status_code=self._status, headers=self.headers
            )
            await drawn.to_asgi_response(app=None, request=request, **options)(scope, receive, send)

        return send_page


def _context(connection: Connection, status: int, sentence: str) -> dict[str, Any]:
    scope: Any = connection.scope
    is_reading = scope["method"] in ("GET", "HEAD")
    again = local_path(scope["path"]) if is_reading and status >= 500 else ""
    back = "" if is_reading else referring_path(connection)
    return {
        "status": status,
        "sentence": sentence,
        "request_id": visit_of(connection).id,
        "again": again,
        "back": back,
        "user": None,
        "flash": None,
        "kept": _kept(connection) if status == 413 else {},
    }


async def _with_person(connection: Connection, context: dict[str, Any]) -> dict[str, Any]:
    if (user := await find_user(connection)) is None:
        return context
    return await with_sidebar(user, context | {"user": user})


def _kept(connection: Connection) -> dict[str, Any]:
    """A form that was too large, as far as the guard has kept it, to be put right and sent once more."""
    scope: Any = connection.scope
    form = visit_of(connection).form or {}
    if not any(name in form for name in WRITTEN) or not KNOWN.issuperset(form):
        return {}
    query = scope["query_string"].decode("latin-1")
    text = form.get("text", [""])[0]
    return {
        "action": local_path(scope["path"]) + (f"?{query}" if query else ""),
        "written": {name: form[name][0] for name in WRITTEN if name in form},
        "hidden": [(name, value) for name, values in form.items() if name not in WRITTEN for value in values],
        "count": len(text) if len(text) > settings.max_message_chars else None,
        "limit": settings.max_message_chars,
    }


def referring_path(connection: Connection) -> str:
    """The path of our own page that the request came from."""
    visit = visit_of(connection)
    scheme, _slashes, rest = visit.header(b"referer").partition("://")
    host, slash, path = rest.partition("/")
    return local_path(f"/{path.partition('#')[0]}") if scheme and slash and host == visit.host else "/"
