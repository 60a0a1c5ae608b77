"""The people of the instance, for its owner."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, get, patch
from litestar.params import FromPath

from app.controllers.confirmation import Confirmed
from app.controllers.forms import Fields, Filled, read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import keep_text, kept_text, page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.database import transaction
from app.errors import Conflict, Invalid, NotFound
from app.tables.invitation import Invitation
from app.tables.session import Session, announce_user_end
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

LINK_COOKIE = "parley-invitation"


class UserChange(msgspec.Struct):
    """What the owner may change of somebody."""

    is_active: bool


@get("/users", guards=[owner_only])
async def list_users(request: Request[Any, Any, Any], current_user: CurrentUser) -> Response[bytes]:
    """Everybody, and the invitations that are open."""
    return await users_page(request, current_user)


@get("/users/{user_id:uuid}/deactivation", guards=[owner_only])
async def show_deactivation(
    request: Request[Any, Any, Any], user_id: FromPath[uuid.UUID], current_user: CurrentUser
) -> Response[bytes]:
    """Asks whether somebody is really to be kept out."""
    if (person := await User.find(user_id)) is None:
        raise NotFound(_("There is no such person."))
    return page(request, "users/deactivation.html", await with_sidebar(current_user, {"person": person}))


@patch("/users/{user_id:uuid}", guards=[owner_only, Confirmed("users")])
async def change_user(
    request: Request[Any, Any, Any], user_id: FromPath[uuid.UUID], current_user: CurrentUser
) -> Response[bytes]:
    """Keep somebody out, or let them in again."""
    filled = read_form(request, UserChange)
    if filled.values is None:
        raise Invalid(_("Say whether the person may sign in."), field="is_active")
    if filled.values.is_active:
        user = await _activate(user_id)
        return redirect(request, "/users", flash="activated", name=user.name)
    user = await _deactivate(user_id, by=current_user)
    return redirect(request, "/users", flash="deactivated", name=user.name)


async def users_page(
    request: Request[Any, Any, Any],
    owner: User,
    filled: Filled[Any] | None = None,
    *,
    status_code: int = 200,
) -> Response[bytes]:
    """The page of people, with the link of a new invitation this once."""
    context = {
        "users": await User.list_all(),
        "invitations": await Invitation.list_open(),
        "new_invitation_url": _take_link(request, owner),
        "form": filled.typed if filled else Fields(),
        "errors": filled.errors if filled else Fields(),
    }
    return page(request, "users/index.html", await with_sidebar(owner, context), status_code=status_code)


def keep_link(request: Request[Any, Any, Any], owner: User, link: str) -> None:
    """Leave an invitation's link with the browser of who made it, for the page of people that comes next."""
    keep_text(visit_of(request), LINK_COOKIE, f"{owner.id} {link}", seconds=60)


def _take_link(request: Request[Any, Any, Any], owner: User) -> str:
    visit = visit_of(request)
    if kept := kept_text(visit, LINK_COOKIE):
        visit.set_cookie(LINK_COOKIE, "", seconds=0)
    made_by, _space, link = kept.partition(" ")
    return link if made_by == str(owner.id) else ""


async def _activate(user_id: uuid.UUID) -> User:
    if (user := await User.find(user_id)) is None:
        raise NotFound(_("There is no such person."))
    await User.set_active(user_id, True)
    log.info("user_activated", of=str(user_id))
    return user


async def _deactivate(user_id: uuid.UUID, *, by: User) -> User:
    """Signs the person out everywhere; their open pages are told with the commit."""
    async with transaction():
        await User.lock_owners()
        if (user := await User.find(user_id)) is None:
            raise NotFound(_("There is no such person."))
        if user.id == by.id:
            raise Conflict(_("You cannot deactivate yourself."))
        if user.is_owner and user.is_active and await User.count_active_owners() == 1:
            raise Conflict(_("The last owner cannot be deactivated."))
        await User.set_active(user_id, False)
        await Session.end_all(user_id)
        await announce_user_end(user_id)
    log.info("user_deactivated", of=str(user_id))
    return user


ROUTES = [list_users, show_deactivation, change_user]
