"""Asks before a provider is disconnected: its key is gone then, and its models leave the list."""

import uuid
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, with_sidebar
from app.database import fetch_row
from app.errors import NotFound
from app.tables.provider import shown_address
from app.words import gettext as _


@get("/providers/{provider_id:uuid}/disconnection", guards=[owner_only])
async def show(
    request: Request[Any, Any, Any], current_user: CurrentUser, provider_id: FromPath[uuid.UUID]
) -> Response[bytes]:
    """The question, in a dialog or on a page of its own."""
    provider = await fetch_row(_PROVIDER, provider_id)
    if provider is None:
        raise NotFound(_("There is no such provider."))
    context = await with_sidebar(current_user, {"provider": provider, "shown_url": shown_address(provider)})
    return page(request, "providers/disconnection.html", context)


_PROVIDER = "SELECT id, name, base_url, shown_url, key_sealed <> '' AS has_key FROM provider WHERE id = $1"

ROUTES = [show]
