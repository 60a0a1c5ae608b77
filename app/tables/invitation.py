"""An owner's invitation to one person, by link."""

import uuid

from piccolo.columns import UUID, Bytea, ForeignKey, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine, fetch, fetch_row, new_id, transaction
from app.errors import NotFound
from app.secrets import hash_token, new_token
from app.tables.user import User
from app.words import gettext as _

VALID_DAYS = 7


class Invitation(Table, tablename="invitation", db=engine):
    """`token_hash` is the SHA-256 of the link's token. Used once, before it expires."""

    id = UUID(primary_key=True, default=None)
    created_by = ForeignKey(references=User, null=False)
    email = Varchar(length=254)
    token_hash = Bytea(unique=True)
    created_at = Timestamptz()
    expires_at = Timestamptz()
    used_at = Timestamptz(default=None, null=True)
    used_by = ForeignKey(references=User, null=True, default=None)  # it names the person's address: it goes with them

    @classmethod
    async def create_link(cls, *, created_by: uuid.UUID, email: str) -> str:
        """A new invitation. Returns the token for its link, which is stored nowhere."""
        token = new_token()
        await fetch(
            "INSERT INTO invitation (id, created_by, email, token_hash, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, now(), now() + make_interval(days => $5))",
            new_id(),
            created_by,
            email,
            hash_token(token),
            VALID_DAYS,
        )
        return token

    @classmethod
    async def list_open(cls) -> "list[Invitation]":
        """Those that can still be used, newest first."""
        records = await fetch(
            "SELECT * FROM invitation WHERE used_at IS NULL AND expires_at > now() ORDER BY created_at DESC, id DESC"
        )
        return [cls(**dict(record)) for record in records]

    @classmethod
    async def email_of(cls, token: str) -> str:
        """Whom an open invitation is for ('' if the owner did not say). Raises `NotFound`."""
        record = await fetch_row(
            "SELECT email FROM invitation WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()",
            hash_token(token),
        )
        if record is None:
            raise _not_valid()
        return str(record["email"])

    @classmethod
    async def accept(cls, token: str, *, name: str, email: str, password_hash: str) -> User:
        """Make the invited person; what else was open for their address goes. Raises `NotFound` and `Invalid`.

        Of two who use a link at once, one gets in.
        """
        async with transaction():
            used = await fetch_row(
                "UPDATE invitation SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()"
                " RETURNING id",
                hash_token(token),
            )
            if used is None:
                raise _not_valid()
            user = await User.add(name=name, email=email, password_hash=password_hash)
            await fetch("UPDATE invitation SET used_by = $2 WHERE id = $1", used["id"], user.id)
            await fetch("DELETE FROM invitation WHERE email = $1 AND used_at IS NULL", email)
        return user

    @classmethod
    async def revoke(cls, invitation_id: uuid.UUID) -> bool:
        """Take an unused invitation back. False if there is none."""
        record = await fetch_row("DELETE FROM invitation WHERE id = $1 AND used_at IS NULL RETURNING 1", invitation_id)
        return record is not None


def _not_valid() -> NotFound:
    return NotFound(
        _("This invitation is not valid: it was used, it was revoked, or its seven days are over. Ask for a new one.")
    )
