"""Presets of a person: finding them, listing them with those that the owner shares, saving and deleting them.

A preset of somebody else counts only while it is shared by who is an owner: the switch is looked at with each use.
"""

import uuid

import asyncpg
import msgspec

from app.chat.options import Options, of_thread
from app.database import as_row, fetch, fetch_row, new_id
from app.errors import NotFound
from app.tables.preset import Preset
from app.words import gettext as _


class NewPreset(msgspec.Struct, frozen=True):
    """What a person says of a preset. `model_name` is how the model was called, for when it is gone."""

    name: str
    model: uuid.UUID | None
    model_name: str
    options: Options
    is_shared: bool = False


async def my_preset(user_id: uuid.UUID, preset_id: uuid.UUID) -> Preset:
    """This person's own preset. Raises `NotFound`, for a stranger's and a shared one as for none."""
    return _found(await fetch_row('SELECT * FROM preset WHERE id = $1 AND "user" = $2', preset_id, user_id))


async def usable_preset(user_id: uuid.UUID, preset_id: uuid.UUID) -> Preset:
    """A preset that this person may begin a thread with: an own one, or one that the owner shares. Raises `NotFound`."""
    return _found(await fetch_row(_USABLE, preset_id, user_id))


async def list_presets(user_id: uuid.UUID) -> list[asyncpg.Record]:
    """The presets that this person may use, own ones first: id, name, is_mine, is_shared, model_name."""
    return await fetch(_LIST, user_id)


async def count_presets(model: uuid.UUID) -> int:
    """How many presets begin with a model, whosever they are."""
    row = await fetch_row("SELECT count(*) AS presets FROM preset WHERE model = $1", model)
    return int(row["presets"]) if row else 0


async def add_preset(user_id: uuid.UUID, new: NewPreset) -> uuid.UUID:
    """Store a new preset; its id."""
    preset_id = new_id()
    await fetch(_ADD, preset_id, user_id, *_columns(new))
    return preset_id


async def change_preset(preset: Preset, new: NewPreset) -> None:
    """Write what was said anew."""
    await fetch(_CHANGE, preset.id, *_columns(new))


async def delete_preset(preset: Preset) -> None:
    """Threads that were begun with it keep what they copied."""
    await fetch("DELETE FROM preset WHERE id = $1", preset.id)


def options_of(preset: Preset) -> Options:
    """The options that a thread begins with."""
    return of_thread(preset.system_prompt, preset.options)


def _found(row: asyncpg.Record | None) -> Preset:
    if row is None:
        raise NotFound(_("There is no such preset."))
    return as_row(Preset, row)


def _columns(new: NewPreset) -> tuple[object, ...]:
    parameters = msgspec.json.encode(new.options.parameters).decode()
    return new.name, new.is_shared, new.model, new.model_name, new.options.system_prompt, parameters


_MAY_USE = """("user" = $2 OR is_shared AND "user" IN (SELECT id FROM users WHERE is_owner))"""

_USABLE = f"SELECT * FROM preset WHERE id = $1 AND {_MAY_USE}"

_LIST = f"""
SELECT id, name, is_shared, model_name, "user" = $1 AS is_mine
FROM preset WHERE {_MAY_USE.replace("$2", "$1")}
ORDER BY is_mine DESC, lower(name), id
"""

_ADD = """
INSERT INTO preset (id, "user", name, is_shared, model, model_name, system_prompt, options, created_at, updated_at)
VALUES ($1, $2, $3, $4, (SELECT id FROM model WHERE id = $5), $6, $7, $8, now(), now())
"""

_CHANGE = """
UPDATE preset SET name = $2, is_shared = $3, model = (SELECT id FROM model WHERE id = $4), model_name = $5,
    system_prompt = $6, options = $7, updated_at = now()
WHERE id = $1
"""
