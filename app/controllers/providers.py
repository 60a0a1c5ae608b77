"""Providers, for the owner: connecting a model server, testing it, changing and disconnecting it."""

import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
import httpx
import msgspec
import structlog
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.chat import catalog, facts, introduction
from app.chat.address_guesses import Guess, is_elsewhere, meant_origin
from app.chat.calls import Connect
from app.chat.removal import remove_provider
from app.controllers.confirmation import Confirmed
from app.controllers.forms import Filled, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect
from app.controllers.proposals import Proposal, asking, find_proposal, with_key
from app.controllers.provider_form import (
    CONNECTABLE,
    NewProvider,
    P,
    ProviderChange,
    alone,
    checked,
    checked_new,
    field_of,
    read_provider,
)
from app.controllers.providers_page import AnyRequest, Test, find_provider, kinds, providers_page
from app.controllers.stored_address import find_stored, key_for, sealed_key
from app.controllers.typed_keys import has_key, is_forgotten
from app.controllers.visit import visit_of
from app.database import fetch, new_id, transaction
from app.errors import Conflict
from app.live import News, tell
from app.origins import is_same_url, origin_of
from app.providers import PROVIDERS
from app.providers.base import Account, Limits, Provider
from app.tables.provider import seal_base_url, seal_key
from app.words import gettext as _

log = structlog.get_logger()

#: Any number that nothing else locks: servers are connected one after the other, so that none is twice.
PROVIDERS_LOCK = 0x70726F7669646572


#: A form, what its server answered (None: nothing is to be stored), and what may have been meant.
Asked = tuple[Filled[P], catalog.Listing | None, Proposal | None]


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


@post("/providers", guards=[owner_only, Confirmed("connect")], status_code=303)
async def create(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
) -> Response[Any]:
    """Ask a model server for its models, and connect it; one that is away is connected too, and looked at again later."""
    filled, listing, proposal = await _ask_new(request, client)
    provider_id = new_id()
    if filled.values is not None:
        filled = await _insert(provider_id, filled, filled.values)
    new = filled.values
    if new is None or listing is None:
        return await providers_page(request, current_user, client, filled=filled, proposal=proposal, status_code=422)
    log.info("provider_connected", kind=new.kind, provider_id=str(provider_id))
    await catalog.keep(provider_id, new.base_url, listing)
    return redirect(request, "/providers")


@post("/providers/test", guards=[owner_only, Confirmed("test")], status_code=200)
async def test(
    request: AnyRequest, current_user: CurrentUser, client: NamedDependency[httpx.AsyncClient]
) -> Response[Any]:
    """Ask the server of the form for its models, and say exactly what failed. Nothing is stored."""
    filled, listing, proposal = await _ask_new(request, client)
    if listing is None:
        found = Test(is_ok=False, sentence=next(iter(filled.errors.values()), ""))
    else:
        found = Test(
            not listing.error, len(listing.models), listing.latency_ms, listing.error, has_list=listing.has_list
        )
    if visit_of(request).is_partial:
        context = {
            "form": filled.typed,
            "errors": filled.errors,
            "kinds": kinds(),
            "is_key_lost": is_forgotten(request),
        }
        return page(request, "providers/_tested.html", context | {"test": found, "proposal": proposal})
    return await providers_page(request, current_user, client, filled=filled, test=found, proposal=proposal)


@patch("/providers/{provider_id:uuid}", guards=[owner_only, Confirmed("change-provider")])
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
    filled, listing, proposal = await _ask_change(request, row, client)
    change = filled.values
    if change is None or listing is None:
        typed = {"typed": filled.typed, "errors": filled.errors, "is_key_lost": has_key(request)}
        change_context = {"of": provider_id, "proposal": proposal, **typed}
        return await providers_page(request, current_user, client, change=change_context, status_code=422)
    sealed = (*seal_base_url(change.base_url), sealed_key(row, change.base_url, change.key))
    await fetch(_CHANGE, provider_id, change.name, *sealed, change.allows_private)
    await facts.forget_refused(provider_id)
    await catalog.keep(provider_id, change.base_url, listing)
    return redirect(request, "/providers", flash="saved")


@delete("/providers/{provider_id:uuid}", guards=[owner_only, Confirmed("disconnect")], status_code=303)
async def destroy(request: AnyRequest, provider_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Disconnect a provider: its models leave the list, threads and answers stay."""
    row = await find_provider(provider_id)
    if row["kind"] not in CONNECTABLE:
        raise Conflict(_("This one comes with Parley and cannot be disconnected."))
    await remove_provider(provider_id)
    await tell(News(key="everybody", event="catalog"))
    log.info("provider_disconnected", provider_id=str(provider_id))
    return redirect(request, "/providers", flash="disconnected", name=row["name"])


@post("/providers/{provider_id:uuid}/refresh", guards=[owner_only], status_code=303)
async def refresh(
    request: AnyRequest, connect: NamedDependency[Connect], provider_id: FromPath[uuid.UUID]
) -> Response[Any]:
    """Ask a provider for its models now."""
    await find_provider(provider_id)
    await facts.forget_refused(provider_id)
    await catalog.refresh(provider_id, connect)
    return redirect(request, "/providers")


async def _ask_new(request: AnyRequest, client: httpx.AsyncClient) -> Asked[NewProvider]:
    sent = read_provider(request, NewProvider)
    new = sent.values
    filled = await checked_new(request, sent)
    if new is None or new.kind not in CONNECTABLE:
        return filled, None, None
    return await _ask(request, new, filled, Guess(new.kind, new.base_url), CONNECTABLE, _make(new, _name(new), client))


async def _ask_change(request: AnyRequest, row: asyncpg.Record, client: httpx.AsyncClient) -> Asked[ProviderChange]:
    """The same. What fails at the same address with the same key is stored: it may only be away."""
    sent = read_provider(request, ProviderChange)
    change = sent.values
    filled = await checked(request, sent, row["kind"], row)
    if change is None:
        return filled, None, None
    key = change.key or key_for(row, change.base_url)[0]
    make = _make(msgspec.structs.replace(change, key=key), change.name, client)
    typed, stored = Guess(row["kind"], change.base_url), find_stored(row)
    is_same = stored is not None and is_same_url(change.base_url, stored.base_url)
    if filled.values is not None and is_same and not change.key:
        return filled, await catalog.ask(make(typed), lists_models=row["lists_models"]), None
    return await _ask(request, change, filled, typed, [row["kind"]], make)


async def _ask(
    request: AnyRequest, form: P, filled: Filled[P], typed: Guess, kinds: Sequence[str], make: introduction.Make
) -> Asked[P]:
    """Puts a failure that only another address, kind or key can fix beside that field, with a proposal."""
    listing = await introduction.meet(make(typed)) if filled.values is not None else None
    if listing is not None and listing.failure is None:
        return filled, listing, None
    if listing is None and "base_url" not in filled.errors:
        return filled, None, None
    failure = listing.failure if listing else None
    proposal = None
    if filled.typed["base_url"] in ("", typed.base_url):  # a proposal for a stored address would show all of it
        proposal = await find_proposal(request, typed, failure, kinds, make, allows_private=form.allows_private)
    if proposal is not None and not filled.typed["login"]:  # user and password come along by themselves
        proposal = with_key(request, proposal, form.key, typed.base_url)
    field = field_of(failure) or ("base_url" if proposal or listing is None else "")
    if not field:
        return filled, listing, None
    field = "base_url" if field == "kind" and len(kinds) == 1 else field
    sentence = listing.error if listing else filled.errors[field]
    return wrong(filled, field, asking(sentence, proposal) if proposal else sentence), None, proposal


async def _insert(provider_id: uuid.UUID, filled: Filled[NewProvider], new: NewProvider) -> Filled[NewProvider]:
    """Store it, unless its twin was connected while its server was asked: of two clicks the second finds the first."""
    async with transaction():
        await fetch("SELECT pg_advisory_xact_lock($1)", PROVIDERS_LOCK)
        filled = await alone(filled, new.kind)
        if filled.values is not None:
            sealed = (*seal_base_url(new.base_url), seal_key(new.key, origin_of(new.base_url)))
            await fetch(_INSERT, provider_id, new.kind, _name(new), *sealed, new.allows_private)
    return filled


def _make(form: NewProvider | ProviderChange, name: str, client: httpx.AsyncClient) -> introduction.Make:
    """How a guess is asked: with the key of a form only at the origin that was typed there."""
    origin = meant_origin(form.base_url)

    def make(guess: Guess) -> Provider:
        key = "" if is_elsewhere(guess.base_url, form.base_url) else form.key
        account = Account(name, guess.base_url, key=key, key_origin=origin, allows_private=form.allows_private)
        return PROVIDERS[guess.kind](account, client, Limits())

    return make


def _name(new: NewProvider) -> str:
    return new.name or PROVIDERS[new.kind].label()


_INSERT = """
INSERT INTO provider (id, kind, name, base_url, base_url_sealed, shown_url, key_sealed, allows_private, error, created_at)
VALUES ($1, $2, $3, '', $4, $5, $6, $7, '', now())
"""

_CHANGE = """
UPDATE provider SET name = $2, base_url = '', base_url_sealed = $3, shown_url = $4, key_sealed = $5, allows_private = $6
WHERE id = $1
"""

ROUTES = [index, create, test, update, destroy, refresh]
