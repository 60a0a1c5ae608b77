"""Providers, for the owner: connecting a model server, testing it, changing and disconnecting it."""

import uuid
from typing import Any

import asyncpg
import httpx
import msgspec
import structlog
from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.chat import catalog, facts
from app.chat.calls import Connect
from app.chat.found import list_found
from app.chat.residence import IS_LOADED, RESIDENCE, RUN_HERE
from app.controllers.forms import Fields, Filled, read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.provider_form import (
    CONNECTABLE,
    NewProvider,
    ProviderChange,
    alone,
    checked,
    checked_new,
    field_of,
)
from app.controllers.visit import visit_of
from app.database import fetch, fetch_row, new_id, transaction
from app.errors import Conflict, NotFound
from app.live import News, tell
from app.providers import PROVIDERS
from app.providers.base import Account, Limits, Provider
from app.secrets import seal, unseal
from app.settings import settings
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

#: Any number that nothing else locks: servers are connected one after the other, so that none is twice.
PROVIDERS_LOCK = 0x70726F7669646572


class Test(msgspec.Struct, frozen=True):
    """What asking a provider for its models came to."""

    is_ok: bool
    models_count: int = 0
    duration_ms: int = 0
    sentence: str = ""


AnyRequest = Request[Any, Any, Any]


@get("/providers", guards=[owner_only])
async def index(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
    connect: NamedDependency[Connect],
) -> Response[Any]:
    """Connect a model: what is connected, what was found, model files, and the form."""
    await catalog.refresh_builtin(connect)
    return await _page(request, current_user, client)


@post("/providers", guards=[owner_only], status_code=303)
async def create(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
) -> Response[Any]:
    """Ask a model server for its models, and connect it; one that is away is connected too, and looked at again later."""
    filled, listing = await _asked(await checked_new(request, read_form(request, NewProvider)), client)
    provider_id = new_id()
    if filled.values is not None:
        filled = await _insert(provider_id, filled, filled.values)
    new = filled.values
    if new is None or listing is None:
        return await _page(request, current_user, client, filled=filled, status_code=422)
    log.info("provider_connected", kind=new.kind, provider_id=str(provider_id))
    await catalog.keep(provider_id, new.base_url, listing)
    return redirect(request, "/providers")


@post("/providers/test", guards=[owner_only], status_code=200)
async def test(
    request: AnyRequest, current_user: CurrentUser, client: NamedDependency[httpx.AsyncClient]
) -> Response[Any]:
    """Ask the server of the form for its models, and say exactly what failed. Nothing is stored."""
    filled, listing = await _asked(await checked_new(request, read_form(request, NewProvider)), client)
    if listing is None:
        found = Test(is_ok=False, sentence=next(iter(filled.errors.values()), ""))
    else:
        found = Test(not listing.error, len(listing.models), listing.latency_ms, listing.error)
    if visit_of(request).is_partial:
        return page(request, "providers/_tested.html", {"test": found, "form": filled.typed, "errors": filled.errors})
    return await _page(request, current_user, client, filled=filled, test=found)


@patch("/providers/{provider_id:uuid}", guards=[owner_only])
async def update(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
    provider_id: FromPath[uuid.UUID],
) -> Response[Any]:
    """Another name, address or key."""
    row = await _find(provider_id)
    if row["kind"] not in CONNECTABLE:
        raise Conflict(_("This one comes with Parley and cannot be changed."))
    filled = await checked(request, read_form(request, ProviderChange), row["kind"], row)
    change = filled.values
    if change is not None:
        key = change.key or (unseal(row["key_sealed"]) if row["key_sealed"] else "")
        listing = await catalog.ask(_provider(change, row["kind"], change.name, key, client))
        is_other = change.base_url != row["base_url"] or bool(change.key)
        if is_other and (field := field_of(listing.failure)):
            filled, change = wrong(filled, field, listing.error), None
    if change is None:
        typed = {"typed": filled.typed, "errors": filled.errors, "is_key_lost": _has_key(request)}
        change_context = {"of": provider_id, **typed}
        return await _page(request, current_user, client, change=change_context, status_code=422)
    sealed = seal(change.key) if change.key else row["key_sealed"]
    await fetch(_CHANGE, provider_id, change.name, change.base_url, sealed, change.allows_private)
    await facts.forget_refused(provider_id)
    await catalog.keep(provider_id, change.base_url, listing)
    return redirect(request, "/providers", flash="saved")


@delete("/providers/{provider_id:uuid}", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, provider_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Disconnect a provider: its models leave the list, threads and answers stay."""
    if (await _find(provider_id))["kind"] not in CONNECTABLE:
        raise Conflict(_("This one comes with Parley and cannot be disconnected."))
    await fetch("DELETE FROM provider WHERE id = $1", provider_id)
    await tell(News(key="everybody", event="catalog"))
    log.info("provider_disconnected", provider_id=str(provider_id))
    return redirect(request, "/providers")


@post("/providers/{provider_id:uuid}/refresh", guards=[owner_only], status_code=303)
async def refresh(
    request: AnyRequest, connect: NamedDependency[Connect], provider_id: FromPath[uuid.UUID]
) -> Response[Any]:
    """Ask a provider for its models now."""
    await _find(provider_id)
    await facts.forget_refused(provider_id)
    await catalog.refresh(provider_id, connect)
    return redirect(request, "/providers")


async def _asked(
    filled: Filled[NewProvider], client: httpx.AsyncClient
) -> tuple[Filled[NewProvider], catalog.Listing | None]:
    """The form, and what its server answered. What only another address or key can mend stands beside that field."""
    new = filled.values
    if new is None:
        return filled, None
    listing = await catalog.ask(_provider(new, new.kind, _name(new), new.key, client))
    if field := field_of(listing.failure):
        return wrong(filled, field, listing.error), None
    return filled, listing


async def _insert(provider_id: uuid.UUID, filled: Filled[NewProvider], new: NewProvider) -> Filled[NewProvider]:
    """Store it, unless its twin was connected while its server was asked: of two clicks the second finds the first."""
    async with transaction():
        await fetch("SELECT pg_advisory_xact_lock($1)", PROVIDERS_LOCK)
        filled = await alone(filled, new.kind)
        if filled.values is not None:
            sealed = seal(new.key) if new.key else ""
            await fetch(_INSERT, provider_id, new.kind, _name(new), new.base_url, sealed, new.allows_private)
    return filled


def _provider(
    form: NewProvider | ProviderChange, kind: str, name: str, key: str, client: httpx.AsyncClient
) -> Provider:
    return PROVIDERS[kind](Account(name, form.base_url, key, allows_private=form.allows_private), client, Limits())


def _name(new: NewProvider) -> str:
    return new.name or PROVIDERS[new.kind].label()


async def _find(provider_id: uuid.UUID) -> asyncpg.Record:
    row = await fetch_row("SELECT * FROM provider WHERE id = $1", provider_id)
    if row is None:
        raise NotFound(_("There is no such provider."))
    return row


async def _page(
    request: AnyRequest,
    owner: User,
    client: httpx.AsyncClient,
    *,
    filled: Filled[NewProvider] | None = None,
    test: Test | None = None,
    status_code: int = 200,
    **context: Any,
) -> Response[Any]:
    rows = await fetch(_LIST)
    providers = [
        dict(row) | {"label": PROVIDERS[row["kind"]].label(), "is_ours": row["kind"] not in CONNECTABLE} for row in rows
    ]
    known = {
        "providers": [each for each in providers if each["kind"] != "llamacpp" or each["models_count"]],
        "found": await list_found(client),
        "model_files": [dict(row) for row in await fetch(_FILES)],
        "models_folder": settings.models_folder,
        "starter": _starter(rows),
        "kinds": [(kind, PROVIDERS[kind].label()) for kind in CONNECTABLE],
        "form": filled.typed if filled else Fields(),
        "errors": filled.errors if filled else Fields(),
        "is_key_lost": filled is not None and _has_key(request),
        "test": test,
    }
    return page(request, "providers/index.html", await with_sidebar(owner, known | context), status_code=status_code)


def _has_key(request: AnyRequest) -> bool:
    """Whether a key was typed, which a page that is drawn again does not hold."""
    return any((visit_of(request).form or {}).get("key", []))


def _starter(rows: list[asyncpg.Record]) -> dict[str, Any] | None:
    """The small model that is offered while our own engine has none, or only those that came with Parley: where it comes
    from and where it would go."""
    ours = next((row for row in rows if PROVIDERS[row["kind"]].runs_here and not row["own_count"]), None)
    if ours is None or settings.starter_model in ("", "none"):
        return None
    source = settings.starter_model
    name = source.rpartition("/")[2].removesuffix(".gguf")
    return {"provider": ours["id"], "source": source, "name": name, "is_better": ours["models_count"] > 0}


_INSERT = """
INSERT INTO provider (id, kind, name, base_url, key_sealed, allows_private, error, created_at)
VALUES ($1, $2, $3, $4, $5, $6, '', now())
"""

_CHANGE = """
UPDATE provider SET name = $2, base_url = $3, key_sealed = $4, allows_private = $5 WHERE id = $1
"""

_LIST = """
SELECT p.id, p.kind, p.name, p.base_url, p.allows_private, p.key_sealed <> '' AS has_key, p.state, p.error, p.refreshed_at,
       (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL) AS models_count,
       (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL AND NOT m.is_bundled) AS own_count
FROM provider AS p WHERE p.is_enabled ORDER BY p.created_at
"""

_FILES = f"""
SELECT m.name, m.size_bytes, {IS_LOADED} AS is_loaded
FROM model AS m JOIN provider AS p ON p.id = m.provider {RESIDENCE}
WHERE p.kind = ANY({RUN_HERE}) AND m.gone_at IS NULL ORDER BY m.name
"""

ROUTES = [index, create, test, update, destroy, refresh]
