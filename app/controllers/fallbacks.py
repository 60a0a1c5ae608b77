"""Fallbacks of a model, for the owner: which ones are tried next, in order, when it does not answer."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Response, put
from litestar.params import FromPath

from app.chat import catalog
from app.controllers.forms import Filled, read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import CHAIN, AnyRequest, model_page, my_model, saved
from app.database import fetch
from app.words import gettext as _

log = structlog.get_logger()


class Chain(msgspec.Struct):
    """The form. Each is the id of a model; empty ones are left out."""

    first: uuid.UUID | None = None
    second: uuid.UUID | None = None
    third: uuid.UUID | None = None


@put("/models/{model_id:uuid}/fallbacks", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets which models are tried next."""
    row = await my_model(current_user, model_id)
    held = msgspec.json.decode(row["fallbacks"], type=set[uuid.UUID])
    offered = ({choice["id"] for choice in await catalog.list_models(current_user.id)} | held) - {model_id}
    filled = _checked(read_form(request, Chain), offered)
    if filled.values is None:
        return await model_page(request, current_user, row, "fallbacks", filled)
    chain = [str(one) for one in dict.fromkeys(msgspec.structs.astuple(filled.values)) if one is not None]
    await fetch("UPDATE model SET fallbacks = $2 WHERE id = $1", model_id, msgspec.json.encode(chain).decode())
    log.info("model_fallbacks_set", model_id=str(model_id), fallbacks=len(chain))
    return await saved(request, current_user, model_id, "fallbacks")


def _checked(filled: Filled[Chain], offered: set[uuid.UUID]) -> Filled[Chain]:
    if filled.values is None:
        return filled
    for name in CHAIN:
        chosen = getattr(filled.values, name)
        if chosen is not None and chosen not in offered:
            return wrong(filled, name, _("This model is not available any more. Choose another one."))
    return filled


ROUTES = [update]
