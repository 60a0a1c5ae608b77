"""The sidebar's pages go on where the last one ended, and what is told of it says what a page needs to move one thread."""

import uuid

import pytest

from app.chat.sidebar import LENGTH, find_mark, list_threads
from app.chat.threads import delete_thread, my_message, my_thread
from app.chat.title import store_title
from app.chat.turn import continue_answer, start_sibling
from app.chat.worker import Worker
from app.database import fetch, new_id
from tests.chat.conftest import Chat
from tests.watching import news_of, within


async def add_threads(chat: Chat, count: int) -> list[uuid.UUID]:
    """Threads without messages, the newest first."""
    ids = [new_id() for _ in range(count)]
    await fetch(
        'INSERT INTO thread (id, "user", title, created_at, updated_at)'
        " SELECT id, $2, 'Thread ' || n, now(), now() - make_interval(mins => n::int)"
        " FROM unnest($1::uuid[]) WITH ORDINALITY AS w (id, n)",
        ids, chat.user,
    )  # fmt: skip
    return ids


@pytest.mark.parametrize("change", ["DELETE FROM thread", "UPDATE thread SET updated_at = now()"])
async def test_older_threads_follow_though_the_last_one_shown_was_used_or_deleted(chat: Chat, change: str) -> None:
    ids = await add_threads(chat, LENGTH + 3)
    shown, last = await list_threads(chat.user)
    assert last is not None
    assert [row["id"] for row in shown] == ids[:LENGTH]
    await fetch(f"{change} WHERE id = $1", last["id"])
    older, after = await list_threads(chat.user, last["id"], last["updated_at"])
    assert [row["id"] for row in older] == ids[LENGTH:]
    assert after is None


async def test_whatever_a_sidebar_shows_changes_its_mark(chat: Chat) -> None:
    first, second, *_ = await add_threads(chat, 3)
    marks = [await find_mark(chat.user)]
    await store_title(second, "Renamed")
    marks.append(await find_mark(chat.user))
    await fetch("UPDATE thread SET updated_at = now() WHERE id = $1", second)
    marks.append(await find_mark(chat.user))
    await delete_thread(await my_thread(chat.user, first))
    marks.append(await find_mark(chat.user))
    await chat.ask()
    marks.append(await find_mark(chat.user))
    await fetch("UPDATE generation SET state = 'ended'")
    marks.append(await find_mark(chat.user))
    assert len(set(marks)) == len(marks)
    assert await find_mark(chat.user) == marks[-1]


async def test_every_way_to_begin_and_end_an_answer_is_told_to_the_pages_of_its_person(
    chat: Chat, worker: Worker, database: str
) -> None:
    async with news_of(database) as news:
        turn = await chat.ask()
        answer = await chat.final(turn.answer)
        message, _thread = await my_message(chat.user, turn.answer)
        again = await start_sibling(chat.user, message, None)
        await chat.final(again.answer)
        await fetch("UPDATE message SET status = 'stopped' WHERE id = $1", again.answer)
        stopped, thread = await my_message(chat.user, again.answer)
        await continue_answer(chat.user, stopped)
        await chat.final(again.answer)
        await delete_thread(thread)
        told = []
        async with within("word of the deletion"):
            while not told or told[-1]["event"] != "removed":
                if (one := await news.get())["key"] == f"user:{chat.user}":
                    told.append(one)
    assert [one["event"] for one in told] == ["busy", "idle"] * 3 + ["removed"]
    assert {one["thread"] for one in told} == {str(turn.thread)}
    moments = [one["at"] for one in told[:-1]]
    assert moments == sorted(moments)
    assert answer["finished_at"].isoformat(timespec="microseconds") == moments[1]  # type: ignore[attr-defined]
