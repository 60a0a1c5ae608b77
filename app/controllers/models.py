"""Models, for the owner: what is known of each, who says so, and what the owner knows better."""

import uuid
from gettext import gettext as _
from typing import Any

import asyncpg
import msgspec
import structlog
from litestar import Request, Response, delete, get, put
from litestar.params import FromPath, FromQuery

from app.chat import facts
from app.controllers.chain import chain_context
from app.controllers.forms import Fields, Filled, read_form
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.database import fetch, fetch_row
from app.errors import NotFound
from app.providers.known import PRICES, Dollars, Facts, Tokens, table
from app.tables.user import User

log = structlog.get_logger()

#: More are not drawn on one page; who looks for one of thousands types a part of its name.
MOST_SHOWN = 200

AnyRequest = Request[Any, Any, Any]


class SetByHand(msgspec.Struct):
    """The form of a model's facts. Empty: as the server or the table says."""

    has_vision: bool | None = None
    has_tools: bool | None = None
    has_reasoning: bool | None = None
    is_embedding: bool | None = None
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input_price: Dollars | None = None
    output_price: Dollars | None = None
    cached_price: Dollars | None = None


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


@get("/models", guards=[owner_only])
async def index(request: AnyRequest, current_user: CurrentUser, q: FromQuery[str] = "") -> Response[Any]:
    """Every model by provider, with what is known of it. `q`: a part of a name."""
    wanted = q.strip()[:300].replace("\x00", "")
    rows = await fetch(_LIST, wanted, MOST_SHOWN + 1)
    context = {
        "models": [_drawn(row) for row in rows[:MOST_SHOWN]],
        "has_more": len(rows) > MOST_SHOWN,
        "most": MOST_SHOWN,
        "as_of": table().as_of,
        "wanted": wanted,
    }
    return page(request, "models/index.html", await with_sidebar(current_user, context))


@get("/models/{model_id:uuid}", guards=[owner_only])
async def show(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """One model: each fact, who says so, and a field to set it."""
    return await model_page(request, current_user, await find_model(model_id))


@put("/models/{model_id:uuid}/facts", guards=[owner_only])
async def update_facts(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Sets by hand what the form holds, and takes back what it leaves empty."""
    row = await find_model(model_id)
    filled = read_form(request, SetByHand)
    if filled.values is None:
        return await model_page(request, current_user, row, filled=filled, status_code=422)
    chosen = {name: value for name, value in msgspec.structs.asdict(filled.values).items() if value is not None}
    return await _keep(request, current_user, model_id, chosen)


@delete("/models/{model_id:uuid}/facts", guards=[owner_only], status_code=303)
async def destroy_facts(request: AnyRequest, current_user: CurrentUser, model_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Takes back everything that was set by hand."""
    await find_model(model_id)
    return await _keep(request, current_user, model_id, {})


async def _keep(request: AnyRequest, owner: User, model_id: uuid.UUID, chosen: dict[str, Any]) -> Response[Any]:
    await fetch("UPDATE model SET set_by_owner = $2 WHERE id = $1", model_id, msgspec.json.encode(chosen).decode())
    log.info("model_facts_set", model_id=str(model_id), facts=sorted(chosen))
    if not visit_of(request).is_partial:
        return redirect(request, f"/models/{model_id}", flash="saved")
    return await model_page(request, owner, await find_model(model_id), flash=_("Saved."))


async def model_page(
    request: AnyRequest,
    owner: User,
    row: asyncpg.Record,
    *,
    filled: Filled[SetByHand] | None = None,
    status_code: int = 200,
    **context: Any,
) -> Response[Any]:
    """The page of one model; after a change that htmx sent, its form alone. `context` wins."""
    known = {
        "model": _drawn(row),
        "fields": _fields(row, filled.typed if filled else None),
        "errors": filled.errors if filled else Fields(),
        "as_of": table().as_of,
    } | context
    if visit_of(request).is_partial and request.method != "GET":
        return page(request, "models/_form.html", known, status_code=status_code)
    known = await chain_context(row["id"]) | known
    return page(request, "models/show.html", await with_sidebar(owner, known), status_code=status_code)


async def find_model(model_id: uuid.UUID) -> asyncpg.Record:
    """A model with its facts. Raises `NotFound`."""
    row = await fetch_row(_ONE, model_id)
    if row is None:
        raise NotFound(_("There is no such model."))
    return row


def _drawn(row: asyncpg.Record) -> dict[str, Any]:
    """A row with its facts by who says them: `said_by` is a list of (source, [(fact, value), …])."""
    sources = facts.sources(row)
    if not row["is_embedding"] and sources.get("is_embedding") != "owner":
        sources.pop("is_embedding", None)  # nobody expects it of a model for chats
    return dict(row) | {
        "said_by": [
            (source, [(name, row[name]) for name in Facts.__struct_fields__ if sources.get(name) == source])
            for source in facts.COLUMNS
            if source in sources.values()
        ]
    }


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


_COLUMNS = f"""
m.id, m.name, m.provider, p.name AS provider_name, m.is_loaded, m.size_bytes, m.family, m.quantisation,
m.known, m.said, m.set_by_owner, {", ".join(f"m.{name}" for name in Facts.__struct_fields__)}
"""

_LIST = f"""
SELECT {_COLUMNS} FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE m.gone_at IS NULL AND p.is_enabled AND position(lower($1) IN lower(m.name || ' ' || p.name)) > 0
ORDER BY p.created_at, p.id, m.name LIMIT $2
"""

_ONE = f"""
SELECT {_COLUMNS} FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE m.id = $1 AND m.gone_at IS NULL AND p.is_enabled
"""

ROUTES = [index, show, update_facts, destroy_facts]
