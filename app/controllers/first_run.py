"""The first visit creates the owner, then opens an empty thread, or the model servers if there is no model yet."""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, get, post

from app.chat import catalog
from app.controllers.access import start_session
from app.controllers.errors import headers_of
from app.controllers.forms import Email, Fields, Filled, Name, NewPassword, password_fault, read_form, wrong
from app.controllers.pages import keep_text, kept_text, page, redirect
from app.controllers.visit import Connection, visit_of
from app.database import transaction
from app.errors import TooManyRequests
from app.secrets import hash_password, keyed_digest
from app.tables.sign_in_attempt import SignInAttempt
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

TOKEN_COOKIE = "parley-first-run"  # noqa: S105  the name of a cookie
TOKEN_SECONDS = 3_600
#: What guesses at the token are counted under, as those at an account are: no email address.
GUESSES = "first run"

_LIKE_A_TOKEN = re.compile(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){3}")


class NewOwner(msgspec.Struct):
    """`token` is the one on the console. It is asked for on this machine too: other accounts, proxies and tunnels reach it."""

    name: Name
    email: Email
    password: NewPassword
    token: str = ""


def first_run_token() -> str:
    """What the console prints and the first visitor must know: 80 bits.

    Made from this instance's key, so that all of its processes know the same one. Worth nothing once there is an owner.
    """
    letters = base64.b32encode(keyed_digest("first run", "token")[:10]).decode()
    return "-".join(letters[start : start + 4] for start in range(0, 16, 4))


@get("/first-run")
async def show_first_run(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The form, once: when there is an owner it leads on.

    The console's link brings the token along, which goes on in a cookie: addresses are kept in histories and seen on screens.
    """
    if await User.has_owner():
        return redirect(request, "/")
    visit = visit_of(request)
    if token := request.query_params.get("token", ""):
        keep_text(visit, TOKEN_COOKIE, token[:100], seconds=TOKEN_SECONDS)
        return redirect(request, "/first-run")
    return _first_run_page(request, Fields(token=kept_text(visit, TOKEN_COOKIE)), Fields())


@post("/first-run")
async def make_owner(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Of all who send the form at once, one becomes the owner; the others are led to sign in."""
    if await User.has_owner():
        return redirect(request, "/sign-in")
    filled = _checked(read_form(request, NewOwner))
    try:
        if not await _knows_token(request, filled.typed["token"]):
            filled = wrong(
                filled,
                "token",
                _("This is not the token that the console shows. “parley owner --link” prints it again."),
            )
    except TooManyRequests as error:
        failed = wrong(filled, "token", error.sentence)
        return _first_run_page(request, failed.typed, failed.errors, status_code=429, headers=headers_of(error))
    if (values := filled.values) is None:
        return _first_run_page(request, filled.typed, filled.errors, status_code=422)
    password_hash = await hash_password(values.password)
    async with transaction():
        await User.lock_owners()
        if await User.has_owner():
            return redirect(request, "/sign-in")
        owner = await User.add(name=values.name, email=values.email.lower(), password_hash=password_hash, is_owner=True)
        await start_session(request, owner)
    visit_of(request).set_cookie(TOKEN_COOKIE, "", seconds=0)
    log.info("owner_made", user_id=str(owner.id))
    return redirect(request, "/" if await catalog.list_models(owner.id) else "/providers")


async def _knows_token(connection: Connection, token: str) -> bool:
    """Whether it is the token. The right one is never kept waiting, so no stranger's guesses can keep the owner out.

    Raises `TooManyRequests` for guesses that come too fast.
    """
    if _is_token(token):
        return True
    await SignInAttempt.begin(visit_of(connection).address, GUESSES)
    return False


def _checked(filled: Filled[NewOwner]) -> Filled[NewOwner]:
    if filled.values is not None and (fault := password_fault(filled.values.password, email=filled.values.email)):
        filled = wrong(filled, "password", fault)
    return filled


def _is_token(given: str) -> bool:
    """People may type it in small letters and without its dashes."""
    letters = given.upper().replace("-", "").replace(" ", "")
    return hmac.compare_digest(letters.encode(), first_run_token().replace("-", "").encode())


def _first_run_page(
    connection: Connection,
    form: Fields,
    errors: Fields,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    # Whether a token is the right one is said to who sends the form alone: that is counted.
    asks_token = bool(errors["token"]) or not _LIKE_A_TOKEN.fullmatch(form["token"])
    context = {"form": form, "errors": errors, "asks_token": asks_token}
    return page(connection, "first_run/show.html", context, status_code=status_code, headers=headers)


ROUTES = [show_first_run, make_owner]
