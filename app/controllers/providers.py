"""Providers, for the owner: connecting a model server, testing it, changing and disconnecting it."""

import uuid
from typing import Any

import httpx
import structlog
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.chat import catalog, facts
from app.chat.calls import Connect
from app.controllers.forms import Filled, read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect
from app.controllers.provider_form import (
    CONNECTABLE,
    NewProvider,
    ProviderChange,
    alone,
    checked,
    checked_new,
    field_of,
)
from app.controllers.providers_page import AnyRequest, Test, find_provider, has_key, providers_page
from app.controllers.visit import visit_of
from app.database import fetch, new_id, transaction
from app.errors import Conflict
from app.live import News, tell
from app.providers import PROVIDERS
from app.providers.base import Account, Limits, Provider
from app.secrets import seal, unseal
from app.words import gettext as _

log = structlog.get_logger()

#: Any number that nothing else locks: servers are connected one after the other, so that none is twice.
PROVIDERS_LOCK = 0x70726F7669646572


@get("/providers", guards=[owner_only])
async def index(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
    connect: NamedDependency[Connect],
) -> Response[Any]:
    """Connect a model: what is connected, what was found, model files, and the form."""
    await catalog.refresh_builtin(connect)
    return await providers_page(request, current_user, client)


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
        return await providers_page(request, current_user, client, filled=filled, status_code=422)
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
        found = Test(
            not listing.error, len(listing.models), listing.latency_ms, listing.error, has_list=listing.has_list
        )
    if visit_of(request).is_partial:
        return page(request, "providers/_tested.html", {"test": found, "form": filled.typed, "errors": filled.errors})
    return await providers_page(request, current_user, client, filled=filled, test=found)


@patch("/providers/{provider_id:uuid}", guards=[owner_only])
async def update(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
    provider_id: FromPath[uuid.UUID],
) -> Response[Any]:
    """Another name, address or key."""
    row = await find_provider(provider_id)
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
        typed = {"typed": filled.typed, "errors": filled.errors, "is_key_lost": has_key(request)}
        change_context = {"of": provider_id, **typed}
        return await providers_page(request, current_user, client, change=change_context, status_code=422)
    sealed = seal(change.key) if change.key else row["key_sealed"]
    await fetch(_CHANGE, provider_id, change.name, change.base_url, sealed, change.allows_private)
    await facts.forget_refused(provider_id)
    await catalog.keep(provider_id, change.base_url, listing)
    return redirect(request, "/providers", flash="saved")


@delete("/providers/{provider_id:uuid}", guards=[owner_only], status_code=303)
async def destroy(request: AnyRequest, provider_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Disconnect a provider: its models leave the list, threads and answers stay."""
    if (await find_provider(provider_id))["kind"] not in CONNECTABLE:
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
    await find_provider(provider_id)
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


_INSERT = """
INSERT INTO provider (id, kind, name, base_url, key_sealed, allows_private, error, created_at)
VALUES ($1, $2, $3, $4, $5, $6, '', now())
"""

_CHANGE = """
UPDATE provider SET name = $2, base_url = $3, key_sealed = $4, allows_private = $5 WHERE id = $1
"""

ROUTES = [index, create, test, update, destroy, refresh]
