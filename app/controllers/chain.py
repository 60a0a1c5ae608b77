"""The chain of models that are tried one after the other, as a form: what it holds, and what it is drawn from."""

import uuid
from gettext import gettext as _
from typing import Any

import msgspec

from app.chat import catalog
from app.controllers.forms import Fields, Filled, wrong
from app.database import fetch_row
from app.errors import NotFound


class Chain(msgspec.Struct):
    """The form. Each is the id of a model; empty ones are left out."""

    first: uuid.UUID | None = None
    second: uuid.UUID | None = None
    third: uuid.UUID | None = None


async def chain_context(model_id: uuid.UUID, filled: Filled[Chain] | None = None) -> dict[str, Any]:
    """What `models/_fallbacks.html` is drawn from. Raises `NotFound`."""
    row = await fetch_row("SELECT id, fallbacks FROM model WHERE id = $1 AND gone_at IS NULL", model_id)
    if row is None:
        raise NotFound(_("There is no such model."))
    choices = [choice for choice in await catalog.list_models() if choice["id"] != model_id]
    stored = msgspec.json.decode(row["fallbacks"], type=list[str])
    kept = [one for one in stored if any(str(choice["id"]) == one for choice in choices)]
    return {
        "model_id": model_id,
        "choices": choices,
        "chain": filled.typed if filled else Fields(zip(Chain.__struct_fields__, kept, strict=False)),
        "chain_errors": filled.errors if filled else Fields(),
    }


def checked(filled: Filled[Chain], offered: set[uuid.UUID]) -> Filled[Chain]:
    """The form, or with what is wrong: it names a model that is not offered."""
    if filled.values is None:
        return filled
    for name in Chain.__struct_fields__:
        chosen = getattr(filled.values, name)
        if chosen is not None and chosen not in offered:
            return wrong(filled, name, _("This model is gone. Choose another one."))
    return filled
