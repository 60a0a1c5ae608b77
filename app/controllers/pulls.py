"""Pulls, for the owner: a model brought here from a hub, from Ollama's library or from an address."""

import uuid
from typing import Annotated, Any

import asyncpg
import msgspec
import structlog
from litestar import Response, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from app.chat import tasks
from app.chat.calls import Connect
from app.chat.models import Wanted
from app.controllers.forms import Fields, Filled, read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest
from app.controllers.models import list_context, list_page
from app.controllers.pages import page, redirect
from app.controllers.visit import visit_of
from app.database import fetch_row
from app.errors import Conflict, NotFound
from app.providers.errors import ProviderError
from app.providers.keeping import Keeper, Pull, Source, SourceRefused
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()


class NewPull(msgspec.Struct):
    """The form. `provider`: where the model is to be; `source`: a name or an address; `sha256` of the file, if known."""

    provider: uuid.UUID
    source: Annotated[str, Meta(min_length=1, max_length=2000)]
    sha256: Annotated[str, Meta(max_length=100)] = ""
    allows_private: bool = False


@post("/pulls", guards=[owner_only], status_code=303)
async def create(request: AnyRequest, current_user: CurrentUser, connect: NamedDependency[Connect]) -> Response[Any]:
    """Look up what is to be pulled, and begin. What is wrong stands beside its field, and nothing is begun."""
    filled = read_form(request, NewPull)
    try:
        if (new := filled.values) is not None:
            pull = await _look_up(new, connect)
            options = msgspec.json.encode(pull).decode()
            await tasks.start_task(
                "pull", new.provider, pull.name, user=current_user.id, source=new.source, options=options
            )
            log.info("model_pull_asked", model=pull.name)
    except SourceRefused as error:
        filled = wrong(filled, error.field, error.sentence)
    except ProviderError as error:
        filled = wrong(filled, "source", error.sentence)
    except Conflict as error:
        filled = wrong(filled, "source", error.sentence)
    if filled.values is not None and not visit_of(request).is_partial:
        return redirect(request, "/models")
    return await _show(request, current_user, filled)


@delete("/pulls/{task_id:uuid}", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, current_user: CurrentUser, task_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Cancel a pull, or whatever else is done with a model; one that failed is forgotten."""
    if await tasks.find_task(task_id) is None:
        raise NotFound(_("There is no such task."))
    await tasks.cancel_task(task_id)
    if visit_of(request).is_partial:
        return page(request, "models/_list.html", await list_context(current_user, Wanted()))
    return redirect(request, "/models")


async def _look_up(new: NewPull, connect: Connect) -> Pull:
    row: asyncpg.Record | None = await fetch_row(
        "SELECT kind, name AS provider_name, base_url, base_url_sealed, key_sealed, allows_private FROM provider"
        " WHERE id = $1 AND is_enabled",
        new.provider,
    )
    keeper = connect(row) if row else None
    if not isinstance(keeper, Keeper):
        raise SourceRefused(_("Choose one of what is offered."), field="provider")
    return await keeper.look_up(Source(new.source, new.sha256, new.allows_private))


async def _show(request: AnyRequest, user: User, filled: Filled[NewPull]) -> Response[Any]:
    """The form with what is wrong; or for a script an empty one, and the list with the pull that was begun."""
    context = await list_context(user, Wanted())
    if not visit_of(request).is_partial:
        return await list_page(request, user, context, status_code=422, form=filled.typed, errors=filled.errors)
    is_begun = filled.values is not None
    known = {"form": Fields() if is_begun else filled.typed, "errors": filled.errors, "is_begun": is_begun}
    context |= known | {"keepers": [each for each in context["providers"] if tasks.can_be_kept(each["kind"])]}
    return page(request, "models/_pull.html", context, status_code=200 if is_begun else 422)


ROUTES = [create, destroy]
