"""Who may use a model, for the owner: everybody, the owner alone, or those who are chosen."""

import uuid
from typing import Any, Literal

import msgspec
import structlog
from litestar import Response, put
from litestar.params import FromPath

from app.controllers.forms import read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, model_page, my_model, saved
from app.database import fetch, transaction
from app.live import News, tell
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()


class Audience(msgspec.Struct):
    """The form. `users` are the chosen ones; they are looked at only if that is what was chosen."""

    who: Literal["everybody", "owner", "chosen"]
    users: list[uuid.UUID] = []


@put("/models/{model_id:uuid}/audience", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets who may use it, from now on."""
    row = await my_model(current_user, model_id)
    filled = read_form(request, Audience)
    if filled.values is not None and (fault := await _users_fault(filled.values)):
        filled = wrong(filled, "users", fault)
    if (audience := filled.values) is None:
        return await model_page(request, current_user, row, "audience", filled)
    allowed = {"everybody": None, "owner": [], "chosen": sorted({str(user) for user in audience.users})}[audience.who]
    stored = None if allowed is None else msgspec.json.encode(allowed).decode()
    async with transaction():
        await fetch("UPDATE model SET allowed_users = $2 WHERE id = $1", model_id, stored)
        await tell(News(key="everybody", event="catalog"))
    log.info("model_audience_set", model_id=str(model_id), who=audience.who)
    return await saved(request, current_user, model_id, "audience")


async def _users_fault(audience: Audience) -> str:
    if audience.who != "chosen":
        return ""
    if not audience.users:
        return _("Choose somebody, or keep it for yourself.")
    if not set(audience.users) <= {person.id for person in await User.list_all()}:
        return _("Somebody of these has no account any more. Load the page again.")
    return ""


ROUTES = [update]
