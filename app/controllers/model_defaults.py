"""The model that new threads begin with, chosen on its page: the setting `default_model`, by another way."""

import uuid
from typing import Any

from litestar import Response, delete, put
from litestar.params import FromPath

from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, my_model
from app.controllers.pages import redirect
from app.errors import Conflict
from app.instance import changing
from app.tables.user import User


@put("/models/{model_id:uuid}/default", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """New threads begin with it, where a person chose none."""
    row = await my_model(current_user, model_id)
    return await _set(request, current_user, model_id, f"{row['provider_name']}/{row['name']}")


@delete("/models/{model_id:uuid}/default", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """No model is the default any more."""
    await my_model(current_user, model_id, is_there=False)
    return await _set(request, current_user, model_id, "")


async def _set(request: AnyRequest, owner: User, model_id: uuid.UUID, name: str) -> Response[Any]:
    change = await changing.check_texts({"default_model": name})
    if change.faults:
        raise Conflict(change.faults["default_model"])
    await changing.save(change, by=owner.id)
    return redirect(request, f"/models/{model_id}", flash="saved")


ROUTES = [update, destroy]
