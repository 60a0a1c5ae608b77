"""Providers, for the owner: connecting a model server, testing it, changing and disconnecting it."""

import os
import time
import uuid
from typing import Annotated, Any

import asyncpg
import httpx
import msgspec
import structlog
from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from app.chat import catalog
from app.chat.calls import Connect
from app.chat.found import KEY_VARIABLES, list_found
from app.controllers.addresses import address_fault
from app.controllers.forms import Fields, Filled, read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.database import fetch, fetch_row, new_id
from app.errors import Conflict, NotFound
from app.live import News, tell
from app.providers import PROVIDERS
from app.providers.base import Account, Limits
from app.providers.errors import ProviderError
from app.secrets import seal
from app.settings import settings
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

Key = Annotated[str, Meta(max_length=2000, extra={"is_secret": True})]
Url = Annotated[str, Meta(max_length=2000)]
ProviderName = Annotated[str, Meta(max_length=100)]

#: The kinds that a person connects; the others come with Parley.
CONNECTABLE = tuple(kind for kind, provider in PROVIDERS.items() if not provider.is_builtin)


class NewProvider(msgspec.Struct):
    """`source` names a variable of the environment whose value is the key. No address: the one of the kind's service."""

    kind: str
    base_url: Url
    name: ProviderName = ""
    key: Key = ""
    source: str = ""
    allows_private: bool = False


class ProviderChange(msgspec.Struct):
    """An empty key leaves the key as it is."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    base_url: Url = ""
    key: Key = ""
    allows_private: bool = False


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
    connect: NamedDependency[Connect],
) -> Response[Any]:
    """Connect a model server and ask it for its models at once."""
    filled = await _checked(request, read_form(request, NewProvider))
    new = filled.values
    if new is None:
        return await _page(request, current_user, client, filled=filled, status_code=422)
    provider_id = new_id()
    name = new.name or PROVIDERS[new.kind].label()
    await fetch(
        _INSERT, provider_id, new.kind, name, new.base_url, seal(_key(new)) if _key(new) else "", new.allows_private
    )
    log.info("provider_connected", kind=new.kind, provider_id=str(provider_id))
    await catalog.refresh(provider_id, connect)
    return redirect(request, "/providers")


@post("/providers/test", guards=[owner_only], status_code=200)
async def test(
    request: AnyRequest, current_user: CurrentUser, client: NamedDependency[httpx.AsyncClient]
) -> Response[Any]:
    """Ask the server of the form for its models, and say exactly what failed. Nothing is stored."""
    filled = await _checked(request, read_form(request, NewProvider))
    found = Test(is_ok=False, sentence=next(iter(filled.errors.values()), ""))
    if (new := filled.values) is not None:
        found = await _test(new, client)
    if visit_of(request).is_partial:
        return page(request, "providers/_tested.html", {"test": found, "form": filled.typed, "errors": filled.errors})
    return await _page(request, current_user, client, filled=filled, test=found)


@patch("/providers/{provider_id:uuid}", guards=[owner_only])
async def update(
    request: AnyRequest,
    current_user: CurrentUser,
    client: NamedDependency[httpx.AsyncClient],
    connect: NamedDependency[Connect],
    provider_id: FromPath[uuid.UUID],
) -> Response[Any]:
    """Another name, address or key."""
    row = await _find(provider_id)
    filled = read_form(request, ProviderChange)
    change = filled.values
    is_ours = row["kind"] not in CONNECTABLE
    if change is not None and not is_ours and (fault := await _fault_of(request, change)):
        filled, change = wrong(filled, "base_url", fault), None
    if change is None:
        change_context = {"of": provider_id, "typed": filled.typed, "errors": filled.errors}
        return await _page(request, current_user, client, change=change_context, status_code=422)
    key = seal(change.key) if change.key else row["key_sealed"]
    url = row["base_url"] if is_ours else change.base_url.rstrip("/")
    await fetch(_CHANGE, provider_id, change.name, url, key, change.allows_private or is_ours)
    await catalog.refresh(provider_id, connect)
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
    await catalog.refresh(provider_id, connect)
    return redirect(request, "/providers")


async def _checked(request: AnyRequest, filled: Filled[NewProvider]) -> Filled[NewProvider]:
    new = filled.values
    if new is None:
        return filled
    if new.kind not in CONNECTABLE:
        return wrong(filled, "kind", _("Choose one of what is offered."))
    new.base_url = new.base_url or PROVIDERS[new.kind].usual_url
    if fault := await _fault_of(request, new):
        return wrong(filled, "base_url", fault)
    if not (_key(new).isprintable() and _key(new).isascii()):
        return wrong(filled, "key", _("A key has no spaces, line breaks or special letters."))
    if new.source not in ("", *KEY_VARIABLES):
        return wrong(filled, "key", _("That variable is not one that a key is taken from."))
    new.base_url = new.base_url.rstrip("/")
    return filled


async def _fault_of(request: AnyRequest, form: NewProvider | ProviderChange) -> str:
    return await address_fault(request, form.base_url, allows_private=form.allows_private)


def _key(new: NewProvider) -> str:
    return os.environ.get(new.source, "").strip() if new.source in KEY_VARIABLES else new.key.strip()


async def _test(new: NewProvider, client: httpx.AsyncClient) -> Test:
    name = new.name or PROVIDERS[new.kind].label()
    account = Account(name, new.base_url, _key(new), allows_private=new.allows_private)
    started = time.monotonic()
    try:
        models = await PROVIDERS[new.kind](account, client, Limits()).list_models()
    except ProviderError as error:
        return Test(is_ok=False, sentence=error.sentence)
    return Test(is_ok=True, models_count=len(models), duration_ms=round((time.monotonic() - started) * 1000))


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
        "kinds": [(kind, PROVIDERS[kind].label()) for kind in CONNECTABLE],
        "form": filled.typed if filled else Fields(),
        "errors": filled.errors if filled else Fields(),
        "test": test,
    }
    return page(request, "providers/index.html", await with_sidebar(owner, known | context), status_code=status_code)


_INSERT = """
INSERT INTO provider (id, kind, name, base_url, key_sealed, allows_private, error, created_at)
VALUES ($1, $2, $3, $4, $5, $6, '', now())
"""

_CHANGE = """
UPDATE provider SET name = $2, base_url = $3, key_sealed = $4, allows_private = $5 WHERE id = $1
"""

_LIST = """
SELECT p.id, p.kind, p.name, p.base_url, p.allows_private, p.key_sealed <> '' AS has_key, p.state, p.error, p.refreshed_at,
       (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL) AS models_count
FROM provider AS p WHERE p.is_enabled ORDER BY p.created_at
"""

_FILES = """
SELECT m.name, m.size_bytes, CASE WHEN m.is_loaded THEN 'loaded' ELSE 'ready' END AS state
FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE p.kind = 'llamacpp' AND m.gone_at IS NULL ORDER BY m.name
"""

ROUTES = [index, create, test, update, destroy, refresh]
