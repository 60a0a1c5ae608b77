"""Models: all of them in one list, one on its page, what it is made of, and away with it."""

import uuid
from collections.abc import Mapping
from typing import Any

import structlog
from litestar import Response, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.chat import added_models, tasks
from app.chat.calls import Connect
from app.chat.model_watch import ModelWatch
from app.chat.models import PAGE_SIZE, SORTS, Wanted, count_hidden, list_models, list_providers
from app.chat.presets import count_presets
from app.controllers.event_stream import EventStream
from app.controllers.forms import Fields
from app.controllers.guard import CurrentSession, CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, drawn, model_page, my_model
from app.controllers.pages import page, page_text, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.database import fetch_row
from app.errors import Conflict
from app.live import Reader
from app.providers.errors import ProviderError
from app.providers.keeping import Keeper
from app.providers.known import table
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()


@get("/models")
async def index(
    request: AnyRequest,
    current_user: CurrentUser,
    q: FromQuery[str] = "",
    provider: FromQuery[str] = "",
    able: FromQuery[str] = "",
    status: FromQuery[str] = "",
    sort: FromQuery[str] = "provider",
    at: FromQuery[int] = 1,
) -> Response[Any]:
    """Every model that this person may use. What is asked of the list stands in the address."""
    wanted = Wanted.of(q, provider, able, status, sort, at)
    context = await list_context(current_user, wanted)
    if visit_of(request).is_partial:
        return page(request, "models/_list.html", context)
    return await list_page(request, current_user, context)


@get("/models/events")
async def events(
    request: AnyRequest, current_user: CurrentUser, current_session: CurrentSession, live: NamedDependency[Reader]
) -> EventStream:
    """The event stream of an open page of models: how far tasks are, for the owner, and when to look again."""
    is_owner = current_user.is_owner

    def draw(task: dict[str, Any]) -> str:
        return page_text(request, "models/_progress_event.html", {"task": task}) if is_owner else ""

    return EventStream(ModelWatch(live, current_user.id, current_session.id, draw).lines(), current_user.id)


@get("/models/tasks", guards=[owner_only])
async def show_tasks(request: AnyRequest, task: FromQuery[uuid.UUID | None] = None) -> Response[Any]:
    """How far something is that is done with a model: a frame of pages without scripts."""
    row = await tasks.find_task(task) if task else None
    is_on = row is not None and row["state"] in ("queued", "running")
    return page(request, "models/tasks.html", {"task": tasks.drawn(row) if is_on else None})


@get("/models/{model_id:uuid}")
async def show(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """One model: what is known of it, and for the owner what can be done with it."""
    row = await my_model(current_user, model_id, is_there=False)
    if visit_of(request).is_partial:
        return page(request, "models/_summary.html", {"model": drawn(row), "as_of": table().as_of})
    return await model_page(request, current_user, row)


@get("/models/{model_id:uuid}/details", guards=[owner_only])
async def show_details(
    request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID], connect: NamedDependency[Connect]
) -> Response[Any]:
    """What a model is made of: its template, parameters, licence and tensors, as its file or its server says now."""
    row = await my_model(current_user, model_id)
    context: dict[str, Any] = {"model": drawn(row), "details": None, "sentence": ""}
    try:
        context["details"] = await (await _keeper(row, connect)).details(row["name"])
    except ProviderError as error:
        context["sentence"] = error.sentence
    return page(request, "models/details.html", await with_sidebar(current_user, context))


@get("/models/{model_id:uuid}/deletion", guards=[owner_only])
async def ask_deletion(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Asks before a model is deleted."""
    model = drawn(await my_model(current_user, model_id))
    if not model["is_unlisted"]:
        _check_deletable(model)
    found = {"model": model, "presets": await count_presets(model_id)}
    return page(request, "models/deletion.html", await with_sidebar(current_user, found))


@delete("/models/{model_id:uuid}", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Has a model deleted from its server; one that was only added by name leaves the list. Threads and answers stay."""
    row = await my_model(current_user, model_id)
    if drawn(row)["is_unlisted"]:
        await added_models.remove_model(model_id)
        log.info("model_removed", model_id=str(model_id))
        return redirect(request, "/models", flash="deleted")
    _check_deletable(row)
    await tasks.start_task("delete", row["provider"], row["name"], user=current_user.id)
    if row["is_by_hand"]:
        await added_models.remove_model(model_id)
    log.info("model_deletion_asked", model_id=str(model_id))
    return redirect(request, "/models")


async def list_context(user: User, wanted: Wanted) -> dict[str, Any]:
    """What `models/_list.html` is drawn from."""
    # First: what ends in between is shown as going on, which brings the page to look again. Not as a row without a way on.
    going_on = [tasks.drawn(row) for row in await tasks.list_tasks()] if user.is_owner else []
    rows, total = await list_models(user.id, wanted)
    providers = await list_providers()
    return {
        "models": [drawn(row) for row in rows],
        "total": total,
        "hidden_count": await count_hidden() if user.is_owner else 0,
        "wanted": wanted,
        "sorts": tuple(SORTS),
        "pages": -(-total // PAGE_SIZE),
        "providers": providers,
        "tasks": going_on,
        "as_of": table().as_of,
    }


async def list_page(
    request: AnyRequest, user: User, context: dict[str, Any], *, status_code: int = 200, **more: Any
) -> Response[Any]:
    """The whole page of the list; `more`: the form of a pull that could not be begun."""
    keepers = [each for each in context["providers"] if tasks.can_be_kept(each["kind"])] if user.is_owner else []
    context |= {"keepers": keepers, "form": Fields(), "errors": Fields()} | more
    return page(request, "models/index.html", await with_sidebar(user, context), status_code=status_code)


async def _keeper(row: Any, connect: Connect) -> Keeper:
    account = await fetch_row(
        "SELECT kind, name AS provider_name, base_url, base_url_sealed, key_sealed, allows_private FROM provider WHERE id = $1",
        row["provider"],
    )
    provider = connect(account) if account else None
    if not isinstance(provider, Keeper):
        raise _not_ours()
    return provider


def _check_deletable(row: Mapping[str, Any]) -> None:
    """Raises `Conflict` for a model that came with Parley, and where the server keeps its models to itself."""
    if row["is_bundled"]:
        raise Conflict(_("This model came with Parley and cannot be deleted. Hide it instead."))
    if not tasks.can_be_kept(row["kind"]):
        raise _not_ours()


def _not_ours() -> Conflict:
    return Conflict(_("The server of this model does not let others manage its models."))


ROUTES = [index, events, show_tasks, show, show_details, ask_deletion, destroy]
