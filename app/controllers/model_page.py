"""The page of one model: what its parts are drawn from. Each part is a form with an address of its own."""

import uuid
from collections.abc import Mapping
from typing import Any, Literal

import asyncpg
import msgspec
from litestar import Request, Response

from app.chat import catalog, facts
from app.chat.models import find_model, list_gone
from app.chat.tasks import can_be_kept
from app.controllers.forms import Fields, Filled
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.errors import NotFound
from app.providers import PROVIDERS
from app.providers.keeping import EngineOptions
from app.providers.known import PRICES, Facts, table
from app.settings import settings
from app.tables.user import User
from app.words import gettext as _

AnyRequest = Request[Any, Any, Any]

Part = Literal["facts", "fallbacks", "audience", "engine"]

#: The fields of a chain of fallbacks, in order.
CHAIN = ("first", "second", "third")


class Field(msgspec.Struct, frozen=True):
    """One fact in the form. `kind`: choice, count or price. `found`: what holds if the owner sets nothing, and by whom;

    `placeholder` is that as it would be typed.
    """

    name: str
    kind: str
    typed: str
    is_set: bool
    found: Any = None
    found_by: str = ""
    placeholder: str = ""


async def my_model(user: User, model_id: uuid.UUID, *, is_there: bool = True) -> asyncpg.Record:
    """A model that this person may use; with `is_there` none that is gone. Raises `NotFound`."""
    row = await find_model(user.id, model_id)
    if row is None or (is_there and row["gone_at"] is not None):
        raise NotFound(_("There is no such model."))
    return row


async def model_page(
    request: AnyRequest,
    user: User,
    row: asyncpg.Record,
    part: Part | None = None,
    filled: Filled[Any] | None = None,
    *,
    flash: str | None = None,
) -> Response[Any]:
    """The whole page, or for htmx the part that was sent. `filled`: that part's form, with what is wrong with it."""
    status_code = 200 if filled is None else 422
    context: dict[str, Any] = {"model": drawn(row), "as_of": table().as_of}
    if visit_of(request).is_partial and part is not None:
        context |= await _PARTS[part](user, row, filled) | {"flash": flash}
        return page(request, f"models/_{part}.html", context, status_code=status_code)
    if user.is_owner:
        for name, gather in _PARTS.items():
            context |= await gather(user, row, filled if name == part else None)
    return page(request, "models/show.html", await with_sidebar(user, context), status_code=status_code)


async def saved(request: AnyRequest, user: User, model_id: uuid.UUID, part: Part) -> Response[Any]:
    """The part as it is stored now, saying so."""
    if not visit_of(request).is_partial:
        return redirect(request, f"/models/{model_id}", flash="saved")
    return await model_page(request, user, await my_model(user, model_id), part, flash=_("Saved."))


def drawn(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with what can be done with it, and its facts by who says them: (source, [(fact, value), …]).

    `is_unlisted`: the owner added it by name, and its server does not list it.
    """
    sources = facts.sources(row)
    if not row["is_embedding"] and sources.get("is_embedding") != "owner":
        sources.pop("is_embedding", None)  # nobody expects it of a model for chats
    said_by = [
        (source, [(name, row[name]) for name in Facts.__struct_fields__ if sources.get(name) == source])
        for source in facts.COLUMNS
        if source in sources.values()
    ]
    is_default = settings.default_model in (row["name"], f"{row['provider_name']}/{row['name']}")
    is_unlisted = row["is_by_hand"] and row["seen_since"] is None
    can_do = {"is_kept": can_be_kept(row["kind"]) and not is_unlisted, "is_unlisted": is_unlisted}
    return dict(row) | {"said_by": said_by, "is_default": is_default} | can_do


async def _facts(_user: User, row: asyncpg.Record, filled: Filled[Any] | None) -> dict[str, Any]:
    return {"fields": _fields(row, filled.typed if filled else None), "errors": filled.errors if filled else Fields()}


async def _fallbacks(user: User, row: asyncpg.Record, filled: Filled[Any] | None) -> dict[str, Any]:
    stored = msgspec.json.decode(row["fallbacks"], type=list[uuid.UUID])
    choices = [dict(choice) for choice in await catalog.list_models(user.id) if choice["id"] != row["id"]]
    # One that is gone or hidden may come back: it keeps its place until it is taken out.
    choices += map(dict, await list_gone(stored))
    return {
        "choices": choices,
        "chain": filled.typed if filled else Fields(zip(CHAIN, map(str, stored), strict=False)),
        "chain_errors": filled.errors if filled else Fields(),
    }


async def _audience(_user: User, row: asyncpg.Record, filled: Filled[Any] | None) -> dict[str, Any]:
    allowed = msgspec.json.decode(row["allowed_users"] or "null", type=list[str] | None)
    people = [person for person in await User.list_all() if person.is_active and not person.is_owner]
    who = "everybody" if allowed is None else "chosen" if allowed else "owner"
    return {
        "people": people,
        "who": filled.typed["who"] if filled else who,
        "chosen": filled.typed["users"].split("\n") if filled else allowed or [],
        "audience_errors": filled.errors if filled else Fields(),
    }


async def _engine(_user: User, row: asyncpg.Record, filled: Filled[Any] | None) -> dict[str, Any]:
    if not PROVIDERS[row["kind"]].runs_here:
        return {"engine": None}
    stored = msgspec.structs.asdict(msgspec.json.decode(row["engine"], type=EngineOptions))
    now = Fields({name: str(value) for name, value in stored.items() if value is not None})
    return {"engine": filled.typed if filled else now, "engine_errors": filled.errors if filled else Fields()}


_PARTS = {"facts": _facts, "fallbacks": _fallbacks, "audience": _audience, "engine": _engine}


def _fields(row: asyncpg.Record, typed: Fields | None) -> list[Field]:
    """The form: `typed` is what came with a mistake in it; else what the owner set before."""
    set_by_owner = msgspec.json.decode(row["set_by_owner"])
    below = facts.sources(dict(row) | {"set_by_owner": "{}"})
    found = facts.without_owner(row)
    return [
        Field(
            name=name,
            kind="choice" if name.startswith(("has_", "is_")) else "price" if name in PRICES else "count",
            typed=typed[name] if typed is not None else _written(set_by_owner.get(name)),
            is_set=name in set_by_owner,
            found=found.get(name),
            found_by=below.get(name, ""),
            placeholder=_written(found.get(name)),
        )
        for name in Facts.__struct_fields__
    ]


def _written(value: bool | float | None) -> str:
    """A value as it is typed: true, 4096, 0.15."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return f"{value:.12g}"
