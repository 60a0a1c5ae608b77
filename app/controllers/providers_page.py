"""The page of model servers: what is connected, what was found, model files, and the forms."""

import uuid
from typing import Any

import asyncpg
import httpx
import msgspec
from litestar import Request, Response

from app.chat.found import list_found
from app.chat.residence import IS_LOADED, RESIDENCE, RUN_HERE
from app.controllers.forms import Fields, Filled
from app.controllers.pages import page, with_sidebar
from app.controllers.provider_form import CONNECTABLE, NewProvider
from app.controllers.typed_keys import has_key
from app.database import fetch, fetch_row
from app.errors import NotFound
from app.providers import PROVIDERS
from app.settings import settings
from app.tables.provider import shown_address
from app.tables.user import User
from app.words import gettext as _

AnyRequest = Request[Any, Any, Any]


class Test(msgspec.Struct, frozen=True):
    """The result of asking a provider for its models."""

    is_ok: bool
    models_count: int = 0
    duration_ms: int = 0
    sentence: str = ""
    has_list: bool = True


async def find_provider(provider_id: uuid.UUID) -> asyncpg.Record:
    """A provider as it is stored. Raises `NotFound`."""
    row = await fetch_row("SELECT * FROM provider WHERE id = $1", provider_id)
    if row is None:
        raise NotFound(_("There is no such provider."))
    return row


async def providers_page(
    request: AnyRequest,
    owner: User,
    client: httpx.AsyncClient,
    *,
    filled: Filled[NewProvider] | None = None,
    test: Test | None = None,
    status_code: int = 200,
    **context: Any,
) -> Response[Any]:
    """The whole page. `filled`: the form of a new provider; `change`, `addition`: one of the forms of a connected one."""
    rows = await fetch(_LIST)
    providers = [
        dict(row)
        | {
            "label": PROVIDERS[row["kind"]].label(),
            "is_ours": row["kind"] not in CONNECTABLE,
            "shown_url": shown_address(row),
        }
        for row in rows
    ]
    known = {
        "providers": [each for each in providers if each["kind"] != "llamacpp" or each["models_count"]],
        "found": await list_found(client),
        "model_files": [dict(row) for row in await fetch(_FILES)],
        "models_folder": settings.models_folder,
        "starter": _starter(rows),
        "kinds": kinds(),
        "form": filled.typed if filled else Fields(),
        "errors": filled.errors if filled else Fields(),
        "is_key_lost": filled is not None and has_key(request),
        "test": test,
    }
    return page(request, "providers/index.html", await with_sidebar(owner, known | context), status_code=status_code)


def kinds() -> list[tuple[str, str]]:
    """What can be connected, and what people call it."""
    return [(kind, PROVIDERS[kind].label()) for kind in CONNECTABLE]


def _starter(rows: list[asyncpg.Record]) -> dict[str, Any] | None:
    """The small model that is offered while our own engine has none, or only those that came with Parley: where it comes
    from and where it would go."""
    ours = next((row for row in rows if PROVIDERS[row["kind"]].runs_here and not row["own_count"]), None)
    if ours is None or settings.starter_model in ("", "none"):
        return None
    source = settings.starter_model
    name = source.rpartition("/")[2].removesuffix(".gguf")
    return {"provider": ours["id"], "source": source, "name": name, "is_better": ours["models_count"] > 0}


_LIST = """
SELECT p.id, p.kind, p.name, p.base_url, p.shown_url, p.allows_private, p.key_sealed <> '' AS has_key, p.state, p.error,
       p.refreshed_at, p.lists_models, p.version,
       (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL) AS models_count,
       (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL AND m.is_hidden) AS hidden_count,
       (SELECT count(*) FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL AND NOT m.is_bundled) AS own_count,
       ARRAY(SELECT m.name FROM model AS m WHERE m.provider = p.id AND m.gone_at IS NULL AND m.down_since IS NOT NULL
           ORDER BY m.name) AS silent
FROM provider AS p WHERE p.is_enabled ORDER BY p.created_at
"""

_FILES = f"""
SELECT m.name, m.size_bytes, {IS_LOADED} AS is_loaded, m.is_hidden
FROM model AS m JOIN provider AS p ON p.id = m.provider {RESIDENCE}
WHERE p.kind = ANY({RUN_HERE}) AND m.gone_at IS NULL ORDER BY m.name
"""
