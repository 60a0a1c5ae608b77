"""Reads forms: checks their limits and their CSRF token, and parses large ones in a thread."""

import asyncio
import contextlib
import contextvars
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from litestar import Request
from litestar.types import Receive

from app.controllers import csrf, file_form, form_body
from app.controllers.receiving import STRANGERS_BYTES, Deadline, Hold, Incoming, InFlight, length_of, too_large
from app.controllers.senders import make_room
from app.controllers.visit import Visit, find_principal, visit_of
from app.database import NO_ANSWER
from app.errors import Forbidden, Malformed, Unavailable
from app.settings import Settings
from app.words import gettext as _

#: An oversized form is kept for its author up to this many times the limit; and how many are kept at a time.
MOST_KEPT = 8
MOST_KEEPING = 2

#: How many large forms are parsed at a time: in threads of their own, so that others never wait for all of them.
_PARSERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="forms")

AnyRequest = Request[Any, Any, Any]


class FormReader:
    """Fills `visit.form` and `visit.files` from the body."""

    def __init__(self, settings: Settings, room: InFlight) -> None:
        self._settings = settings
        self._room = room

    async def read(self, request: AnyRequest, receive: Receive, hold: Hold, *, most_bytes: int | None) -> Receive:
        """Returns a `receive` that replays the body. Raises `Malformed`, `Forbidden`, `BodyTooLarge` and `Unavailable`."""
        visit = visit_of(request)
        if not visit.has_body:
            visit.form = {}
            _check_token(visit, b"")
            return receive
        if visit.media_type not in (form_body.KIND, file_form.KIND):
            raise Malformed(_("The request's body is of a kind that is not taken here: send a form."))
        limit = most_bytes or self._settings.max_body_bytes
        announced = length_of(visit.header(b"content-length"))
        if announced > limit:
            await self._refuse(request, receive, hold, announced, limit)
        body = await _gather(request, receive, hold, announced, most_bytes=limit)
        await self._parse(visit, body)
        return _replay(body, receive)

    async def _refuse(self, request: AnyRequest, receive: Receive, hold: Hold, announced: int, limit: int) -> NoReturn:
        """Refuse an oversized form, but keep it for its author to shorten.

        With scripts, the page still has it. Without them it would be lost: browsers do not keep the forms of pages that
        must not be stored. Only signed-in people's forms are kept, because that takes memory.
        """
        visit = visit_of(request)
        if await self._is_kept(request, announced, limit):
            self._room.keeping += 1
            try:
                with contextlib.suppress(Forbidden, Unavailable):
                    body = await _gather(request, receive, hold, announced, most_bytes=MOST_KEPT * limit)
                    await self._parse(visit, body)
            finally:
                self._room.keeping -= 1
        raise too_large(limit)

    async def _is_kept(self, request: AnyRequest, announced: int, limit: int) -> bool:
        visit = visit_of(request)
        if visit.is_partial or visit.media_type != form_body.KIND or announced > MOST_KEPT * limit:
            return False
        with contextlib.suppress(*NO_ANSWER):
            # Checked last: other requests may have begun while the session was looked up.
            return await find_principal(request) is not None and self._room.keeping < MOST_KEEPING
        return False

    async def _parse(self, visit: Visit, body: bytes) -> None:
        if len(body) <= form_body.LARGE_BYTES:
            _fill(visit, body)
            return
        fill = functools.partial(contextvars.copy_context().run, _fill, visit, body)
        await asyncio.get_running_loop().run_in_executor(_PARSERS, fill)


async def _gather(request: AnyRequest, receive: Receive, hold: Hold, announced: int, *, most_bytes: int) -> bytes:
    """The whole body. The token is checked as soon as the first bytes are there, so a forged form costs no more than those."""
    await make_room(request, hold, announced)
    incoming = Incoming(receive, most_bytes=most_bytes, deadline=Deadline())
    chunks: list[bytes] = []
    is_checked = False
    while True:
        chunk = await incoming.read()
        await make_room(request, hold, incoming.size)
        chunks.append(chunk)
        if not is_checked and (incoming.is_whole or incoming.size > STRANGERS_BYTES):
            _check_token(visit_of(request), b"".join(chunks)[:STRANGERS_BYTES])
            is_checked = True
        if not chunk or incoming.is_whole:
            return b"".join(chunks)


def _check_token(visit: Visit, head: bytes) -> None:
    token = visit.header(csrf.HEADER) or csrf.find_token(head, is_multipart=visit.media_type == file_form.KIND)
    if not visit.is_csrf(token):
        raise csrf.forged()


def _fill(visit: Visit, body: bytes) -> None:
    if body and visit.media_type == file_form.KIND:
        parts = file_form.parse(visit.header(b"content-type"), body)
        visit.form, visit.files = parts.fields, parts.files
    else:
        visit.form = form_body.parse_form(body)
    visit.form.pop(csrf.FIELD, None)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Replays the body for the route, then passes on the disconnect."""
    is_given = False

    async def receive_again() -> Any:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
