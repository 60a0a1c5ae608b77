"""The models to pick from, for composers that are open already."""

import uuid

from litestar import get
from litestar.params import FromQuery

from app.controllers.guard import CurrentUser
from app.controllers.pages import page, redirect
from app.controllers.threads import Answer, Asked, composer_context
from app.controllers.visit import visit_of


@get("/catalog")
async def show(
    request: Asked,
    current_user: CurrentUser,
    model: FromQuery[uuid.UUID | None] = None,
    in_thread: FromQuery[uuid.UUID | None] = None,
) -> Answer:
    """The composer's picker as it is now, a part of pages and none itself. `model` is chosen in it, in that thread, if any."""
    if not visit_of(request).is_partial:
        return redirect(request, "/")
    context = await composer_context(current_user, None, chosen=model)
    return page(
        request, "catalog/_picker.html", context | {"in_thread": in_thread, "user": current_user, "is_alone": True}
    )


ROUTES = [show]
