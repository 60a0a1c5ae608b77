"""Threads of a person: finding them, changing what is not a turn. Every look-up names the person."""

import uuid
from typing import Any

import msgspec

from app.chat.options import Options
from app.chat.tree import FAMILY, with_siblings
from app.database import as_row, fetch, fetch_row, transaction
from app.errors import NotFound
from app.live import News, tell
from app.principals import may_read
from app.tables.message import Message
from app.tables.thread import Thread
from app.words import gettext as _


async def my_thread(user_id: uuid.UUID, thread_id: uuid.UUID) -> Thread:
    """This person's thread. Raises `NotFound`, for a stranger's as for none."""
    row = await fetch_row(_MINE, thread_id, user_id)
    if row is None:
        raise NotFound(_("There is no such thread."))
    return as_row(Thread, row)


async def my_message(user_id: uuid.UUID, message_id: uuid.UUID) -> tuple[Message, Thread]:
    """A message of this person, with its thread. Raises `NotFound`."""
    row = await fetch_row(_MY_MESSAGE, message_id, user_id)
    if row is None:
        raise NotFound(_("There is no such message."))
    family, *columns = row.values()
    message = with_siblings(dict(zip(_MESSAGE, columns, strict=False)), family)
    thread = as_row(Thread, dict(zip(_THREAD, columns[len(_MESSAGE) :], strict=True)))
    return message, thread


async def is_busy(thread: Thread) -> bool:
    """Whether an answer is being written in it."""
    return await fetch_row("SELECT 1 FROM generation WHERE thread = $1 AND state <> 'ended'", thread.id) is not None


async def delete_thread(thread: Thread) -> None:
    """Delete a thread with all its messages; a running answer is stopped, open pages leave."""
    async with transaction():
        await fetch("SELECT 1 FROM thread WHERE id = $1 FOR UPDATE", thread.id)
        running = await fetch(
            "UPDATE generation SET is_stop_requested = true WHERE thread = $1 AND state <> 'ended' RETURNING id",
            thread.id,
        )
        for row in running:
            await tell(News(key="worker", event="stop", generation=str(row["id"])))
        await fetch("DELETE FROM delta WHERE generation_id IN (SELECT id FROM generation WHERE thread = $1)", thread.id)
        await fetch("DELETE FROM thread WHERE id = $1", thread.id)
        await tell(News(key=f"thread:{thread.id}", event="gone"))
        await tell(News(key=f"user:{_uuid(thread.user)}", event="removed", thread=str(thread.id)))


async def save_options(thread: Thread, options: Options) -> None:
    """Store a thread's system prompt and parameters."""
    stored = msgspec.json.encode(options.parameters).decode()
    await fetch(
        "UPDATE thread SET system_prompt = $2, options = $3 WHERE id = $1", thread.id, options.system_prompt, stored
    )


async def save_draft(
    user_id: uuid.UUID, thread: Thread | None, text: str, *, request_id: uuid.UUID | None = None
) -> None:
    """Keep what was typed and not sent yet: in a thread, or on the page of a new one.

    `request_id`: of that page. Once there is a thread of this id, its text was sent, and came here late.
    """
    if thread is None:
        await fetch(
            "UPDATE users SET draft = $2 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM thread WHERE id = $3)",
            user_id, text, request_id,
        )  # fmt: skip
    else:
        await fetch("UPDATE thread SET draft = $2 WHERE id = $1", thread.id, text)


async def choose_leaf(thread: Thread, leaf: uuid.UUID) -> None:
    """Make another branch the active one."""
    async with transaction():
        rows = await fetch(
            "UPDATE thread SET leaf = $2, version = version + 1 WHERE id = $1"
            " AND EXISTS (SELECT 1 FROM message WHERE id = $2 AND thread = $1) RETURNING version",
            thread.id, leaf,
        )  # fmt: skip
        for row in rows:
            await tell(News(key=f"thread:{thread.id}", event="branch", version=row["version"]))


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


_MINE = f"SELECT t.* FROM thread AS t WHERE t.id = $1 AND {may_read('$2')}"

_MESSAGE = [column._meta.db_column_name for column in Message._meta.columns]
_THREAD = [column._meta.db_column_name for column in Thread._meta.columns]

_MY_MESSAGE = f"""
SELECT {FAMILY}, {", ".join([*(f'm."{name}"' for name in _MESSAGE), *(f't."{name}"' for name in _THREAD)])}
FROM message AS m JOIN thread AS t ON t.id = m.thread
WHERE m.id = $1 AND {may_read("$2")}
"""
