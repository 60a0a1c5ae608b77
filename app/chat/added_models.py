"""Models that the owner adds by name, for servers that list none or only some of them.

A name that its server does not have is found out by the first question: the model is missing.
"""

import uuid

import msgspec

from app.chat import facts
from app.chat.removal import lock_naming
from app.chat.tasks import PAGES
from app.database import fetch, fetch_row, new_id, transaction
from app.live import News, tell
from app.providers import PROVIDERS


async def add_model(provider: uuid.UUID, kind: str, base_url: str, name: str) -> uuid.UUID:
    """Add a model by its name and return its id. One that is listed already is kept in the list from now on."""
    if not await fetch("SELECT 1 FROM model WHERE provider = $1 AND name = $2", provider, name):
        name = PROVIDERS[kind].model_name(name)
    row = await fetch_row(_ADD, new_id(), provider, name, facts.known(name, base_url))
    assert row is not None
    await _tell_pages()
    found: uuid.UUID = row["id"]
    return found


async def remove_model(model: uuid.UUID) -> None:
    """Undo adding a model by name: it leaves the list unless its server lists it too."""
    async with transaction():
        await lock_naming([model])
        await fetch("DELETE FROM model WHERE id = $1 AND is_by_hand AND seen_since IS NULL", model)
        await fetch("UPDATE model SET is_by_hand = false WHERE id = $1", model)
        await _tell_pages()


async def list_added(providers: list[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Provider → the names that were added by hand, in order."""
    rows = await fetch(_LIST, providers)
    return {row["provider"]: msgspec.json.decode(row["names"], type=list[str]) for row in rows}


async def _tell_pages() -> None:
    await tell(News(key=PAGES, event="models"))
    await tell(News(key="everybody", event="catalog"))


_ADD = """
INSERT INTO model AS m (id, provider, name, known, is_by_hand, seen_at) VALUES ($1, $2, $3, $4::jsonb, true, now())
ON CONFLICT (provider, name) DO UPDATE SET
    is_by_hand = true, gone_at = NULL, seen_since = CASE WHEN m.gone_at IS NULL THEN m.seen_since END
RETURNING id
"""

_LIST = """
SELECT provider, json_agg(name ORDER BY name)::text AS names FROM model
WHERE provider = ANY($1) AND is_by_hand GROUP BY provider
"""
