"""Principals: who asks. Today the session of a signed-in person; API keys and share links will join.

Only `may_read` and `may_write` decide, in SQL, which threads a principal may read and write.
"""

import uuid
from typing import Literal

import msgspec

from app.database import fetch_row


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """`person` is the one on whose behalf it asks; None for a share link."""

    kind: Literal["session", "api_key", "share_link"]
    person: uuid.UUID | None
    #: Only a session has one.
    session: uuid.UUID | None = None
    is_owner: bool = False

    async def may_read(self, thread_id: uuid.UUID) -> bool:
        """Whether this principal may see a thread and all that is in it."""
        return await fetch_row(_READ, thread_id, self.person) is not None

    async def may_write(self, thread_id: uuid.UUID) -> bool:
        """Whether this principal may ask in a thread and change it."""
        return await fetch_row(_WRITE, thread_id, self.person) is not None


def may_read(person: str, thread: str = "t") -> str:
    """SQL condition: a person may see `thread AS t`. `person`: SQL of their id."""
    return f"({thread}.\"user\" = {person} AND {thread}.status <> 'deleted')"


def may_write(person: str, thread: str = "t") -> str:
    """SQL condition: a person may ask in `thread AS t` and change it. `person`: SQL of their id."""
    return may_read(person, thread)


_READ = f"SELECT 1 FROM thread AS t WHERE t.id = $1 AND {may_read('$2')}"
_WRITE = f"SELECT 1 FROM thread AS t WHERE t.id = $1 AND {may_write('$2')}"
