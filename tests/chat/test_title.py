"""Names of threads: what a model says, as a title; when it is asked, and what is kept of that."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.chat import counters
from app.chat.new_message import NewMessage
from app.chat.requests import Sent, list_sent
from app.chat.stop import stop
from app.chat.threads import my_message
from app.chat.title import clean_title, first_words
from app.chat.turn import Turn, continue_answer, start_turn
from app.chat.worker import Worker
from app.database import fetch, new_id
from tests.chat.conftest import SETTINGS, Chat, working
from tests.scripted import OPENAI, Send, Wait, chunk, whole


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Tides and the moon", "Tides and the moon"),
        ('"Tides and the moon."\n', "Tides and the moon"),
        ("**Title:** Tides", "Tides"),
        ("# Tides\nBecause you asked", "Tides"),
        ("<think>They ask of tides</think>\nTides", "Tides"),
        ("<think>never ends", ""),
        ("", ""),
        ("\n\n  \n", ""),
        ("a\x07b\u202ec", "abc"),
        ("word " * 40, ("word " * 16)[:79].rstrip() + "…"),
    ],
)
def test_a_title_is_one_line_of_words(said: str, title: str) -> None:
    assert clean_title(said) == title


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is near?", "What is near?"),
        ("  Two\n lines ", "Two lines"),
        ("word " * 20, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 60 + "…"),
        ("# **Tides** and `moons_rise`\n\n* how?", "Tides and moons_rise how?"),
        ("snake_case, 2 * 3 * 4 and $5 <div>?", "snake_case, 2 * 3 * 4 and $5 <div>?"),
        ("***", "***"),
    ],
)
def test_until_then_the_first_words_are_the_name(question: str, title: str) -> None:
    assert first_words(question) == title


async def test_a_new_thread_bears_the_first_words_at_once(chat: Chat, worker: Worker) -> None:
    turn = await chat.ask("What is near?")
    assert [row["title"] for row in await fetch("SELECT title FROM thread")] == ["What is near?"]
    await chat.final(turn.answer)


@pytest.fixture
async def namer(chat: Chat, database: str) -> AsyncIterator[Worker]:
    """A worker that asks for titles, as the program's own does."""
    async with working(database, SETTINGS, names=True) as made:
        yield made


async def title_of(turn: Turn, seconds: float = 5) -> str:
    """The thread's title, once its model gave it one."""
    named = "SELECT title FROM thread WHERE id = $1 AND is_named"
    async with asyncio.timeout(seconds):
        while not (rows := await fetch(named, turn.thread)):  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.02)
    return str(rows[0]["title"])


async def test_a_first_answer_that_was_stopped_and_went_on_names_its_thread(chat: Chat, namer: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("The moon"))), Wait(asyncio.Event()))
    turn = await chat.ask("# **What** is `near`?\n\n- the [moon](https://example.org)?")
    async with asyncio.timeout(5):
        while not await fetch("SELECT 1 FROM delta"):  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.02)
    await stop(turn.answer)
    await chat.final(turn.answer)
    assert [row["title"] for row in await fetch("SELECT title FROM thread")] == ["What is near? the moon?"]
    chat.server.script(*OPENAI.answer([" is near."]))
    chat.server.script(*OPENAI.answer(["A near thing"]))
    await continue_answer(chat.user, (await my_message(chat.user, turn.answer))[0])
    assert await title_of(turn) == "A near thing"
    asked = chat.server.questions[-1].json["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert asked[1]["content"] == "The moon is near."


async def test_a_thread_whose_first_answer_failed_is_named_after_the_first_that_did_not(
    chat: Chat, namer: Worker
) -> None:
    chat.server.script(*whole(OPENAI.error_body("No such model"), 404))
    turn = await chat.ask()
    await chat.final(turn.answer)
    assert (await fetch("SELECT is_named FROM thread"))[0]["is_named"] is False
    chat.server.script(*OPENAI.answer(["Yes."]))
    chat.server.script(*OPENAI.answer(["At last"]))
    await start_turn(chat.user, turn.thread, NewMessage("And now?", chat.model, new_id()))
    assert await title_of(turn) == "At last"


async def test_a_model_that_gave_no_title_is_not_asked_again(chat: Chat, namer: Worker) -> None:
    turn = await chat.ask()
    chat.server.script(*OPENAI.answer(["Yes."]))
    chat.server.script(*whole(OPENAI.error_body("Overloaded"), 503))
    await chat.final(turn.answer)
    sent = await naming_of(turn)
    assert sent.calls[0]["error"]
    again = await start_turn(chat.user, turn.thread, NewMessage("And now?", chat.model, new_id()))
    await chat.final(again.answer)
    await asyncio.sleep(0.2)
    assert len(chat.server.questions) == 3
    assert (await fetch("SELECT is_named FROM thread"))[0]["is_named"] is False


async def naming_of(turn: Turn) -> Sent:
    """The call that asked for a title, once it is over."""
    async with asyncio.timeout(5):
        while not (found := [one for one in await list_sent(turn.answer) if one.is_naming and one.calls]):  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.02)
    return found[0]


async def test_the_call_that_names_a_thread_is_kept_with_what_it_took_and_cost(chat: Chat, namer: Worker) -> None:
    await fetch("""UPDATE model SET set_by_owner = '{"input_price": 2, "output_price": 10}'""")
    chat.server.script(*OPENAI.answer(["Near."], usage=(10, 2)))
    chat.server.script(*OPENAI.answer(["What is near"], usage=(30, 4)))
    before = counters.TOKENS._values.get(("in",), 0)
    turn = await chat.ask("What is near?")
    await title_of(turn)
    answer, named = await list_sent(turn.answer)
    assert (answer.is_naming, answer.body) == (False, chat.server.questions[0].json)
    assert (named.is_naming, named.body) == (True, chat.server.questions[1].json)
    [call] = named.calls
    assert (call["error"], call["usage"]["input_tokens"], call["usage"]["output_tokens"]) == ("", 30, 4)
    assert call["cost"] == pytest.approx((30 * 2 + 4 * 10) / 1_000_000)
    assert counters.TOKENS._values[("in",)] - before == 40
    message = await chat.message(turn.answer)
    assert (message["input_tokens"], message["output_tokens"]) == (10, 2)


async def test_a_title_whose_tokens_nobody_counted_is_estimated(chat: Chat, namer: Worker) -> None:
    chat.server.script(*OPENAI.answer(["Near."]))
    chat.server.script(*OPENAI.answer(["What is near"]))
    named = await naming_of(await chat.ask("What is near?"))
    usage = named.calls[0]["usage"]
    assert (usage["output_tokens"], usage["is_exact"]) == (len("What is near") // 4, False)
    assert usage["input_tokens"] > 0
