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
from app.origins import origin_of
from app.secrets import seal, unseal
from app.settings import FIELDS, effective
from app.settings.values import from_json, sentence_of
from app.tables.user import User
from app.words import gettext as _

#: No origins are given: each secret is for the address that holds now.
NOTHING: Mapping[str, str] = {}

#: Any number that nothing else locks: settings change one after the other, because of those that must go together.
SETTINGS_LOCK = 0x73657474696E67

#: What every process is told when settings changed.
NEWS = News(key="settings", event="settings")


class Stored(msgspec.Struct, frozen=True):
    """One stored value. `fault` is why it cannot be used, empty if it can; by nobody: set on the command line.

    `origin`: that of the address that a secret is for; empty where it is for none, or an older version stored it.
    """

    name: str
    value: Any
    changed_at: datetime
    changed_by: str | None = None
    fault: str = ""
    origin: str = ""


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
    async def change(
        cls,
        *,
        chosen: Mapping[str, Any],
        taken_back: list[str],
        by: uuid.UUID | None,
        origins: Mapping[str, str] = NOTHING,
    ) -> None:
        """Set the chosen ones and take the others back, in one transaction; every process is told with its commit.

        `origins`: those that secrets among them are for; without one, that of the address that holds now.
        """
        values = [msgspec.json.encode(_to_keep(name, value, origins)).decode() for name, value in chosen.items()]
        async with transaction():
            await fetch(_SAVE, list(chosen), values, by)
            await fetch("DELETE FROM setting WHERE name = ANY($1)", taken_back)
            await tell(NEWS)

    @classmethod
    async def bind(cls, row: Stored, origin: str) -> None:
        """Say of a secret which origin it is for, where an older version did not say it."""
        value = msgspec.json.encode(_to_keep(row.name, row.value, {row.name: origin})).decode()
        await fetch("UPDATE setting SET value = $2::jsonb WHERE name = $1", row.name, value)


def _to_keep(name: str, value: Any, origins: Mapping[str, str]) -> Any:
    field = FIELDS[name]
    if not field.is_secret:
        return value
    if not field.address:
        return seal(str(value))
    origin = origins.get(name) or origin_of(getattr(effective().values, field.address))
    return seal(f"{origin}\n{value}")


def _stored(name: str, value: str, changed_at: datetime, changed_by: str | None) -> Stored:
    kept, fault, origin = None, "", ""
    try:
        kept, origin = _value(name, value)
    except LookupError:
        fault = "no such setting"
    except Unavailable:
        fault = _("It was sealed with another key.")
    except ValueError as error:
        fault = str(error)
    return Stored(name, kept, changed_at, changed_by, fault, origin)


def _value(name: str, text: str) -> tuple[Any, str]:
    """The value and the origin that it is for. Raises `LookupError`, `Unavailable`, and `ValueError` with a sentence."""
    field = FIELDS[name]
    if not field.is_live:
        raise LookupError(name)
    kept = msgspec.json.decode(text)
    value, origin = unseal(str(kept)) if field.is_secret else kept, ""
    if field.address and "\n" in value:
        origin, _line, value = value.partition("\n")
    try:
        return from_json(name, value), origin
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
