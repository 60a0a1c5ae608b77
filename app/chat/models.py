"""All models in one list: found by a part of their name, narrowed down, sorted, a page at a time."""

import uuid
from collections.abc import Sequence
from typing import Literal, get_args

import asyncpg
import msgspec

from app.chat.access import is_offered, may_use
from app.chat.circuit import IS_SILENT
from app.chat.residence import EXPIRES_AT, IS_LOADED, MEMORY_BYTES, RESIDENCE
from app.database import fetch, fetch_row
from app.providers.known import Facts

PAGE_SIZE = 100

Able = Literal["vision", "tools", "reasoning", "embedding"]
Status = Literal["loaded", "local", "gone", "restricted", "hidden"]
#: What a list may be sorted by; with a minus before it, the other way round.
SORTS = {
    "provider": "p.created_at {0}, p.id {0}",
    "name": "lower(m.name) {0}",
    "size": "m.size_bytes {0} NULLS LAST",
    "context": "m.context_window {0} NULLS LAST",
    "price": "m.output_price {0} NULLS LAST",
    "new": "m.seen_since {0} NULLS LAST",
}


class Wanted(msgspec.Struct, frozen=True):
    """What is to be listed. `words`: a part of a name; `able`: what it must be able to do."""

    words: str = ""
    provider: uuid.UUID | None = None
    able: Able | None = None
    status: Status | None = None
    sort: str = "provider"
    page: int = 1

    @property
    def is_narrowed(self) -> bool:
        """Whether models may be left out of the list because of what is asked."""
        return bool(self.words or self.provider or self.able or self.status)

    @classmethod
    def of(cls, words: str, provider: str, able: str, status: str, sort: str, page: int) -> "Wanted":
        """From an address that anybody may have typed: what it does not understand it leaves out."""
        return cls(
            words=words.strip().replace("\x00", "")[:300],
            provider=_id(provider),
            able=next((each for each in get_args(Able) if each == able), None),
            status=next((each for each in get_args(Status) if each == status), None),
            sort=sort if sort.removeprefix("-") in SORTS else "provider",
            page=min(max(page, 1), 10_000),
        )


async def list_models(user: uuid.UUID, wanted: Wanted) -> tuple[list[asyncpg.Record], int]:
    """A page of the models that a person may use, and how many there are in all."""
    key, direction = wanted.sort.removeprefix("-"), "DESC" if wanted.sort.startswith("-") else "ASC"
    order = f"{SORTS[key].format(direction)}, lower(m.name), m.id"
    rows = await fetch(
        f"{_LIST} ORDER BY {order} LIMIT {PAGE_SIZE} OFFSET $6",
        user, wanted.words, wanted.provider, wanted.able or "", wanted.status or "", (wanted.page - 1) * PAGE_SIZE,
    )  # fmt: skip
    return rows, rows[0]["total"] if rows else 0


async def find_model(user: uuid.UUID, model: uuid.UUID) -> asyncpg.Record | None:
    """One that this person may use, gone or not."""
    return await fetch_row(_ONE, user, model)


async def count_hidden() -> int:
    """How many models the owner has hidden."""
    row = await fetch_row(
        "SELECT count(*) AS hidden FROM model AS m JOIN provider AS p ON p.id = m.provider AND p.is_enabled"
        " WHERE m.is_hidden AND m.gone_at IS NULL"
    )
    return int(row["hidden"]) if row else 0


async def list_gone(models: Sequence[uuid.UUID]) -> list[asyncpg.Record]:
    """Those of these models that are not offered any more, by id, with their names."""
    return await fetch(_GONE, models)


async def list_providers() -> list[asyncpg.Record]:
    """Id, name and kind of those that are connected, oldest first."""
    return await fetch("SELECT id, name, kind FROM provider WHERE is_enabled ORDER BY created_at, id")


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


_COLUMNS = f"""
m.id, m.name, m.provider, p.name AS provider_name, p.kind, p.state AS provider_state,
{IS_SILENT} AS is_silent, m.down_since, m.error, m.size_bytes, m.family, m.quantisation,
m.known, m.said, m.set_by_owner, {", ".join(f"m.{name}" for name in Facts.__struct_fields__)}, m.allowed_users,
m.engine, m.fallbacks, m.is_bundled, m.is_hidden, m.is_by_hand, m.seen_since, m.gone_at, {IS_LOADED} AS is_loaded,
{MEMORY_BYTES} AS memory_bytes, {EXPIRES_AT} AS expires_at,
t.id AS task, t.kind AS task_kind, t.state AS task_state
"""

_FROM = f"""
FROM model AS m JOIN provider AS p ON p.id = m.provider {RESIDENCE}
LEFT JOIN model_task AS t ON t.provider = m.provider AND t.model_name = m.name AND t.state IN ('queued', 'running')
"""

_LIST = f"""
SELECT count(*) OVER () AS total, {_COLUMNS} {_FROM}
WHERE p.is_enabled AND {may_use("$1::uuid")}
  AND ($2 = '' OR position(lower($2) IN lower(m.name || ' ' || p.name || ' ' || coalesce(m.family, ''))) > 0)
  AND ($3::uuid IS NULL OR m.provider = $3)
  AND CASE $4 WHEN 'vision' THEN m.has_vision WHEN 'tools' THEN m.has_tools WHEN 'reasoning' THEN m.has_reasoning
              WHEN 'embedding' THEN m.is_embedding ELSE true END
  AND (m.gone_at IS NOT NULL) = ($5 = 'gone') AND (m.is_hidden AND m.gone_at IS NULL) = ($5 = 'hidden')
  AND CASE $5 WHEN 'loaded' THEN {IS_LOADED} WHEN 'local' THEN m.size_bytes IS NOT NULL
              WHEN 'restricted' THEN m.allowed_users IS NOT NULL ELSE true END
"""

_GONE = f"""
SELECT m.id, m.name AS label, p.name AS provider_name, m.gone_at IS NOT NULL AS is_gone, m.is_hidden
FROM model AS m JOIN provider AS p ON p.id = m.provider WHERE m.id = ANY($1) AND NOT {is_offered()}
"""

_ONE = f"SELECT {_COLUMNS} {_FROM} WHERE m.id = $2 AND p.is_enabled AND {may_use('$1::uuid')}"
