"""Reads bodies after routing, as the route declares with `opt={"body": …}`; without it, a route takes a form.

A request that matches no route is answered before its body is read.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Send

from app.controllers import csrf
from app.controllers.border import UNSAFE
from app.controllers.form_reader import FormReader
from app.controllers.receiving import Deadline, Disconnected, Hold, Incoming, InFlight, length_of, too_large
from app.controllers.senders import make_room
from app.controllers.uploads import Upload
from app.controllers.visit import Visit, visit_of
from app.errors import Malformed, NotSignedIn
from app.principals import Principal
from app.settings import Settings
from app.words import gettext as _

#: How much of a file stream is in memory at a time: a chunk and the parser's buffer.
STREAM_BYTES = 262_144


class Form(msgspec.Struct, frozen=True):
    """Fields, URL-encoded or multipart, with a CSRF token: `visit.form`, `visit.files`. None: the limit of the setting."""

    most_bytes: int | None = None


class FileStream(msgspec.Struct, frozen=True):
    """Files of any size, passed to the route in chunks (`upload_of`), never whole in memory.

    The CSRF token is in the header, or in the first field of a multipart form.
    """

    most_bytes: int
    most_seconds: float = 3_600.0


class JsonWithKey(msgspec.Struct, frozen=True):
    """JSON from a program with an API key and without our cookie; `read_json` decodes it into a closed struct.

    `find_principal` returns the principal of a key, or None; it is called before the body is read.
    """

    find_principal: Callable[[str], Awaitable[Principal | None]]
    most_bytes: int = 1_000_000


Body = Form | FileStream | JsonWithKey


def body_of(handler: BaseRouteHandler) -> Body:
    """What a route takes."""
    declared = handler.opt.get("body", Form())
    if not isinstance(declared, Body):
        raise TypeError(f"{handler}: opt['body'] is a Form, a FileStream or a JsonWithKey")
    return declared


class Bodies:
    """ASGI middleware of every route. All routes share `room`."""

    def __init__(self, app: ASGIApp, settings: Settings, room: InFlight) -> None:
        self._app = app
        self._room = room
        self._forms = FormReader(settings, room)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in UNSAFE:
            await self._app(scope, receive, send)
            return
        request: Request[Any, Any, Any] = Request(scope, receive)
        with Hold(self._room) as hold, contextlib.suppress(Disconnected):
            receive = await self._read(request, receive, hold)
            try:
                await self._app(scope, receive, send)
            finally:
                if (upload := visit_of(request).upload) is not None:
                    await upload.close()

    async def _read(self, request: Request[Any, Any, Any], receive: Receive, hold: Hold) -> Receive:
        match body_of(request.scope["route_handler"]):
            case Form(most_bytes):
                return await self._forms.read(request, receive, hold, most_bytes=most_bytes)
            case JsonWithKey() as option:
                await _read_json_body(request, receive, hold, option)
            case FileStream() as option:
                await _begin_upload(request, receive, hold, option)
        return receive


async def _begin_upload(request: Request[Any, Any, Any], receive: Receive, hold: Hold, option: FileStream) -> None:
    visit = visit_of(request)
    if (announced := length_of(visit.header(b"content-length"))) > option.most_bytes:
        raise too_large(option.most_bytes)
    # Without a length it may become any size.
    await make_room(request, hold, announced if not _is_chunked(visit) else STREAM_BYTES, most_held=STREAM_BYTES)
    deadline = Deadline(most_seconds=option.most_seconds)
    upload = Upload(Incoming(receive, most_bytes=option.most_bytes, deadline=deadline), visit.header(b"content-type"))
    visit.upload = upload
    if not visit.is_csrf(visit.header(csrf.HEADER) or await upload.first_token()):
        raise csrf.forged()


async def _read_json_body(request: Request[Any, Any, Any], receive: Receive, hold: Hold, option: JsonWithKey) -> None:
    visit = visit_of(request)
    visit.is_program = True
    scheme, _space, key = visit.header(b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise NotSignedIn(_("This address needs an API key: Authorization: Bearer …"))
    if visit.has_cookie:
        raise Malformed(_("An API key cannot be combined with a session cookie."))
    if (principal := await option.find_principal(key.strip())) is None:
        raise NotSignedIn(_("The API key is not valid."))
    visit.user, visit.session, visit.principal, visit.is_loaded = None, None, principal, True
    if visit.media_type != "application/json":
        raise Malformed(_("This address takes JSON: Content-Type: application/json."))
    if (announced := length_of(visit.header(b"content-length"))) > option.most_bytes:
        raise too_large(option.most_bytes)
    await make_room(request, hold, announced)
    incoming = Incoming(receive, most_bytes=option.most_bytes, deadline=Deadline())
    chunks: list[bytes] = []
    while chunk := await incoming.read():
        await make_room(request, hold, incoming.size)
        chunks.append(chunk)
    visit.json = b"".join(chunks)


def _is_chunked(visit: Visit) -> bool:
    return b"transfer-encoding" in visit.headers
