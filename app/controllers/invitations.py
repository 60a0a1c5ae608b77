"""Invitations: the owner makes a link and passes it on; the invited person chooses name, address and password."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath

from app.controllers.access import start_session
from app.controllers.confirmation import Confirmed
from app.controllers.forms import (
    Email,
    Fields,
    Name,
    NewPassword,
    OptionalEmail,
    password_fault,
    read_form,
    wrong,
)
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect
from app.controllers.users import keep_link, users_page
from app.controllers.visit import Connection, visit_of
from app.database import transaction
from app.errors import Invalid, NotFound
from app.secrets import hash_password
from app.settings import settings
from app.tables.invitation import Invitation
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()


class NewInvitation(msgspec.Struct):
    """`email` is a proposal to the invited person, who may choose another."""

    email: OptionalEmail = ""


class Acceptance(msgspec.Struct):
    """What the invited person chooses."""

    name: Name
    email: Email
    password: NewPassword


@post("/invitations", guards=[owner_only, Confirmed("invite")])
async def invite(request: Request[Any, Any, Any], current_user: CurrentUser) -> Response[bytes]:
    """The link is on the page that comes next, once, and nowhere else."""
    filled = read_form(request, NewInvitation)
    if filled.values is not None and await User.find_by_email(filled.values.email.lower()) is not None:
        filled = wrong(filled, "email", _("Somebody with this address has an account already."))
    if filled.values is None:
        return await users_page(request, current_user, filled, status_code=422)
    token = await Invitation.create_link(created_by=current_user.id, email=filled.values.email.lower())
    log.info("invitation_made")
    keep_link(request, current_user, f"{_our_address(request)}/invitations/{token}")
    return redirect(request, "/users#invitations")


@delete("/invitations/{key:str}", guards=[owner_only], status_code=303)
async def revoke_invitation(request: Request[Any, Any, Any], key: FromPath[str]) -> Response[bytes]:
    """`key` is the invitation's id here; in the link it is the token."""
    try:
        invitation_id = uuid.UUID(key)
    except ValueError:
        raise NotFound(_("There is no such invitation.")) from None
    if not await Invitation.revoke(invitation_id):
        raise NotFound(_("There is no such invitation."))
    log.info("invitation_revoked")
    return redirect(request, "/users", flash="revoked")


@get("/invitations/{key:str}")
async def show_invitation(request: Request[Any, Any, Any], key: FromPath[str]) -> Response[bytes]:
    """The form of the invited person."""
    form = Fields(email=await Invitation.email_of(key))
    return _invitation_page(request, form, Fields())


@post("/invitations/{key:str}")
async def accept_invitation(request: Request[Any, Any, Any], key: FromPath[str]) -> Response[bytes]:
    """Makes the person and signs them in. A link works once."""
    await Invitation.email_of(key)
    filled = read_form(request, Acceptance)
    if filled.values is not None and (fault := password_fault(filled.values.password, email=filled.values.email)):
        filled = wrong(filled, "password", fault)
    if (values := filled.values) is None:
        return _invitation_page(request, filled.typed, filled.errors, status_code=422)
    password_hash = await hash_password(values.password)
    try:
        async with transaction():
            user = await Invitation.accept(
                key, name=values.name, email=values.email.lower(), password_hash=password_hash
            )
            await start_session(request, user)
    except Invalid as error:
        failed = wrong(filled, "email", error.sentence)
        return _invitation_page(request, failed.typed, failed.errors, status_code=422)
    log.info("invitation_accepted", user_id=str(user.id))
    return redirect(request, "/")


def _invitation_page(
    connection: Connection, form: Fields, errors: Fields, *, status_code: int = 200
) -> Response[bytes]:
    """Drawn for nobody, also in a browser that is signed in: accepting signs it in as somebody else."""
    context = {"form": form, "errors": errors, "user": None}
    return page(connection, "access/invitation.html", context, status_code=status_code)


def _our_address(request: Request[Any, Any, Any]) -> str:
    return settings.public_url.rstrip("/") or f"{request.scope['scheme']}://{visit_of(request).host}"


ROUTES = [invite, revoke_invitation, show_invitation, accept_invitation]
