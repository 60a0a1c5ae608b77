"""Signing in and out."""

import math
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, get, post

from app.controllers.forms import Fields, GivenPassword, read_form, wrong
from app.controllers.pages import keep_text, kept_text, local_path, page, redirect
from app.controllers.visit import PERSON_COOKIE, PERSON_DAYS, Connection, find_user, visit_of
from app.database import transaction
from app.errors import TooManyRequests
from app.secrets import hash_password, is_outdated, verify_password
from app.settings import settings
from app.tables.session import Session
from app.tables.sign_in_attempt import SignInAttempt
from app.tables.user import User
from app.words import gettext as _
from app.words import ngettext

log = structlog.get_logger()


class SignIn(msgspec.Struct):
    """`next` is where the person wanted to go."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
    password: GivenPassword
    next: str = ""


@get("/sign-in")
async def show_sign_in(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The form; who is signed in already goes on."""
    next_path = local_path(request.query_params.get("next", "/"))
    if await find_user(request) is not None:
        return redirect(request, next_path)
    if not await User.has_owner():
        return redirect(request, "/first-run")
    return _sign_in_page(request, Fields(), Fields(), next_path, reason=await _reason_to_sign_in(request))


@post("/sign-in")
async def sign_in(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A wrong address and a wrong password get the same answer after the same work."""
    filled = read_form(request, SignIn)
    next_path = local_path(filled.typed["next"])
    if (values := filled.values) is None:
        return _sign_in_page(request, filled.typed, filled.errors, next_path, status_code=422)
    try:
        user = await _find_by_password(request, values.email.lower(), values.password)
    except TooManyRequests as error:
        seconds = str(round(error.retry_after_seconds or 1) + 1)
        failed = wrong(filled, "form", error.sentence)
        return _sign_in_page(
            request, failed.typed, failed.errors, next_path, status_code=429, headers={"retry-after": seconds}
        )
    if user is None:
        log.info("sign_in_failed")
    if user is None or not await start_session(request, user):
        failed = wrong(filled, "form", _("The email or the password is not right."))
        return _sign_in_page(request, failed.typed, failed.errors, next_path, status_code=422)
    log.info("signed_in", user_id=str(user.id))
    return redirect(request, next_path)


@post("/sign-out")
async def sign_out(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Ends this session; its open pages are told."""
    user = await find_user(request)
    visit = visit_of(request)
    if user is not None and visit.session is not None:
        await Session.end(visit.session.id, user_id=user.id)
        log.info("signed_out", user_id=str(user.id))
    visit.forget()
    return redirect(request, "/sign-in", flash="signed-out")


async def check_own_password(connection: Connection, user: User, password: str) -> User | None:
    """Who is signed in, read again, if this is their password. Guesses are slowed down as those of a sign-in are.

    Raises `TooManyRequests`.
    """
    try:
        found = await _find_by_password(connection, user.email, password)
    except TooManyRequests as error:
        seconds = math.ceil(error.retry_after_seconds or 1)
        sentence = ngettext(
            "There were too many wrong passwords. Try again in %(count)s second.",
            "There were too many wrong passwords. Try again in %(count)s seconds.",
            seconds,
        )
        raise TooManyRequests(sentence % {"count": seconds}, retry_after_seconds=seconds) from None
    if found is None:
        log.info("confirmation_failed")
    return found


async def _find_by_password(connection: Connection, email: str, password: str) -> User | None:
    """Who has this address and this password and may sign in. Raises `TooManyRequests`."""
    address = visit_of(connection).address
    await SignInAttempt.begin(address, email)
    user = await User.find_by_email(email)
    may_sign_in = user is not None and user.is_active
    if not await verify_password(password, user.password_hash if user and may_sign_in else None):
        return None
    await SignInAttempt.succeed(address, email)
    if user and is_outdated(user.password_hash):
        await user.change_password(await hash_password(password))
    return user


async def start_session(connection: Connection, user: User) -> bool:
    """Sign the person in in this browser, under a new token; what this browser was signed in as before ends.

    False if the person was deactivated or changed the password this very moment.
    """
    visit = visit_of(connection)
    await find_user(connection)
    async with transaction():
        token = await Session.start(
            user, user_agent=visit.header(b"user-agent"), address=visit.address, days=settings.session_days
        )
        if token is not None and visit.user is not None and visit.session is not None:
            await Session.end(visit.session.id, user_id=visit.user.id)
    if token is None:
        return False
    visit.keep(token, days=settings.session_days)
    keep_text(visit, PERSON_COOKIE, str(user.id), seconds=PERSON_DAYS * 86_400)
    visit.keep_language(user.language)
    return True


async def _reason_to_sign_in(connection: Connection) -> str:
    """Why a browser that was signed in has to do so again: "deactivated" or "over".

    '' for every other browser: a stranger learns of no account.
    """
    if not (user_id := kept_text(visit_of(connection), PERSON_COOKIE)):
        return ""
    user = await User.find(uuid.UUID(user_id))
    if user is not None and not user.is_active:
        return "deactivated"
    return "over"


def _sign_in_page(
    connection: Connection,
    form: Fields,
    errors: Fields,
    next_path: str,
    *,
    status_code: int = 200,
    reason: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    context = {"form": form, "errors": errors, "next": next_path, "reason": reason}
    return page(connection, "access/sign_in.html", context, status_code=status_code, headers=headers)


ROUTES = [show_sign_in, sign_in, sign_out]
