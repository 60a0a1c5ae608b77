"""Slash-prompts of a person: finding them, listing them with those that the owner shares, saving and deleting them.

One of somebody else counts only while it is shared by who is an owner: the switch is looked at with each use.
"""

import uuid

import asyncpg
import msgspec

from app.database import as_row, fetch, fetch_row, new_id
from app.errors import Conflict, Invalid, NotFound
from app.tables.slash_prompt import SlashPrompt
from app.words import gettext as _

#: Of one person: the menu holds all of them at once.
MOST_OF_ONE = 200


class NewSlashPrompt(msgspec.Struct, frozen=True):
    """What a person says of a slash-prompt; the text was read already (`chat/slash.py`)."""

    name: str
    description: str
    text: str
    is_shared: bool = False


async def my_slash_prompt(user_id: uuid.UUID, prompt_id: uuid.UUID) -> SlashPrompt:
    """This person's own one. Raises `NotFound`, for a stranger's and a shared one as for none."""
    return _found(await fetch_row('SELECT * FROM slash_prompt WHERE id = $1 AND "user" = $2', prompt_id, user_id))


async def usable_slash_prompt(user_id: uuid.UUID, prompt_id: uuid.UUID) -> SlashPrompt:
    """One that this person may use: an own one, or one that the owner shares. Raises `NotFound`."""
    return _found(await fetch_row(f"SELECT * FROM slash_prompt WHERE id = $2 AND {_MAY_USE}", user_id, prompt_id))


async def list_slash_prompts(user_id: uuid.UUID) -> list[asyncpg.Record]:
    """Those that this person may use, by name, own ones first: id, name, description, is_mine, is_shared."""
    return await fetch(
        f'SELECT id, name, description, is_shared, "user" = $1 AS is_mine FROM slash_prompt WHERE {_MAY_USE}'
        " ORDER BY lower(name), is_mine DESC, id",
        user_id,
    )


async def add_slash_prompt(user_id: uuid.UUID, new: NewSlashPrompt) -> uuid.UUID:
    """Store a new one; its id. Raises `Invalid` if the person has one of that name, `Conflict` if they have too many."""
    row = await fetch_row('SELECT count(*) AS number FROM slash_prompt WHERE "user" = $1', user_id)
    if row and row["number"] >= MOST_OF_ONE:
        raise Conflict(_("You have %(most)s slash-prompts already. Delete one first.") % {"most": MOST_OF_ONE})
    prompt_id = new_id()
    await _store(_ADD, prompt_id, new, user_id)
    return prompt_id


async def change_slash_prompt(prompt: SlashPrompt, new: NewSlashPrompt) -> None:
    """Write what was said anew. Raises `Invalid` if the person has another one of that name."""
    await _store(_CHANGE, prompt.id, new)


async def delete_slash_prompt(prompt: SlashPrompt) -> None:
    """For good."""
    await fetch("DELETE FROM slash_prompt WHERE id = $1", prompt.id)


async def _store(statement: str, prompt_id: uuid.UUID, new: NewSlashPrompt, *more: uuid.UUID) -> None:
    try:
        await fetch(statement, prompt_id, *msgspec.structs.astuple(new), *more)
    except asyncpg.UniqueViolationError as error:
        raise Invalid(_("You have a slash-prompt of this name already."), field="name") from error


def _found(row: asyncpg.Record | None) -> SlashPrompt:
    if row is None:
        raise NotFound(_("There is no such slash-prompt."))
    return as_row(SlashPrompt, row)


_MAY_USE = '("user" = $1 OR is_shared AND "user" IN (SELECT id FROM users WHERE is_owner))'

_ADD = """
INSERT INTO slash_prompt (id, name, description, text, is_shared, "user", created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, now(), now())
"""

_CHANGE = """
UPDATE slash_prompt SET name = $2, description = $3, text = $4, is_shared = $5, updated_at = now() WHERE id = $1
"""
