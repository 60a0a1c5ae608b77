"""How our own engine runs a model, for the owner: context, threads, graphics card, answers at once."""

import uuid
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Response, put
from litestar.params import FromPath
from msgspec import Meta

from app.controllers.forms import read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, model_page, my_model, saved
from app.database import fetch
from app.errors import NotFound
from app.providers import PROVIDERS
from app.providers.keeping import EngineOptions

log = structlog.get_logger()


class EngineForm(msgspec.Struct):
    """The form; the limits are those of `EngineOptions`. Empty: as llama.cpp, or Parley, decides."""

    context_tokens: Annotated[int, Meta(ge=256, le=10_000_000)] | None = None
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    gpu_layers: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    slots: Annotated[int, Meta(ge=1, le=64)] | None = None


@put("/models/{model_id:uuid}/engine", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets how it is run from its next start on: one that runs is begun anew when nobody uses it."""
    row = await my_model(current_user, model_id)
    if not PROVIDERS[row["kind"]].runs_here:
        raise NotFound("")
    filled = read_form(request, EngineForm)
    if filled.values is None:
        return await model_page(request, current_user, row, "engine", filled)
    options = EngineOptions(**msgspec.structs.asdict(filled.values))
    await fetch("UPDATE model SET engine = $2 WHERE id = $1", model_id, msgspec.json.encode(options).decode())
    log.info("model_engine_set", model_id=str(model_id))
    return await saved(request, current_user, model_id, "engine")


ROUTES = [update]
