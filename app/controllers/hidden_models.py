"""Lets the owner hide models wherever people choose one, and show them again."""

import uuid
from typing import Any

import asyncpg
import structlog
from litestar import Response, delete, put
from litestar.params import FromPath

from app.controllers.guard import CurrentUser, owner_only
from app.controllers.model_page import AnyRequest, my_model
from app.controllers.pages import redirect
from app.database import fetch, transaction
from app.live import News, tell

log = structlog.get_logger()


@put("/models/{model_id:uuid}/hidden", guards=[owner_only])
async def update(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Hides a model. Threads and answers stay."""
    row = await my_model(current_user, model_id)
    return await _set(request, row, is_hidden=True)


@delete("/models/{model_id:uuid}/hidden", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Shows it again."""
    row = await my_model(current_user, model_id, is_there=False)
    return await _set(request, row, is_hidden=False)


async def _set(request: AnyRequest, row: asyncpg.Record, *, is_hidden: bool) -> Response[Any]:
    model_id = row["id"]
    async with transaction():
        await fetch("UPDATE model SET is_hidden = $2 WHERE id = $1", model_id, is_hidden)
        await tell(News(key="everybody", event="catalog"))
    log.info("model_hidden" if is_hidden else "model_shown", model_id=str(model_id))
    flash = "model-hidden" if is_hidden else "model-shown"
    return redirect(request, f"/models/{model_id}", flash=flash, name=row["name"])


ROUTES = [update, destroy]
