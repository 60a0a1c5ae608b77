"""A thread's messages as a tree: the active branch, windows of it, and each message's siblings."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from app.database import as_row, fetch
from app.live import Row
from app.providers.base import ChatMessage
from app.tables.message import Message

#: How many messages a page opens with, and how many more each step upward loads.
WINDOW = 40


async def list_window(leaf: uuid.UUID | None, *, size: int = WINDOW) -> tuple[list[Message], uuid.UUID | None]:
    """The last `size` messages of the branch that ends at `leaf`, oldest first, and the id of the one above them."""
    if leaf is None:
        return [], None
    messages = [with_siblings(row, row["family"]) for row in reversed(await fetch(_WINDOW, leaf, size))]
    above = messages[0].parent if messages else None
    return messages, above if len(messages) == size else None


async def list_ends(leaf: uuid.UUID | None) -> list[uuid.UUID]:
    """The last message of every window of the branch that ends at `leaf`, from the oldest window on."""
    return [row["id"] for row in await fetch(_ENDS, leaf, WINDOW)] if leaf else []


async def find_message(message_id: uuid.UUID) -> Message:
    """One message that certainly exists."""
    messages, _above = await list_window(message_id, size=1)
    return messages[0]


async def list_after(leaf: uuid.UUID | None, after: uuid.UUID) -> list[Message]:
    """The messages of the active branch below `after`, oldest first; the whole window if `after` is not in it."""
    messages, _older = await list_window(leaf)
    ids = [message.id for message in messages]
    return messages[ids.index(after) + 1 :] if after in ids else messages


async def find_end(message_id: uuid.UUID) -> uuid.UUID:
    """The leaf that one reaches from a message by always taking the newest child."""
    rows = await fetch(_DOWNWARD, message_id)
    return rows[0]["id"] if rows else message_id


async def load_running(message: Message) -> list[Row]:
    """The stored deltas of the generation that writes this message now; empty if none does, or none has begun to."""
    if message.status == "queued":
        return []
    rows = await fetch(_RUNNING, message.id)
    return [(row["seq"], row["kind"], row["body"]) for row in rows]


def with_siblings(columns: Mapping[str, Any], family: list[uuid.UUID] | None) -> Message:
    """A message that knows its place in its `FAMILY`."""
    message = as_row(Message, columns)
    family = family or [message.id]
    place = family.index(message.id)
    message.sibling_count, message.sibling_index = len(family), place + 1
    message.previous_sibling = family[place - 1] if place else None
    message.next_sibling = family[place + 1] if place + 1 < len(family) else None
    return message


def decode_branch(branch: str) -> tuple[ChatMessage, ...]:
    """What `BRANCH` found."""
    return _branch.decode(branch)


_branch = msgspec.json.Decoder(tuple[ChatMessage, ...])

_COLUMNS = ", ".join(f'm."{column._meta.db_column_name}"' for column in Message._meta.columns)

#: A column of the message `m`: an answer and the other answers to its question, a question and its other versions, oldest
#: first. The second way is an index's of its own: a thread has few roots, and no message of it need be looked at.
FAMILY = """
CASE WHEN m.parent IS NOT NULL THEN (SELECT array_agg(s.id ORDER BY s.id) FROM message AS s WHERE s.parent = m.parent)
    ELSE (SELECT array_agg(s.id ORDER BY s.id) FROM message AS s WHERE s.thread = m.thread AND s.parent IS NULL) END
AS family"""

_WINDOW = f"""
WITH RECURSIVE branch AS (
    SELECT id, parent, 1 AS step FROM message WHERE id = $1
    UNION ALL
    SELECT m.id, m.parent, b.step + 1 FROM message AS m JOIN branch AS b ON m.id = b.parent WHERE b.step < $2
)
SELECT {_COLUMNS}, {FAMILY} FROM branch AS b JOIN message AS m ON m.id = b.id ORDER BY b.step
"""

_ENDS = """
WITH RECURSIVE branch AS (
    SELECT id, parent, 0 AS step FROM message WHERE id = $1
    UNION ALL
    SELECT m.id, m.parent, b.step + 1 FROM message AS m JOIN branch AS b ON m.id = b.parent
)
SELECT id FROM branch WHERE step % $2 = 0 ORDER BY step DESC
"""

#: The whole branch above the message that `%s` names, as a part of a larger statement: JSON for `decode_branch`.
BRANCH = """(
    WITH RECURSIVE branch AS (
        SELECT id, parent, role, parts, 1 AS step FROM message WHERE id = %s
        UNION ALL
        SELECT m.id, m.parent, m.role, m.parts, b.step + 1 FROM message AS m JOIN branch AS b ON m.id = b.parent
    )
    SELECT json_agg(json_build_object('role', role, 'parts', parts) ORDER BY step DESC) FROM branch
)"""

_RUNNING = """
SELECT d.seq, d.kind, d.body FROM generation AS g JOIN delta AS d ON d.generation_id = g.id
WHERE g.message = $1 AND g.state <> 'ended' ORDER BY d.seq
"""

_DOWNWARD = """
WITH RECURSIVE path AS (
    SELECT $1::uuid AS id, 0 AS step
    UNION ALL
    SELECT (SELECT m.id FROM message AS m WHERE m.parent = p.id ORDER BY m.id DESC LIMIT 1), p.step + 1
    FROM path AS p WHERE p.id IS NOT NULL AND p.step < 100000
)
SELECT id FROM path WHERE id IS NOT NULL ORDER BY step DESC LIMIT 1
"""
