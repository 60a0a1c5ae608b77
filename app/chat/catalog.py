"""The catalog of models: what every provider offers, refreshed in the background and on demand."""

import asyncio
import functools
import math
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import httpx
import msgspec
import structlog

from app.chat import facts, reachability
from app.chat.access import is_offered, may_use
from app.chat.circuit import IS_SILENT
from app.chat.residence import IS_LOADED, RESIDENCE
from app.database import AWAY, fetch, fetch_row, new_id, transaction
from app.providers import PROVIDERS
from app.providers.base import Account, Limits, Model, Provider
from app.providers.errors import BadAnswer, KeyRejected, NoList, ProviderError
from app.providers.keeping import EngineOptions
from app.settings import Settings
from app.tables.provider import open_address
from app.words import gettext as _

log = structlog.get_logger()


#: The status of a key that is accepted, and may not do this.
FORBIDDEN = 403


def connector(client: httpx.AsyncClient, settings: Settings) -> Callable[[Mapping[str, Any]], Provider]:
    """How a row with kind, provider_name, the columns of its address (`open_address`) and allows_private becomes a provider."""

    def connect(row: Mapping[str, Any]) -> Provider:
        address = open_address(row)
        account = Account(
            name=row["provider_name"],
            base_url=address.base_url,
            key=address.key,
            key_origin=address.key_origin,
            allows_private=row["allows_private"],
            models_folder=str(settings.models_folder),
            has_bundled=settings.bundled_models,
            engine=msgspec.json.decode(row.get("engine") or "{}", type=EngineOptions),
            hub_url=settings.hub_url,
            hub_token=settings.hub_token,
        )
        first_token_seconds = min(settings.first_token_timeout_seconds, row.get("patience_seconds", math.inf))
        limits = Limits(first_token_seconds, settings.idle_timeout_seconds)
        return PROVIDERS[row["kind"]](account, client, limits)

    return connect


async def ensure_builtin(settings: Settings) -> None:
    """The providers that need no account: the embedded engine, and the demo where it is wanted."""
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    for kind, is_enabled in {"llamacpp": True, "scripted": settings.demo}.items():
        await fetch(_ENSURE, new_id(), kind, PROVIDERS[kind].label(), is_enabled)
    await fetch("UPDATE provider SET is_enabled = $1 WHERE kind = 'scripted' AND is_enabled <> $1", settings.demo)


class Listing(msgspec.Struct, frozen=True):
    """What came of asking a provider for its models. `version`: of its program, where it says."""

    models: list[Model] = []
    latency_ms: int = 0
    failure: ProviderError | None = None
    has_list: bool = True
    version: str = ""

    @property
    def error(self) -> str:
        """What failed, as a sentence; empty if nothing did."""
        return self.failure.sentence if self.failure else ""


async def ask(provider: Provider, *, lists_models: bool = True) -> Listing:
    """Ask a provider for its models. Stores nothing. `lists_models`: whether it did so far.

    A server without a list is as good as any if it takes questions: its models are added by name. So is one that keeps its
    list from this key, as OpenAI does from a restricted one.
    """
    started = time.monotonic()
    models: list[Model] | None = None
    try:
        try:
            models = await provider.list_models()
        except (NoList, KeyRejected) as error:
            if isinstance(error, KeyRejected) and error.status != FORBIDDEN:
                raise
            if lists_models and not await provider.takes_questions():
                raise
    except ProviderError as error:
        return Listing(failure=error)
    latency_ms = round((time.monotonic() - started) * 1000)
    return Listing(models or [], latency_ms, has_list=models is not None, version=await provider.server_version())


async def keep(provider_id: uuid.UUID, base_url: str, listing: Listing) -> str:
    """Store what a provider at this address answered, or why there is nothing to store: returns that sentence, or none."""
    failure = listing.failure
    if failure is not None:
        log.info("provider_failed", provider_id=str(provider_id), error=failure.code)
    else:
        try:
            await _store(provider_id, base_url, listing)
        except AWAY:
            raise
        except asyncpg.PostgresError:
            log.exception("catalog_refused", provider_id=str(provider_id))
            failure = BadAnswer(_("It lists its models in a way that cannot be stored."))
    if failure is not None:
        await reachability.found_down(provider_id, failure)
    return failure.sentence if failure else ""


async def refresh(provider_id: uuid.UUID, connect: Callable[[Mapping[str, Any]], Provider]) -> str:
    """Ask one provider for its models and store them. Returns what failed, as a sentence; empty if nothing did.

    One after the other: a list that was told before another one must not be stored after it.
    """
    async with _turns.setdefault(provider_id, asyncio.Lock()):
        return await _refresh(provider_id, connect)


async def _refresh(provider_id: uuid.UUID, connect: Callable[[Mapping[str, Any]], Provider]) -> str:
    row = await fetch_row(_PROVIDER, provider_id)
    if row is None:
        return ""
    provider, lists_models = connect(row), row["lists_models"]
    listing = await ask(provider, lists_models=lists_models)
    if listing.failure and reachability.is_unconnected(listing.failure) and row["state"] != "down":
        await asyncio.sleep(SECOND_LOOK_SECONDS)  # it may be starting again: nothing is called of one that is down
        listing = await ask(provider, lists_models=lists_models)
    return await keep(provider_id, provider.account.base_url, listing)


async def refresh_due(seconds: int, connect: Callable[[Mapping[str, Any]], Provider]) -> None:
    """Refresh every provider that was last asked longer ago than `seconds`. What failed is probed instead."""
    rows = await fetch(
        "SELECT id FROM provider WHERE is_enabled AND probe_at IS NULL"
        " AND (refreshed_at IS NULL OR refreshed_at < now() - make_interval(secs => $1))",
        float(seconds) - 0.5,
    )
    await reachability.look_at_each([row["id"] for row in rows], functools.partial(refresh, connect=connect))


async def refresh_builtin(connect: Callable[[Mapping[str, Any]], Provider]) -> None:
    """Look again at what is on this machine: model files that were just put into the folder."""
    for row in await fetch("SELECT id FROM provider WHERE kind = ANY($1) AND is_enabled", ["llamacpp", "scripted"]):
        await refresh(row["id"], connect)


async def list_models(user: uuid.UUID) -> list[asyncpg.Record]:
    """The models that a person may use, by provider and name: what the composer's picker shows."""
    return await fetch(_PICKER, user)


async def _store(provider_id: uuid.UUID, base_url: str, listing: Listing) -> None:
    async with transaction():
        await fetch(_HOLD, provider_id)
        has_news = listing.has_list and await _store_models(provider_id, base_url, listing.models)
        await fetch(_SERVER, provider_id, listing.has_list, listing.version)
        await reachability.found_up(provider_id, listing.latency_ms, has_news=has_news)


async def _store_models(provider_id: uuid.UUID, base_url: str, models: list[Model]) -> bool:
    """Whether any came or went. Those that were added by hand stay."""
    columns: dict[str, list[Any]] = {name: [getattr(m, name) for m in models] for name in _IDENTITY}
    changed = await fetch(
        _UPSERT,
        provider_id, [new_id() for _model in models], *columns.values(),
        [facts.said(model) for model in models], [facts.known(model.name, base_url) for model in models],
    )  # fmt: skip
    missing = await fetch(_MISSING, provider_id, columns["name"])
    gone = [row for row in missing if not row["is_by_hand"]]
    has_news = bool(gone) or any(row["is_new"] for row in changed)
    if has_news:
        log.info("catalog_changed", provider_id=str(provider_id), models=len(models), gone=len(gone))
    return has_news


#: A provider that could not be connected to is asked once more after this, before it counts as down.
SECOND_LOOK_SECONDS = 0.5

#: Who asks a provider at the moment, in this process; a lock lives as long as somebody holds it or waits for it.
_turns: "weakref.WeakValueDictionary[uuid.UUID, asyncio.Lock]" = weakref.WeakValueDictionary()

_ENSURE = """
INSERT INTO provider (id, kind, name, base_url, key_sealed, is_enabled, error, created_at)
SELECT $1, $2::varchar, $3, '', '', $4, '', now() WHERE NOT EXISTS (SELECT 1 FROM provider WHERE kind = $2::varchar) AND $4
"""

_PROVIDER = """
SELECT kind, name AS provider_name, base_url, base_url_sealed, key_sealed, allows_private, lists_models, state FROM provider
WHERE id = $1 AND is_enabled
"""

# The provider's row is locked before its models' rows, as in `circuit.py`.
_HOLD = "SELECT 1 FROM provider WHERE id = $1 FOR NO KEY UPDATE"

# What is stored of a model beside its facts, in the order of the statement below.
_IDENTITY = ("name", "size_bytes", "family", "quantisation", "is_loaded", "memory_bytes", "expires_at", "is_bundled")

# Only rows that really change are written: the refresh runs every minute, and mostly nothing is new.
_UPSERT = """
INSERT INTO model AS m (id, provider, name, size_bytes, family, quantisation, is_loaded, memory_bytes, expires_at,
    is_bundled, said, known, seen_at, seen_since)
SELECT n.id, $1, n.name, n.size, n.family, n.quantisation, n.loaded, n.memory, n.expires, n.bundled, n.said::jsonb,
    n.known::jsonb, now(), now()
FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bool[], $8::bigint[], $9::timestamptz[],
    $10::bool[], $11::text[], $12::text[])
    AS n (id, name, size, family, quantisation, loaded, memory, expires, bundled, said, known)
ON CONFLICT (provider, name) DO UPDATE SET
    size_bytes = excluded.size_bytes, family = excluded.family, quantisation = excluded.quantisation,
    is_loaded = excluded.is_loaded, memory_bytes = excluded.memory_bytes, expires_at = excluded.expires_at,
    is_bundled = excluded.is_bundled, said = excluded.said, known = excluded.known, seen_at = now(), gone_at = NULL,
    seen_since = CASE WHEN m.gone_at IS NULL THEN coalesce(m.seen_since, now()) ELSE now() END
WHERE m.seen_since IS NULL
   OR (m.size_bytes, m.family, m.quantisation, m.is_loaded, m.memory_bytes, m.expires_at, m.is_bundled, m.said, m.known,
       m.gone_at)
   IS DISTINCT FROM (excluded.size_bytes, excluded.family, excluded.quantisation, excluded.is_loaded,
       excluded.memory_bytes, excluded.expires_at, excluded.is_bundled, excluded.said, excluded.known, NULL::timestamptz)
RETURNING (xmax = 0) AS is_new
"""

_MISSING = """
UPDATE model SET gone_at = CASE WHEN NOT is_by_hand THEN now() END, seen_since = CASE WHEN NOT is_by_hand THEN seen_since END,
    is_loaded = CASE WHEN NOT is_by_hand THEN is_loaded END
WHERE provider = $1 AND gone_at IS NULL AND name <> ALL($2) AND NOT (is_by_hand AND seen_since IS NULL) RETURNING is_by_hand
"""

_SERVER = """
UPDATE provider SET lists_models = $2, version = $3 WHERE id = $1 AND (lists_models, version) IS DISTINCT FROM ($2, $3)
"""

# Whether another model would write the answer now in the place of `m`.
_HAS_FALLBACK = f"""EXISTS (
    SELECT 1 FROM jsonb_array_elements_text(m.fallbacks) AS f (id) JOIN model AS b ON b.id = f.id::uuid AND {is_offered("b")}
    JOIN provider AS q ON q.id = b.provider AND q.is_enabled AND q.state NOT IN ('down', 'failing')
    WHERE b.down_since IS NULL AND {may_use("$1::uuid", "b")})"""

_PICKER = f"""
SELECT m.id, m.name, m.name AS label, p.id AS provider, p.name AS provider_name, p.kind, m.context_window, m.size_bytes,
       {IS_LOADED} AS is_loaded, coalesce(e.is_starting, false) OR EXISTS (
           SELECT 1 FROM model_task AS t WHERE t.provider = m.provider AND t.model_name = m.name AND t.kind = 'load'
           AND t.state IN ('queued', 'running')) AS is_loading, m.has_vision, m.has_tools, m.has_reasoning,
       m.input_price, m.output_price, {facts.NOT_TAKEN} AS not_taken, p.state <> 'down' AS is_available, m.is_bundled,
       {IS_SILENT} AS is_silent, (p.state = 'down' OR {IS_SILENT}) AND {_HAS_FALLBACK} AS has_fallback,
       CASE WHEN p.state = 'down' THEN p.down_since END AS down_since
FROM model AS m JOIN provider AS p ON p.id = m.provider {RESIDENCE}
WHERE {is_offered()} AND p.is_enabled AND m.is_embedding IS NOT TRUE AND {may_use("$1::uuid")}
ORDER BY p.created_at, m.name
"""
