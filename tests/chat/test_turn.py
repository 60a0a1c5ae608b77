"""Starting turns: all of one or nothing, once for each request, and never in each other's way."""

import asyncio

import pytest

from app.chat.new_message import NewMessage
from app.chat.stop import stop
from app.chat.threads import delete_thread, my_thread
from app.chat.title import first_words
from app.chat.tree import list_window
from app.chat.turn import continue_answer, start_sibling, start_thread, start_turn
from app.chat.worker import Worker
from app.database import fetch, new_id, transaction
from app.errors import Conflict, Invalid, NotFound
from app.tables.message import Message
from tests.chat.conftest import Chat
from tests.scripted import OPENAI, Send, Stall, chunk
from tests.watching import until


async def _message(chat: Chat, message_id: object) -> Message:
    row = (await fetch("SELECT * FROM message WHERE id = $1", message_id))[0]
    columns = {column._meta.db_column_name for column in Message._meta.columns}
    return Message(**{name: value for name, value in dict(row).items() if name in columns}, _exists_in_db=True)


async def test_question_answer_generation_and_job_are_committed_together(chat: Chat) -> None:
    turn = await chat.ask("Hello")
    rows = await fetch("SELECT role, status, content, parent FROM message ORDER BY depth")
    assert [tuple(row) for row in rows] == [
        ("user", "complete", "Hello", None),
        ("assistant", "queued", "", turn.question),
    ]
    generation = (await fetch("SELECT id, state, attempt FROM generation"))[0]
    assert (generation["state"], generation["attempt"]) == ("queued", 0)
    jobs = await fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'generation'")
    assert [job["payload"].decode() for job in jobs] == [str(generation["id"])]


async def test_a_turn_that_is_rolled_back_never_was(chat: Chat) -> None:
    async def fail() -> None:
        async with transaction():
            await chat.ask()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    for table in ("thread", "message", "generation", "pgqueuer"):
        assert not await fetch(f"SELECT 1 FROM {table}")


async def test_a_second_question_waits_for_the_answer(chat: Chat) -> None:
    turn = await chat.ask()
    with pytest.raises(Conflict, match="still being written"):
        await start_turn(chat.user, turn.thread, NewMessage("More", chat.model, new_id()))
    with pytest.raises(Conflict):
        await start_sibling(chat.user, await _message(chat, turn.answer), None)
    assert len(await fetch("SELECT 1 FROM message")) == 2


async def test_of_two_devices_that_send_at_once_one_asks(chat: Chat, worker: Worker) -> None:
    turn = await chat.ask()
    await chat.final(turn.answer)
    chat.server.script(Stall())
    sends = [start_turn(chat.user, turn.thread, NewMessage(f"{n}", chat.model, new_id())) for n in range(10)]
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 9
    assert len(await fetch("SELECT 1 FROM message")) == 4


async def test_a_stranger_finds_no_thread_even_by_a_request_of_hers(chat: Chat) -> None:
    turn = await chat.ask()
    with pytest.raises(NotFound):
        await start_turn(new_id(), turn.thread, NewMessage("Mine?", chat.model, new_id()))
    bob = new_id()
    await fetch(
        "INSERT INTO users (id, name, email, password_hash, created_at) VALUES ($1, 'Bob', 'bob@example.org', '', now())",
        bob,
    )
    with pytest.raises(NotFound):
        await start_thread(bob, NewMessage("Mine?", chat.model, turn.thread), options="{}", system_prompt="")
    assert len(await fetch("SELECT 1 FROM message")) == 2


async def test_a_model_that_is_gone_is_refused_before_anything_is_stored(chat: Chat) -> None:
    with pytest.raises(Invalid, match="Choose a model"):
        await start_thread(chat.user, NewMessage("Hi", new_id(), new_id()), options="{}", system_prompt="")
    assert not await fetch("SELECT 1 FROM thread")


async def test_an_answer_that_broke_off_goes_on_where_it_stopped(chat: Chat, worker: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One "))), Stall())
    chat.server.script(*OPENAI.answer(["two."]))
    turn = await chat.ask()
    await chat.until_said(turn.answer, "One ")
    await stop(turn.answer)
    await chat.final(turn.answer)
    await continue_answer(chat.user, await _message(chat, turn.answer))
    with pytest.raises(Conflict):
        await continue_answer(chat.user, await _message(chat, turn.answer))
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["content"]) == ("complete", "One two.")


async def test_questions_answers_stops_and_deletions_never_wait_for_each_other_for_ever(
    chat: Chat, worker: Worker
) -> None:
    """They lock the same rows: in another order Postgres would give one of them up for the other's sake."""
    chat.server.defaults[OPENAI.kind] = OPENAI.answer(["a ", "b"])
    before = (await fetch("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))[0]

    async def has_ended() -> bool:
        return not await fetch("SELECT 1 FROM generation WHERE state <> 'ended'")

    async def hurry(number: int) -> None:
        """Asks again and again without waiting, so that some questions meet the end of the answer before."""
        thread, asked = (await chat.ask()).thread, 0
        while asked < 12:
            try:
                turn = await start_turn(chat.user, thread, NewMessage("More", chat.model, new_id()))
            except Conflict:
                continue
            asked += 1
            if asked % 4 == number % 4:
                await stop(turn.answer)
        await delete_thread(await my_thread(chat.user, thread))

    await asyncio.gather(*(hurry(number) for number in range(6)))
    await until("the end of all answers", has_ended)
    after = (await fetch("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))[0]
    assert after == before


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Short", "Short"),
        ("  two \n words ", "two words"),
        ("word " * 30, "word " * 11 + "word…"),
        ("x" * 99, "x" * 60 + "…"),
    ],
)
def test_the_first_words_of_a_question_name_its_thread(text: str, title: str) -> None:
    assert first_words(text) == title


async def test_a_question_in_other_words_stands_beside_the_one_it_was(chat: Chat, worker: Worker) -> None:
    first = await chat.ask("Where?")
    await chat.final(first.answer)
    await fetch("UPDATE thread SET draft = 'Half a thought' WHERE id = $1", first.thread)
    new = NewMessage("Where else?", chat.model, new_id())
    turn = await start_turn(chat.user, first.thread, new, instead_of=first.question)
    await chat.final(turn.answer)
    assert (await start_turn(chat.user, first.thread, new, instead_of=first.question)).question == turn.question
    messages, _older = await list_window(turn.answer)
    question = messages[0]
    assert (question.content, question.depth, question.parent) == ("Where else?", 0, None)
    assert (question.sibling_count, question.previous_sibling) == (2, first.question)
    assert [entry["content"] for entry in chat.server.questions[-1].json["messages"]] == ["Where else?"]
    [thread] = await fetch("SELECT leaf, draft FROM thread")
    assert (thread["leaf"], thread["draft"]) == (turn.answer, "Half a thought")


async def test_an_answer_and_another_threads_question_cannot_be_put_in_other_words(chat: Chat, worker: Worker) -> None:
    one, other = await chat.ask("One?"), await chat.ask("Other?")
    for turn in (one, other):
        await chat.final(turn.answer)
    for message in (one.answer, other.question, new_id()):
        with pytest.raises(NotFound):
            await start_turn(chat.user, one.thread, NewMessage("x", chat.model, new_id()), instead_of=message)
    assert len(await fetch("SELECT 1 FROM message")) == 4
