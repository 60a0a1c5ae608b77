"""Models that the owner adds to a provider by name."""

import uuid
from typing import Annotated, Any

import httpx
import msgspec
import structlog
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from app.chat import added_models
from app.controllers.forms import read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import redirect
from app.controllers.provider_form import CONNECTABLE
from app.controllers.providers_page import AnyRequest, find_provider, providers_page
from app.errors import Conflict
from app.providers.base import MOST_NAME_CHARS, is_model_name
from app.tables.provider import open_base_url
from app.words import gettext as _

log = structlog.get_logger()


class NewModel(msgspec.Struct):
    """A model, called as its server calls it."""

    model: Annotated[str, Meta(min_length=1, max_length=MOST_NAME_CHARS)]


@post("/providers/{provider_id:uuid}/models", guards=[owner_only], status_code=303)
async def create(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
    provider_id: FromPath[uuid.UUID],
) -> Response[Any]:
    """Add a model by name. The first question shows whether its server has it."""
    row = await find_provider(provider_id)
    if row["kind"] not in CONNECTABLE:
        raise Conflict(_("This one comes with Parley and lists its models by itself."))
    filled = read_form(request, NewModel)
    if filled.values is not None and not is_model_name(filled.values.model):
        filled = wrong(filled, "model", _("A model name must be a single line of visible characters."))
    if filled.values is None:
        addition = {"of": provider_id, "typed": filled.typed, "errors": filled.errors}
        return await providers_page(request, current_user, client, addition=addition, status_code=422)
    model = await added_models.add_model(provider_id, row["kind"], open_base_url(row), filled.values.model)
    log.info("model_added", provider_id=str(provider_id), model_id=str(model))
    return redirect(request, "/providers", flash="model-added", name=filled.values.model)


ROUTES = [create]
