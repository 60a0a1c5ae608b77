"""A sign-in of a person in one browser."""

import contextlib
import uuid

import asyncpg
from piccolo.columns import UUID, Bytea, ForeignKey, Timestamptz, Varchar
from piccolo.table import Table

from app.database import UNWRITABLE, engine, fetch, fetch_row, new_id, transaction
from app.errors import NotSignedIn
from app.live import News, tell
from app.secrets import hash_token, new_token
from app.tables.user import User
from app.words import gettext as _

#: So long a password that was given counts for sensitive changes.
CONFIRMED_FOR = "10 minutes"


class Session(Table, tablename="session", db=engine):
    """`token_hash` is the SHA-256 of the cookie's token: who reads the table cannot sign in with it.

    `address` is the IP address that it was last seen at, to the minute: what tells two of the same browser apart.
    `confirmed_at` is when the password was last given in this session.
    """

    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    token_hash = Bytea(unique=True)
    user_agent = Varchar(length=300)
    address = Varchar(length=64)
    created_at = Timestamptz()
    seen_at = Timestamptz()
    expires_at = Timestamptz()
    confirmed_at = Timestamptz(default=None, null=True)

    #: Whether the password was given within `CONFIRMED_FOR`, by the database's clock; set by `find_by_token` and `confirm`.
    is_confirmed: bool
    #: Whether it is the one that the page is drawn for; set by `list_of`.
    is_current: bool

    @classmethod
    async def start(cls, user: User, *, user_agent: str, address: str = "", days: int) -> str | None:
        """Sign a person in, for so many days without use. Returns the token for the cookie, which is stored nowhere.

        None if the person was deactivated or changed the password since `user` was read: the row is locked against it.
        """
        token = new_token()
        record = await fetch_row(
            'INSERT INTO session (id, "user", token_hash, user_agent, address, created_at, seen_at, confirmed_at, expires_at)'
            " SELECT $3, id, $4, $5, $7, now(), now(), now(), now() + make_interval(days => $6)"
            " FROM users WHERE id = $1 AND is_active AND password_hash = $2 FOR SHARE RETURNING id",
            user.id,
            user.password_hash,
            new_id(),
            hash_token(token),
            user_agent[:300],
            days,
            address[:64],
        )
        return token if record else None

    @classmethod
    async def find_by_token(cls, token: str) -> "tuple[User, Session, bool] | None":
        """Who a cookie signs in, by which session, and whether it was last noted over a minute ago. One statement."""
        record = await fetch_row(
            "SELECT u.*, s.id AS session_id, s.token_hash, s.user_agent, s.created_at AS started_at,"
            " s.seen_at AS used_at, s.expires_at, s.seen_at < now() - interval '1 minute' AS is_stale,"
            f" s.confirmed_at, coalesce(s.confirmed_at > now() - interval '{CONFIRMED_FOR}', false) AS is_confirmed"
            ' FROM session s JOIN users u ON u.id = s."user"'
            " WHERE s.token_hash = $1 AND s.expires_at > now() AND u.is_active",
            hash_token(token),
        )
        if record is None:
            return None
        session = cls(
            id=record["session_id"],
            user=record["id"],
            token_hash=record["token_hash"],
            user_agent=record["user_agent"],
            created_at=record["started_at"],
            seen_at=record["used_at"],
            expires_at=record["expires_at"],
            confirmed_at=record["confirmed_at"],
        )
        session.is_confirmed = record["is_confirmed"]
        session._exists_in_db = True
        return User.of(record), session, record["is_stale"]

    async def confirm(self) -> bool:
        """Note that the password was given just now. False if another request noted that since this session was read.

        Raises `NotSignedIn` if it has ended, as a changed password ends it.
        """
        if (record := await fetch_row(_CONFIRM, self.id)) is None:
            raise NotSignedIn(_("You are not signed in."))
        is_first: bool = record["before"] == self.confirmed_at
        self.confirmed_at, self.is_confirmed = record["confirmed_at"], True
        return is_first

    async def mark_seen(self, days: int, address: str) -> bool:
        """Note that it is in use, and where; that prolongs it. False if another request did, or nothing can be stored."""
        with contextlib.suppress(*UNWRITABLE):
            return await fetch_row(_MARK_SEEN, self.id, days, address[:64]) is not None
        return False

    @classmethod
    async def list_of(cls, user_id: uuid.UUID, *, current: uuid.UUID | None) -> "list[Session]":
        """A person's sign-ins, last used first."""
        records = await fetch(
            'SELECT * FROM session WHERE "user" = $1 AND expires_at > now() ORDER BY seen_at DESC, id DESC', user_id
        )
        rows = [cls(**dict(record)) for record in records]
        for row in rows:
            row.is_current = row.id == current
        return rows

    @classmethod
    async def end(cls, session_id: uuid.UUID, *, user_id: uuid.UUID) -> bool:
        """End one sign-in of a person. False if they have no such."""
        return bool(await cls._end('id = $1 AND "user" = $2', session_id, user_id))

    @classmethod
    async def end_all(cls, user_id: uuid.UUID, *, but: uuid.UUID | None = None) -> int:
        """End every sign-in of a person, maybe but one. Returns how many there were."""
        return await cls._end('"user" = $1 AND id IS DISTINCT FROM $2', user_id, but)

    @classmethod
    async def forget_expired(cls) -> None:
        """Delete what has ended by itself, except rows that another transaction has locked just now."""
        await fetch(
            "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < now() FOR UPDATE SKIP LOCKED)"
        )

    @classmethod
    async def _end(cls, condition: str, *arguments: uuid.UUID | None) -> int:
        async with transaction():
            ended: list[asyncpg.Record] = await fetch(f"DELETE FROM session WHERE {condition} RETURNING id", *arguments)
            for record in ended:
                await announce_session_end(record["id"])
        return len(ended)


async def announce_session_end(session_id: uuid.UUID) -> None:
    """Tell the open pages of a sign-in, when the current transaction commits, that it is over."""
    await tell(News(key=f"session:{session_id}", event="signed_out"))


async def announce_user_end(user_id: uuid.UUID) -> None:
    """Tell all open pages of a person, when the current transaction commits, that they are signed out."""
    await tell(News(key=f"user:{user_id}", event="signed_out"))


# What was there before is read behind the lock: of two requests at the same moment one is the first. The clock's time, not
# the transaction's: no two are alike.
_CONFIRM = """
WITH before AS MATERIALIZED (SELECT id, confirmed_at FROM session WHERE id = $1 FOR UPDATE)
UPDATE session SET confirmed_at = clock_timestamp() FROM before WHERE session.id = before.id
RETURNING before.confirmed_at AS before, session.confirmed_at
"""

# Locks the person before the session, as signing in and deactivation do.
_MARK_SEEN = """
WITH person AS MATERIALIZED (
    SELECT u.id FROM users AS u JOIN session AS s ON s."user" = u.id WHERE s.id = $1 FOR NO KEY UPDATE OF u
), seen AS (
    UPDATE session SET seen_at = now(), expires_at = now() + make_interval(days => $2), address = $3 FROM person
    WHERE session.id = $1 AND seen_at < now() - interval '1 minute' RETURNING session."user"
)
UPDATE users SET seen_at = now() FROM seen WHERE users.id = seen."user" RETURNING 1
"""
