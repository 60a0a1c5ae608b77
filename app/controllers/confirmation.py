"""Sensitive changes ask for the password again unless it was given in this session within the last ten minutes.

A route says so beside `owner_only`: `guards=[owner_only, Confirmed("invite")]`. The answer is then a page (for htmx a
dialog) with the form as it was sent, sealed. With the password it is sent to the same address once more, and the change
happens in that request.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
import structlog
from litestar import Response
from litestar.handlers import BaseRouteHandler

from app.controllers.access import check_own_password
from app.controllers.confirmation_words import Action, words_of
from app.controllers.error_page import referring_path
from app.controllers.errors import Answered, headers_of
from app.controllers.forms import Fields, normalised
from app.controllers.pages import local_path, page, with_sidebar
from app.controllers.visit import Connection, Visit, find_user, visit_of
from app.errors import AppError, Forbidden, Invalid, Malformed, NotSignedIn, TooManyRequests, Unavailable
from app.secrets import seal, unseal
from app.tables.session import Session
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

#: The fields of the page that asks. Routes that ask take them from every form; all other routes refuse them.
PASSWORD_FIELD = "confirm_password"  # noqa: S105  the name of a field
FORM_FIELD = "confirm_form"


class PasswordNeeded(Forbidden):
    """The password was not given within the last ten minutes."""

    code = "password_needed"


class Sent(msgspec.Struct, frozen=True):
    """A form as it was sent, for one session and one address alone. `back` is the page that it came from.

    It is good for one time: `confirmed_at` is that of the session, and the password that comes with it changes that.
    """

    session_id: uuid.UUID
    confirmed_at: datetime | None
    address: str
    back: str
    form: dict[str, list[str]] | None
    files: dict[str, bytes]


class Confirmed:
    """A guard, behind one that asks for a sign-in. With `only_if` it asks only where that is true of the request."""

    def __init__(self, action: Action, only_if: Callable[[Connection], Awaitable[bool]] | None = None) -> None:
        self.action = action
        self._only_if = only_if

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        """Raises `Answered`; for programs `PasswordNeeded`, `Invalid` and `TooManyRequests`."""
        visit, user = visit_of(connection), await find_user(connection)
        if user is None or visit.session is None:
            raise NotSignedIn(_("You are not signed in."))
        password = _take(visit, PASSWORD_FIELD)
        sent = await _take_sent(connection, visit.session)
        is_used = sent is not None and sent.confirmed_at != visit.session.confirmed_at
        if visit.session.is_confirmed and not is_used:
            return
        if self._only_if is not None and not await self._only_if(connection):
            return
        fault = _used() if is_used else await _fault_of(connection, user, password)
        if fault is None and not await visit.session.confirm() and sent is not None:
            fault = _used()
        if fault is None:
            log.info("password_confirmed", user_id=str(user.id), action=self.action)
            return
        if visit.wants_json:
            raise fault
        back = referring_path(connection) if sent is None else local_path(sent.back)
        raise Answered(await self._page(connection, user, visit.session, fault, back))

    async def _page(
        self, connection: Connection, user: User, session: Session, fault: AppError, back: str
    ) -> Response[bytes]:
        visit = visit_of(connection)
        sent = Sent(session.id, session.confirmed_at, _address_of(connection), back, visit.form, visit.files)
        context: dict[str, Any] = {
            "what": await words_of(self.action, connection),
            "is_over": not session.is_confirmed,
            "action": _path_of(connection),
            "back": back,
            "is_download": self.action == "export",
            "sealed": await asyncio.to_thread(_sealed, sent),
            "target": _target_of(visit),
            "email": user.email,
            "errors": Fields() if isinstance(fault, PasswordNeeded) else Fields({PASSWORD_FIELD: fault.sentence}),
        }
        if not visit.is_partial:
            context = await with_sidebar(user, context)
        answer = page(connection, "confirmation/show.html", context, status_code=fault.status_code)
        answer.headers.update(headers_of(fault))
        return answer


async def _fault_of(connection: Connection, user: User, password: str) -> AppError | None:
    """None if the password is right. Guesses are slowed down as those of a sign-in are."""
    if not password:
        return PasswordNeeded(_("Enter your password to continue."))
    try:
        is_right = await check_own_password(connection, user, password) is not None
    except TooManyRequests as error:
        return error
    if not is_right:
        return Invalid(_("Wrong password."), field=PASSWORD_FIELD)
    return None


def _used() -> AppError:
    """Back and reload send a form again that was done; of two tabs the second is asked once more."""
    sentence = _("You entered your password somewhere else, or did this already. Enter it again to do it now.")
    return Invalid(sentence, field=PASSWORD_FIELD)


def _take(visit: Visit, field: str) -> str:
    """The value of a field, '' if it was not sent. The form holds it no longer."""
    values = (visit.form or {}).pop(field, [])
    if len(values) > 1:
        raise Malformed(_("The form has a field twice. Load the page again."))
    return normalised("".join(values))


async def _take_sent(connection: Connection, session: Session) -> Sent | None:
    """Puts the form that was sent first in the place of the one that brought the password, if this is such."""
    visit = visit_of(connection)
    if not (sealed := _take(visit, FORM_FIELD)):
        return None
    sent = await asyncio.to_thread(_opened, sealed)
    if visit.form or sent is None or (sent.session_id, sent.address) != (session.id, _address_of(connection)):
        raise Malformed(_("This form cannot be continued. Nothing was changed. Go back and fill it in again."))
    visit.form, visit.files = sent.form, sent.files
    return sent


def _sealed(sent: Sent) -> str:
    """A third longer than what was sent: the largest file of settings still fits into a request."""
    return seal(msgspec.msgpack.encode(sent).decode("latin-1"))


def _opened(sealed: str) -> Sent | None:
    """None for what this instance did not seal."""
    try:
        return msgspec.msgpack.decode(unseal(sealed).encode("latin-1"), type=Sent)
    except (Unavailable, UnicodeEncodeError, msgspec.DecodeError):
        return None


def _path_of(connection: Connection) -> str:
    query = connection.scope["query_string"].decode("latin-1")
    return local_path(connection.scope["path"]) + (f"?{query}" if query else "")


def _address_of(connection: Connection) -> str:
    scope: Any = connection.scope
    return f"{scope['method']} {_path_of(connection)}"


def _target_of(visit: Visit) -> str:
    """The id of the element into which htmx would have put the answer; '' for an answer that brings its own places."""
    found = re.fullmatch(r"[a-z]+#([\w-]{1,100})", visit.header(b"hx-target"))
    return found[1] if found else ""
