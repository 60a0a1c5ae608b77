"""Fallbacks of a model, for the owner: which ones are tried next, in order, when it does not answer."""

import uuid
from gettext import gettext as _
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, put
from litestar.params import FromPath

from app.controllers.chain import Chain, chain_context, checked
from app.controllers.forms import read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.models import find_model, model_page
from app.controllers.pages import page, redirect
from app.controllers.visit import visit_of
from app.database import fetch

log = structlog.get_logger()


@put("/models/{model_id:uuid}/fallbacks", guards=[owner_only])
async def update(
    request: Request[Any, Any, Any], current_user: CurrentUser, model_id: FromPath[uuid.UUID]
) -> Response[Any]:
    """Sets which models are tried next."""
    context = await chain_context(model_id)
    filled = checked(read_form(request, Chain), {choice["id"] for choice in context["choices"]})
    is_partial = visit_of(request).is_partial
    if filled.values is None:
        context = await chain_context(model_id, filled)
        if is_partial:
            return page(request, "models/_fallbacks.html", context, status_code=422)
        return await model_page(request, current_user, await find_model(model_id), status_code=422, **context)
    chain = [str(one) for one in dict.fromkeys(msgspec.structs.astuple(filled.values)) if one is not None]
    await fetch("UPDATE model SET fallbacks = $2 WHERE id = $1", model_id, msgspec.json.encode(chain).decode())
    log.info("model_fallbacks_set", model_id=str(model_id), fallbacks=len(chain))
    if not is_partial:
        return redirect(request, f"/models/{model_id}", flash="saved")
    return page(request, "models/_fallbacks.html", await chain_context(model_id) | {"flash": _("Saved.")})


ROUTES = [update]
