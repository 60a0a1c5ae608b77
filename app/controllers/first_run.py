"""The first visit creates the owner, then opens an empty thread, or the model servers if there is no model yet."""

import base64
import hmac
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, get, post

from app.chat import catalog
from app.controllers.access import start_session
from app.controllers.forms import Email, Fields, Filled, Name, NewPassword, password_fault, read_form, wrong
from app.controllers.pages import page, redirect
from app.controllers.visit import Connection, visit_of
from app.database import transaction
from app.secrets import hash_password, keyed_digest
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()


class NewOwner(msgspec.Struct):
    """`token` is the one on the console; on the instance's own machine nobody is asked for it."""

    name: Name
    email: Email
    password: NewPassword
    token: str = ""


def first_run_token() -> str:
    """What the console prints and the first visitor from elsewhere must know: 80 bits.

    Made from this instance's key, so that all of its processes know the same one. Worth nothing once there is an owner.
    """
    letters = base64.b32encode(keyed_digest("first run", "token")[:10]).decode()
    return "-".join(letters[start : start + 4] for start in range(0, 16, 4))


@get("/first-run")
async def show_first_run(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The form, once: when there is an owner it leads on. The console's link brings the token along."""
    if await User.has_owner():
        return redirect(request, "/")
    return _first_run_page(request, Fields(token=request.query_params.get("token", "")), Fields())


@post("/first-run")
async def make_owner(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Of all who send the form at once, one becomes the owner; the others are led to sign in."""
    if await User.has_owner():
        return redirect(request, "/sign-in")
    filled = _checked(request, read_form(request, NewOwner))
    if (values := filled.values) is None:
        return _first_run_page(request, filled.typed, filled.errors, status_code=422)
    password_hash = await hash_password(values.password)
    async with transaction():
        await User.lock_owners()
        if await User.has_owner():
            return redirect(request, "/sign-in")
        owner = await User.add(name=values.name, email=values.email.lower(), password_hash=password_hash, is_owner=True)
        await start_session(request, owner)
    log.info("owner_made", user_id=str(owner.id))
    return redirect(request, "/" if await catalog.list_models(owner.id) else "/providers")


def _checked(connection: Connection, filled: Filled[NewOwner]) -> Filled[NewOwner]:
    if not visit_of(connection).is_local and not _is_token(filled.typed["token"]):
        filled = wrong(filled, "token", _("This is not the token that the console shows."))
    if filled.values is not None and (fault := password_fault(filled.values.password, email=filled.values.email)):
        filled = wrong(filled, "password", fault)
    return filled


def _is_token(given: str) -> bool:
    """People may type it in small letters and without its dashes."""
    letters = given.upper().replace("-", "").replace(" ", "")
    return hmac.compare_digest(letters.encode(), first_run_token().replace("-", "").encode())


def _first_run_page(connection: Connection, form: Fields, errors: Fields, *, status_code: int = 200) -> Response[bytes]:
    context = {"form": form, "errors": errors, "needs_token": not visit_of(connection).is_local}
    return page(connection, "first_run/show.html", context, status_code=status_code)


ROUTES = [show_first_run, make_owner]
