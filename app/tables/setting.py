"""What the owner set on the pages of settings: it wins over a setting's default, and the environment wins over it."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from piccolo.columns import JSONB, ForeignKey, Timestamptz, Varchar
from piccolo.columns.base import OnDelete
from piccolo.table import Table

from app.database import engine, fetch, transaction
from app.errors import Unavailable
from app.live import News, tell
from app.secrets import seal, unseal
from app.settings import FIELDS
from app.settings.values import from_json, sentence_of
from app.tables.user import User
from app.words import gettext as _

#: Any number that nothing else locks: settings change one after the other, because of those that must go together.
SETTINGS_LOCK = 0x73657474696E67

#: What every process is told when settings changed.
NEWS = News(key="settings", event="settings")


class Stored(msgspec.Struct, frozen=True):
    """One stored value. `fault` is why it cannot be used, empty if it can; by nobody: set on the command line."""

    name: str
    value: Any
    changed_at: datetime
    changed_by: str | None = None
    fault: str = ""


class Setting(Table, tablename="setting", db=engine):
    """`value` is JSON of the setting's type; of a secret one it is a sealed text (see `secrets.py`)."""

    name = Varchar(length=100, primary_key=True, default=None)
    value = JSONB(default="null")
    changed_by = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    changed_at = Timestamptz()

    @classmethod
    async def list_all(cls) -> list[Stored]:
        """What is stored, each value with its field's type. Another version, older or newer, may have left any of it."""
        rows = await fetch(_LIST)
        return [_stored(row["name"], row["value"], row["changed_at"], row["changed_by"]) for row in rows]

    @classmethod
    async def lock(cls) -> None:
        """Until the current transaction ends, nobody else changes any."""
        await fetch("SELECT pg_advisory_xact_lock($1)", SETTINGS_LOCK)

    @classmethod
    async def change(cls, *, chosen: Mapping[str, Any], taken_back: list[str], by: uuid.UUID | None) -> None:
        """Set the chosen ones and take the others back, in one transaction; every process is told with its commit."""
        values = [msgspec.json.encode(_to_keep(name, value)).decode() for name, value in chosen.items()]
        async with transaction():
            await fetch(_SAVE, list(chosen), values, by)
            await fetch("DELETE FROM setting WHERE name = ANY($1)", taken_back)
            await tell(NEWS)


def _to_keep(name: str, value: Any) -> Any:
    return seal(str(value)) if FIELDS[name].is_secret else value


def _stored(name: str, value: str, changed_at: datetime, changed_by: str | None) -> Stored:
    kept, fault = None, ""
    try:
        kept = _value(name, value)
    except LookupError:
        fault = "no such setting"
    except Unavailable:
        fault = _("It was sealed with another key.")
    except ValueError as error:
        fault = str(error)
    return Stored(name, kept, changed_at, changed_by, fault)


def _value(name: str, text: str) -> Any:
    """Raises `LookupError`, `Unavailable`, and `ValueError` with a sentence."""
    field = FIELDS[name]
    if not field.is_live:
        raise LookupError(name)
    kept = msgspec.json.decode(text)
    value = unseal(str(kept)) if field.is_secret else kept
    try:
        return from_json(name, value)
    except ValueError as error:  # msgspec's own, too
        raise ValueError(sentence_of(name, value)) from error


_LIST = """
SELECT s.name, s.value, s.changed_at, u.name AS changed_by
FROM setting AS s LEFT JOIN users AS u ON u.id = s.changed_by ORDER BY s.name
"""

_SAVE = """
INSERT INTO setting (name, value, changed_by, changed_at)
SELECT n.name, n.value::jsonb, $3, now() FROM unnest($1::text[], $2::text[]) AS n (name, value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_by = excluded.changed_by, changed_at = now()
WHERE setting.value <> excluded.value
"""
