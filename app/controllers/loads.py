"""Loads: a model brought into memory, by whoever may use it, and out of it again, by the owner."""

import uuid
from typing import Any, Literal

import msgspec
from litestar import Response, delete, post
from litestar.params import FromPath

from app.chat import tasks
from app.chat.admission import admit
from app.controllers.forms import read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, drawn, my_model
from app.controllers.pages import page, redirect
from app.controllers.threads import composer_context
from app.controllers.visit import visit_of
from app.errors import Conflict
from app.tables.user import User
from app.words import gettext as _


class Load(msgspec.Struct):
    """Where it was asked for: that is what is shown afterwards. `thread`: the one it was asked for in."""

    place: Literal["list", "page", "thread"] = "list"
    thread: uuid.UUID | None = None


@post("/models/{model_id:uuid}/load", status_code=303)
async def create(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Load a model, before a question would."""
    return await _start(request, current_user, model_id, "load")


@delete("/models/{model_id:uuid}/load", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Take a model out of memory. An answer that it is writing breaks off."""
    return await _start(request, current_user, model_id, "unload")


async def _start(
    request: AnyRequest, user: User, model_id: uuid.UUID, kind: Literal["load", "unload"]
) -> Response[Any]:
    row = await my_model(user, model_id)
    asked = read_form(request, Load).values or Load()
    if not tasks.can_be_kept(row["kind"]):
        raise Conflict(_("The server of this model loads it by itself."))
    if row["task"] is None:
        await admit(user.id)
        await tasks.start_task(kind, row["provider"], row["name"], user=user.id)
    elif row["task_kind"] != kind:
        raise Conflict(_("Something is being done with this model already. Wait for it, or cancel it."))
    if not visit_of(request).is_partial:
        thread = f"/threads/{asked.thread}" if asked.thread else "/"
        return redirect(request, {"list": "/models", "page": f"/models/{model_id}", "thread": thread}[asked.place])
    if asked.place == "thread":
        context = await composer_context(user, None, chosen=model_id)
        return page(request, "catalog/_offer.html", context | {"in_thread": asked.thread})
    template = "models/_row.html" if asked.place == "list" else "models/_summary.html"
    return page(request, template, {"model": drawn(await my_model(user, model_id)), "as_of": ""})


ROUTES = [create, destroy]
