"""How our own engine runs a model, for the owner: context, threads, graphics card, answers at once."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Response, put
from litestar.params import FromPath

from app.controllers.forms import read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, model_page, my_model, saved
from app.database import fetch
from app.errors import NotFound
from app.providers import PROVIDERS
from app.providers.keeping import EngineOptions

log = structlog.get_logger()


@put("/models/{model_id:uuid}/engine", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets how it is run from its next start on: one that runs is begun anew when nobody uses it."""
    row = await my_model(current_user, model_id)
    if not PROVIDERS[row["kind"]].runs_here:
        raise NotFound("")
    filled = read_form(request, EngineOptions)
    if filled.values is None:
        return await model_page(request, current_user, row, "engine", filled)
    await fetch("UPDATE model SET engine = $2 WHERE id = $1", model_id, msgspec.json.encode(filled.values).decode())
    log.info("model_engine_set", model_id=str(model_id))
    return await saved(request, current_user, model_id, "engine")


ROUTES = [update]
