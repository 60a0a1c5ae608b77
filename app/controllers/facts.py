"""What is known of a model, set by hand by the owner, who knows it better."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Response, delete, put
from litestar.params import FromPath

from app.controllers.forms import read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, model_page, my_model, saved
from app.database import fetch
from app.providers.known import Dollars, Tokens

log = structlog.get_logger()


class SetByHand(msgspec.Struct):
    """The form of a model's facts. Empty: as the server or the table says."""

    has_vision: bool | None = None
    has_tools: bool | None = None
    has_reasoning: bool | None = None
    is_embedding: bool | None = None
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input_price: Dollars | None = None
    output_price: Dollars | None = None
    cached_price: Dollars | None = None


@put("/models/{model_id:uuid}/facts", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets by hand what the form holds, and takes back what it leaves empty."""
    row = await my_model(current_user, model_id)
    filled = read_form(request, SetByHand)
    if filled.values is None:
        return await model_page(request, current_user, row, "facts", filled)
    await _keep(
        model_id, {name: value for name, value in msgspec.structs.asdict(filled.values).items() if value is not None}
    )
    return await saved(request, current_user, model_id, "facts")


@delete("/models/{model_id:uuid}/facts", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Takes back everything that was set by hand."""
    await my_model(current_user, model_id)
    await _keep(model_id, {})
    return await saved(request, current_user, model_id, "facts")


async def _keep(model_id: uuid.UUID, chosen: dict[str, Any]) -> None:
    await fetch("UPDATE model SET set_by_owner = $2 WHERE id = $1", model_id, msgspec.json.encode(chosen).decode())
    log.info("model_facts_set", model_id=str(model_id), facts=sorted(chosen))


ROUTES = [update, destroy]
