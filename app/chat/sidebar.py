"""The sidebar: a person's threads, newest first; what open pages are told of it; and whether a page shows it as it is."""

import uuid
import zlib
from datetime import UTC, datetime

import asyncpg

from app.database import fetch, fetch_row
from app.words import gettext as _

#: How many threads one page of the sidebar holds.
LENGTH = 40
#: How many threads a search finds at most: who sees that many types another word.
MOST_FOUND = 20


async def list_threads(
    user_id: uuid.UUID, before: uuid.UUID | None = None, at: datetime | None = None
) -> tuple[list[asyncpg.Record], asyncpg.Record | None]:
    """One page of the sidebar, and its last thread if others follow.

    It goes on after the thread `before`, in the place where that stood when it was last used `at`: meanwhile it may
    have been used again, or deleted. Without `at` it goes on from where the thread stands now.
    """
    moment = at.replace(tzinfo=at.tzinfo or UTC) if at else None
    rows = await fetch(_LIST, user_id, before, moment, LENGTH + 1)
    return rows[:LENGTH], rows[LENGTH - 1] if len(rows) > LENGTH else None


async def search_threads(user_id: uuid.UUID, words: str) -> list[asyncpg.Record]:
    """The threads whose titles have all of the words in them, newest first; without words the newest ones."""
    return await fetch(_SEARCH, user_id, [f"%{_escaped(word)}%" for word in words.split()], MOST_FOUND)


async def find_mark(user_id: uuid.UUID) -> str:
    """The mark of the sidebar as a page that is loaded now would show it."""
    row = await fetch_row(f"SELECT {signs('$1', '$2')} AS signs", user_id, untitled())
    return mark_of(row["signs"] if row else None)


def signs(user: str, untitled: str) -> str:
    """SQL of all that a page shows of the first threads of a person. Both are SQL: of the id, and of an empty title."""
    return _SIGNS % (untitled, user)


def mark_of(found: str | None) -> str:
    """What `signs` found, as a few characters. static/js/sidebar.js makes the same of what it shows."""
    return f"{zlib.crc32((found or '').encode()):x}"


def untitled() -> str:
    """What stands in the place of an empty title."""
    return _("New thread")


def told(event: str, thread: str, user: str) -> str:
    """SQL that tells the open pages of a person that a thread of theirs is `busy`, or `idle` again, and is the newest now.

    `thread` and `user` are SQL of ids. The statement that it is a part of sets the thread's `updated_at` to now().
    """
    return (
        f"pg_notify('parley_news', json_build_object('key', 'user:' || {user}::uuid::text, 'event', '{event}',"
        f" 'thread', {thread}::uuid::text, 'at', {_AT % 'now()'})::text)::text"
    )


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


#: A moment as pages write it: see `data-at` in templates/threads/_sidebar_item.html.
_AT = "to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"

_COLUMNS = """
t.id, t.title, t.updated_at,
EXISTS (SELECT 1 FROM generation AS g WHERE g.thread = t.id AND g.state <> 'ended') AS is_busy
"""

_LIST = f"""
SELECT {_COLUMNS}
FROM thread AS t
WHERE t."user" = $1 AND t.status = 'active' AND ($2::uuid IS NULL OR (t.updated_at, t.id) < (
    coalesce($3, (SELECT b.updated_at FROM thread AS b WHERE b.id = $2 AND b."user" = $1)), $2))
ORDER BY t.updated_at DESC, t.id DESC
LIMIT $4
"""

_SEARCH = f"""
SELECT {_COLUMNS}
FROM thread AS t
WHERE t."user" = $1 AND t.status = 'active' AND t.title ILIKE ALL ($2::text[])
ORDER BY t.updated_at DESC, t.id DESC
LIMIT $3
"""

_SIGNS = f"""(
    SELECT string_agg(
        concat_ws(' ', s.id, {_AT % "s.updated_at"}, s.is_busy::int, coalesce(nullif(s.title, ''), %s)), E'\\n'
        ORDER BY s.updated_at DESC, s.id DESC)
    FROM (
        SELECT {_COLUMNS}
        FROM thread AS t
        WHERE t."user" = %s AND t.status = 'active'
        ORDER BY t.updated_at DESC, t.id DESC
        LIMIT {LENGTH}
    ) AS s
)"""
