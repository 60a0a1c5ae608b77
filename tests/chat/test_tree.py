"""A thread's messages as a tree: windows, branches, siblings."""

import uuid

from app.chat.threads import choose_leaf, my_thread
from app.chat.tree import BRANCH, WINDOW, decode_branch, find_end, list_after, list_window
from app.database import fetch, fetch_row, new_id
from app.parts import decode_parts
from tests.chat.conftest import Chat


async def grow(thread: uuid.UUID, parent: uuid.UUID | None, depth: int, count: int) -> list[uuid.UUID]:
    """A chain of finished messages below `parent`."""
    ids = [new_id() for _ in range(count)]
    await fetch(
        "INSERT INTO message (id, thread, parent, depth, role, status, content)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[])",
        ids, [thread] * count, [parent, *ids[:-1]], [depth + n for n in range(count)],
        ["user" if (depth + n) % 2 == 0 else "assistant" for n in range(count)],
        ["complete"] * count, [f"message {depth + n}" for n in range(count)],
    )  # fmt: skip
    await fetch("UPDATE thread SET leaf = $2 WHERE id = $1", thread, ids[-1])
    return ids


async def empty_thread(chat: Chat) -> uuid.UUID:
    thread = new_id()
    await fetch(
        'INSERT INTO thread (id, "user", created_at, updated_at) VALUES ($1, $2, now(), now())', thread, chat.user
    )
    return thread


async def test_a_thread_opens_with_its_last_messages_and_the_way_up(chat: Chat) -> None:
    thread = await empty_thread(chat)
    ids = await grow(thread, None, 0, 3 * WINDOW)
    messages, older = await list_window(ids[-1])
    assert [message.id for message in messages] == ids[-WINDOW:]
    assert older == ids[-WINDOW - 1]
    above, older = await list_window(older)
    assert [message.id for message in above] == ids[-2 * WINDOW : -WINDOW]
    top, older = await list_window(older)
    assert ([message.id for message in top], older) == (ids[:WINDOW], None)


async def test_a_branch_is_whole(chat: Chat) -> None:
    ids = await grow(await empty_thread(chat), None, 0, 120)
    row = await fetch_row(f"SELECT {BRANCH % '$1'} AS branch", ids[-1])
    assert row is not None
    stored = {message["id"]: message for message in await fetch("SELECT id, role, parts FROM message")}
    expected = [(stored[one]["role"], decode_parts(stored[one]["parts"])) for one in ids]
    assert [(entry.role, entry.parts) for entry in decode_branch(row["branch"])] == expected


async def test_an_empty_thread_has_an_empty_window(chat: Chat) -> None:
    assert await list_window(None) == ([], None)


async def test_siblings_know_their_places(chat: Chat) -> None:
    thread = await empty_thread(chat)
    question, first = await grow(thread, None, 0, 2)
    (second,) = await grow(thread, question, 1, 1)
    below = await grow(thread, second, 2, 4)
    (third,) = await grow(thread, question, 1, 1)
    messages, _ = await list_window(below[-1])
    assert [message.id for message in messages] == [question, second, *below]
    shown = messages[1]
    assert (shown.sibling_index, shown.sibling_count) == (2, 3)
    assert (shown.previous_sibling, shown.next_sibling) == (first, third)
    assert (messages[0].sibling_count, messages[-1].sibling_count) == (1, 1)


async def test_another_branch_is_shown_to_its_end(chat: Chat) -> None:
    thread = await empty_thread(chat)
    question, first = await grow(thread, None, 0, 2)
    below = await grow(thread, first, 2, 6)
    await grow(thread, question, 1, 1)
    assert await find_end(first) == below[-1]
    mine = await my_thread(chat.user, thread)
    await choose_leaf(mine, await find_end(first))
    now = await my_thread(chat.user, thread)
    assert (now.leaf, now.version) == (below[-1], mine.version + 1)


async def test_a_leaf_of_another_thread_is_not_chosen(chat: Chat) -> None:
    ours, theirs = await empty_thread(chat), await empty_thread(chat)
    (mine,) = await grow(ours, None, 0, 1)
    (other,) = await grow(theirs, None, 0, 1)
    await choose_leaf(await my_thread(chat.user, ours), other)
    assert (await my_thread(chat.user, ours)).leaf == mine


async def test_what_came_after_a_message_is_listed(chat: Chat) -> None:
    thread = await empty_thread(chat)
    ids = await grow(thread, None, 0, 6)
    assert [message.id for message in await list_after(ids[-1], ids[3])] == ids[4:]
    assert [message.id for message in await list_after(ids[-1], ids[-1])] == []
    assert [message.id for message in await list_after(ids[-1], new_id())] == ids
