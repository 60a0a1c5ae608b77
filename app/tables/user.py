"""A person who may sign in. The owner runs the instance."""

import uuid
from typing import Any

import asyncpg
from piccolo.columns import UUID, Boolean, ForeignKey, Text, Timestamptz, Varchar
from piccolo.columns.base import OnDelete
from piccolo.table import Table

from app.database import engine, fetch, fetch_row, new_id
from app.errors import Invalid
from app.settings import settings
from app.tables.model import ModelRow
from app.words import gettext as _

#: Any number that nothing else locks: changes of who owns the instance happen one after the other.
OWNERS_LOCK = 0x6F776E6572


class User(Table, tablename="users", db=engine):
    """`email` is stored in lower case; `password_hash` is argon2id's own format; `draft` is the unsent new thread.

    `language` is empty for the browser's own. `default_model` is what new threads begin with; null: the instance's.
    """

    id = UUID(primary_key=True, default=None)
    name = Varchar(length=100)
    email = Varchar(length=254, unique=True)
    password_hash = Text()
    is_owner = Boolean(default=False)
    is_active = Boolean(default=True)
    theme = Varchar(length=20, default="system")
    send_key = Varchar(length=20, default="enter")
    speech = Varchar(length=20, default="all")
    language = Varchar(length=20)
    default_model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    draft = Text()
    created_at = Timestamptz()
    seen_at = Timestamptz(default=None, null=True)

    @classmethod
    def of(cls, record: asyncpg.Record) -> "User":
        """The row of a record that has all of its columns (and maybe others)."""
        user = cls(**{name: record[name] for name in _COLUMNS})
        user._exists_in_db = True
        return user

    @classmethod
    async def find(cls, user_id: uuid.UUID) -> "User | None":
        """The person of this id."""
        record = await fetch_row("SELECT * FROM users WHERE id = $1", user_id)
        return cls.of(record) if record else None

    @classmethod
    async def find_by_email(cls, email: str) -> "User | None":
        """Whose address this is, active or not."""
        record = await fetch_row("SELECT * FROM users WHERE email = $1", email)
        return cls.of(record) if record else None

    @classmethod
    async def list_all(cls) -> "list[User]":
        """Everybody, oldest first."""
        return [cls.of(record) for record in await fetch("SELECT * FROM users ORDER BY created_at, id")]

    @classmethod
    async def has_owner(cls) -> bool:
        """Whether the instance was set up."""
        return await fetch_row("SELECT 1 FROM users WHERE is_owner LIMIT 1") is not None

    @classmethod
    async def lock_owners(cls) -> None:
        """Until the current transaction ends, nobody else becomes owner or loses that."""
        await fetch("SELECT pg_advisory_xact_lock($1)", OWNERS_LOCK)

    @classmethod
    async def add(cls, *, name: str, email: str, password_hash: str, is_owner: bool = False) -> "User":
        """A new person. Raises `Invalid` if the address is somebody's already; the transaction goes on."""
        record = await fetch_row(
            "INSERT INTO users"
            " (id, name, email, password_hash, is_owner, is_active, theme, send_key, speech, draft, created_at)"
            " VALUES ($1, $2, $3, $4, $5, true, $6, $7, $8, '', now())"
            " ON CONFLICT (email) DO NOTHING RETURNING *",
            new_id(),
            name,
            email,
            password_hash,
            is_owner,
            settings.default_theme,
            settings.default_send_key,
            settings.default_speech,
        )
        if record is None:
            raise Invalid(_("Somebody uses this address already."), field="email")
        return cls.of(record)

    async def change(self, **values: Any) -> None:
        """Write these columns, and no others."""
        columns = ", ".join(f"{getattr(User, name)._meta.db_column_name} = ${n}" for n, name in enumerate(values, 2))
        await fetch(f"UPDATE users SET {columns} WHERE id = $1", self.id, *values.values())
        for name, value in values.items():
            setattr(self, name, value)

    async def change_password(self, password_hash: str) -> bool:
        """False if it was changed by somebody else since this row was read."""
        statement = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING 1"
        if await fetch_row(statement, self.id, self.password_hash, password_hash) is None:
            return False
        self.password_hash = password_hash
        return True

    @classmethod
    async def set_active(cls, user_id: uuid.UUID, is_active: bool) -> bool:
        """Let somebody in again, or keep them out. False if there is no such person, or nobody to change."""
        statement = "UPDATE users SET is_active = $2 WHERE id = $1 AND is_active <> $2 RETURNING 1"
        return await fetch_row(statement, user_id, is_active) is not None

    @classmethod
    async def count_active_owners(cls) -> int:
        """How many can run the instance."""
        record = await fetch_row("SELECT count(*) AS number FROM users WHERE is_owner AND is_active")
        return int(record["number"]) if record else 0


_COLUMNS = tuple(column._meta.db_column_name for column in User._meta.columns)
