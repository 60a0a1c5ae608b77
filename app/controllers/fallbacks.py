"""Fallbacks of a model, for the owner: which ones are tried next, in order, when it does not answer."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, put
from litestar.params import FromPath

from app.chat import catalog
from app.controllers.forms import Fields, Filled, read_form, wrong
from app.controllers.guard import owner_only
from app.controllers.pages import page, redirect
from app.controllers.visit import visit_of
from app.database import fetch, fetch_row
from app.errors import Invalid, NotFound
from app.words import gettext as _

log = structlog.get_logger()


class Chain(msgspec.Struct):
    """The form. Each is the id of a model; empty ones are left out."""

    first: uuid.UUID | None = None
    second: uuid.UUID | None = None
    third: uuid.UUID | None = None


async def fallbacks_context(model_id: uuid.UUID, filled: Filled[Chain] | None = None) -> dict[str, Any]:
    """What `models/_fallbacks.html` is drawn from. Raises `NotFound`."""
    row = await fetch_row("SELECT id, fallbacks FROM model WHERE id = $1 AND gone_at IS NULL", model_id)
    if row is None:
        raise NotFound(_("There is no such model."))
    choices = [choice for choice in await catalog.list_models() if choice["id"] != model_id]
    stored = msgspec.json.decode(row["fallbacks"], type=list[str])
    kept = [one for one in stored if any(str(choice["id"]) == one for choice in choices)]
    return {
        "model_id": model_id,
        "choices": choices,
        "chain": filled.typed if filled else Fields(zip(Chain.__struct_fields__, kept, strict=False)),
        "chain_errors": filled.errors if filled else Fields(),
    }


@put("/models/{model_id:uuid}/fallbacks", guards=[owner_only])
async def update(request: Request[Any, Any, Any], model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets which models are tried next."""
    context = await fallbacks_context(model_id)
    filled = _checked(read_form(request, Chain), {choice["id"] for choice in context["choices"]})
    if filled.values is None:
        if not visit_of(request).is_partial:
            raise Invalid(next(iter(filled.errors.values())))
        context = await fallbacks_context(model_id, filled)
        return page(request, "models/_fallbacks.html", context, status_code=422)
    chain = [str(one) for one in dict.fromkeys(msgspec.structs.astuple(filled.values)) if one is not None]
    await fetch("UPDATE model SET fallbacks = $2 WHERE id = $1", model_id, msgspec.json.encode(chain).decode())
    log.info("model_fallbacks_set", model_id=str(model_id), fallbacks=len(chain))
    if not visit_of(request).is_partial:
        return redirect(request, f"/models/{model_id}", flash="saved")
    context = await fallbacks_context(model_id) | {"flash": _("Saved.")}
    return page(request, "models/_fallbacks.html", context)


def _checked(filled: Filled[Chain], offered: set[uuid.UUID]) -> Filled[Chain]:
    if filled.values is None:
        return filled
    for name in Chain.__struct_fields__:
        chosen = getattr(filled.values, name)
        if chosen is not None and chosen not in offered:
            return wrong(filled, name, _("This model is gone. Choose another one."))
    return filled


ROUTES = [update]
