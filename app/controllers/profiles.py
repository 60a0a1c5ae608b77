"""One's own profile: name, looks and habits, the password, where one is signed in."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

import asyncpg
import msgspec
import structlog
from litestar import Request, Response, get, put

from app import words
from app.chat import catalog
from app.controllers.access import check_own_password, start_session
from app.controllers.forms import Fields, Filled, GivenPassword, Name, NewPassword, password_fault, read_form, wrong
from app.controllers.guard import CurrentSession, CurrentUser
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.database import transaction
from app.errors import Conflict, TooManyRequests
from app.secrets import hash_password
from app.tables.session import Session
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()


class Profile(msgspec.Struct):
    """What a person says of themself, and how they like the page."""

    name: Name
    theme: Literal["system", "graphite", "terminal", "solarized", "quartz"]
    send_key: Literal["enter", "ctrl-enter"]
    speech: Literal["all", "done", "off"]
    language: str = ""
    default_model: uuid.UUID | None = None


class PasswordChange(msgspec.Struct):
    """`email` is there for password managers alone, and not looked at."""

    current_password: GivenPassword
    password: NewPassword
    email: str = ""


@get("/profile")
async def show_profile(
    request: Request[Any, Any, Any], current_user: CurrentUser, current_session: CurrentSession
) -> Response[bytes]:
    """The forms as they are now."""
    return await _profile_page(request, current_user, current_session)


@put("/profile")
async def change_profile(
    request: Request[Any, Any, Any], current_user: CurrentUser, current_session: CurrentSession
) -> Response[bytes]:
    """Name, theme, send key, speech, language, and the model that new threads begin with."""
    models = await catalog.list_models(current_user.id)
    filled = _checked(read_form(request, Profile), models)
    if (values := filled.values) is None:
        return await _profile_page(request, current_user, current_session, filled)
    await current_user.change(**msgspec.structs.asdict(values))
    visit_of(request).keep_language(values.language)
    log.info("profile_changed", user_id=str(current_user.id))
    return redirect(request, "/profile", flash="saved")


@put("/profile/password")
async def change_password(
    request: Request[Any, Any, Any], current_user: CurrentUser, current_session: CurrentSession
) -> Response[bytes]:
    """Every sign-in ends at once, this one too: its token may be known elsewhere. This browser gets a new one."""
    filled = read_form(request, PasswordChange)
    if filled.values is not None and (fault := password_fault(filled.values.password, email=current_user.email)):
        filled = wrong(filled, "password", fault)
    if (values := filled.values) is None:
        return await _profile_page(request, current_user, current_session, filled)
    try:
        user = await check_own_password(request, current_user, values.current_password)
    except TooManyRequests as error:
        failed = wrong(filled, "current_password", error.sentence)
        return await _profile_page(request, current_user, current_session, failed, status_code=429)
    if user is None:
        failed = wrong(filled, "current_password", _("This is not your current password."))
        return await _profile_page(request, current_user, current_session, failed)
    password_hash = await hash_password(values.password)
    async with transaction():
        if not await user.change_password(password_hash):
            raise Conflict(_("Your password was changed a moment ago, somewhere else."))
        await Session.end_all(user.id)
        await start_session(request, user)
    log.info("password_changed", user_id=str(user.id))
    return redirect(request, "/profile", flash="password-changed")


def _checked(filled: Filled[Profile], models: Sequence[asyncpg.Record]) -> Filled[Profile]:
    values = filled.values
    if values is not None and values.language and values.language not in words.languages():
        return wrong(filled, "language", _("Choose one of what is offered."))
    if values is not None and values.default_model and not any(m["id"] == values.default_model for m in models):
        return wrong(filled, "default_model", _("This model is not available any more. Choose another one."))
    return filled


async def _profile_page(
    request: Request[Any, Any, Any],
    user: User,
    session: Session,
    filled: Filled[Any] | None = None,
    *,
    status_code: int = 422,
) -> Response[bytes]:
    now = Fields(name=user.name, theme=user.theme, send_key=user.send_key, speech=user.speech)
    now |= {"language": user.language, "default_model": str(user.default_model or "")}
    context = {
        "form": Fields(now | (filled.typed if filled else {})),
        "errors": filled.errors if filled else Fields(),
        "models": await catalog.list_models(user.id),
        "languages": [(language, words.own_name(language)) for language in words.languages()],
        "sessions": await Session.list_of(user.id, current=session.id),
    }
    return page(
        request,
        "profiles/show.html",
        await with_sidebar(user, context),
        status_code=status_code if filled else 200,
    )


ROUTES = [show_profile, change_profile, change_password]
