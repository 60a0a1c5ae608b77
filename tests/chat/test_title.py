"""Names of threads: what a model says, as a title; when it is asked, and what is kept of that."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from app.chat import counters
from app.chat.new_message import NewMessage
from app.chat.requests import Sent, list_sent
from app.chat.stop import stop
from app.chat.threads import my_message
from app.chat.title import first_words
from app.chat.title_rules import believed_title
from app.chat.turn import Turn, continue_answer, start_turn
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.settings import read
from tests.chat.circuits import add_models
from tests.chat.conftest import SETTINGS, Chat, working
from tests.scripted import OPENAI, Send, Wait, chunk, whole
from tests.watching import until

BELIEVED = {
    "Tides and the moon": "Tides and the moon",
    '"Tides and the moon."\n': "Tides and the moon",
    "„Gezeiten und der Mond“": "Gezeiten und der Mond",
    "«Les marées et la lune»": "Les marées et la lune",
    "Wie Ebbe und Flut entstehen": "Wie Ebbe und Flut entstehen",
    "2. Weltkrieg im Überblick": "2. Weltkrieg im Überblick",
    "潮汐与月亮的关系": "潮汐与月亮的关系",
    "月と潮の満ち引き": "月と潮の満ち引き",
    "「月と潮の満ち引き」": "月と潮の満ち引き",
    "달과 조수": "달과 조수",
    "القمر والمد والجزر": "القمر والمد والجزر",
    "C# and the $5 question: how?": "C# and the $5 question: how?",
    "Here Comes the Sun": "Here Comes the Sun",
    "Sure-fire ways to bake bread": "Sure-fire ways to bake bread",
    "The User Interface of Ships": "The User Interface of Ships",
    "Title-winning seasons": "Title-winning seasons",
    "Great Britain": "Great Britain",
    "Hello, World in C": "Hello, World in C",
    "I Will Survive": "I Will Survive",
    "Create a Title Page in LaTeX": "Create a Title Page in LaTeX",
    "New Chat App Design": "New Chat App Design",
    "Undefined Behavior in C": "Undefined Behavior in C",
    "The Topic Sentence Explained": "The Topic Sentence Explained",
    "Results: UEFA Cup": "Results: UEFA Cup",
    "a\x07b\u202ec": "abc",
    "one two three four five six seven eight": "one two three four five six seven eight",
    "x" * 60: "x" * 60,
}

NOT_BELIEVED = [
    "", "\n\n  \n", "…", "***", '"".',
    "<think>They ask of tides", "<think>They ask</think>\nTides", "<b>Tides</b>", "Tides<|im_end|>", "[/INST] Tides",
    '{"title": "Tides"}', '{"title":', '["Tides"]', "```", "```json", "`Tides`", "~~~",
    "**Tides**", "# Tides", "- Tides", "> Tides", "*Tides*", "__Tides__", "[Tides](https://example.org)", "$$x$$",
    "Tides\nBecause you asked", "Tides\n\nMoons",
    "Here's a title for it:", "Here is your title: Tides", "Here’s one", "Here are some titles", "Tides:", "标题：",
    "Title: Tides", "**Title:** Tides", "Suggested title: Tides", "Titel: Gezeiten", "Titre : Marées", "标题：潮汐",
    "タイトル：潮",
    "Sure! Tides", "Sure, here you go", "Sure", "Certainly!", "Of course.", "Okay, so", "Thanks!", "Sure thing",
    "I'm sorry, but I can't do that.", "I’m sorry", "Sorry", "I cannot help with that", "I can't", "I am unable to",
    "As an AI language model, I", "As a language model", "I'm an AI assistant", "Unfortunately, I", "I apologize",
    "The title is Tides", "This conversation is about tides", "The user asks about tides", "Let me think about it",
    "Hier ist ein Titel", "Gerne!", "Als KI kann ich das nicht", "Es tut mir leid", "Leider nicht",
    "Voici un titre", "Bien sûr !", "Je suis désolé", "¡Claro!"[1:], "Lo siento", "Aquí tienes",
    "My suggestion: Tides", "A good title would be: Tides", "A fitting title is Tides", "I'd call it Tides", "I suggest 'Tides'",
    "Final answer: Tides", "Response: Tides", "Assistant: Tides", "(Title: Tides)", "Hmm, tides", "Well, tides", "Got it! Tides",
    "Hello! How can I help?", "Can you clarify?", "What would you like to know?", "It seems like you ask of tides",
    "You asked about tides", "The conversation discusses tides", "The topic is tides", "Give this conversation a title",
    "Creating a title for this conversation", "No title", "None", "null", "Untitled", "New chat", "Title", "analysis",
    "_Tides_", "$x$", "Tides | Moon |", "К сожалению, я не могу", "Конечно! Прилив", "죄송합니다", "عنوان: المد",
    "好的，潮汐", "抱歉，我不能", "作为一个AI", "申し訳ありません", "もちろん",
    "one two three four five six seven eight nine", "x" * 61, "word " * 40,
]  # fmt: skip


@pytest.mark.parametrize("said", BELIEVED)
def test_a_title_is_one_short_line_of_words(said: str) -> None:
    assert believed_title(said) == BELIEVED[said]


@pytest.mark.parametrize("said", NOT_BELIEVED)
def test_what_is_no_title_is_not_believed(said: str) -> None:
    assert believed_title(said) == ""


@pytest.mark.parametrize(
    ("said", "question", "is_believed"),
    [
        ("Capital of France", "What is the capital of France?", True),
        ("FRANCE", "what is the capital of france", True),
        ("The History of Asia", "What is the capital of France?", False),
        ("What is it", "What is the capital of France?", False),
        ("法国的首都", "法国的首都是哪里？", True),
        ("亚洲历史", "法国的首都是哪里？", False),
        ("Hauptstadt Frankreichs", "Wie heißt die Hauptstadt von Frankreich?", True),
    ],
)
def test_a_small_model_must_speak_of_the_question(said: str, question: str, is_believed: bool) -> None:
    assert believed_title(said, question, must_share_a_word=True) == (said if is_believed else "")
    assert believed_title(said, question) == said


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


async def title_of(turn: Turn) -> str:
    """The thread's title, once its model gave it one."""
    named = "SELECT title FROM thread WHERE id = $1 AND is_named"
    rows = await until("a title", lambda: fetch(named, turn.thread))
    return str(rows[0]["title"])


async def test_a_first_answer_that_was_stopped_and_went_on_names_its_thread(chat: Chat, namer: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("The moon"))), Wait(asyncio.Event()))
    turn = await chat.ask("# **What** is `near`?\n\n- the [moon](https://example.org)?")
    await chat.until_said(turn.answer, "The moon")
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
    chat.server.script(*OPENAI.answer(["Yes."]))
    chat.server.script(*whole(OPENAI.error_body("Overloaded"), 503))
    turn = await chat.ask()
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

    async def naming() -> list[Sent]:
        return [one for one in await list_sent(turn.answer) if one.is_naming and one.calls]

    return (await until("the end of the call for a title", naming))[0]


async def test_the_call_that_names_a_thread_is_kept_with_what_it_took_and_cost(chat: Chat, namer: Worker) -> None:
    await fetch("""UPDATE model SET set_by_owner = '{"input_price": 2, "output_price": 10}'""")
    chat.server.script(*OPENAI.answer(["Near."], usage=(10, 2)))
    chat.server.script(*OPENAI.answer(["What is near"], usage=(30, 4)))
    before = counters.TOKENS._values.get(("in",), 0)
    turn = await chat.ask("What is near?")
    await title_of(turn)
    await naming_of(turn)
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


@pytest.mark.parametrize("said", ["Sure! Here's a title:", "I'm sorry, I can't", '{"title": "Near"}', "**Near**"])
async def test_the_first_words_stay_where_no_title_is_given(said: str, chat: Chat, namer: Worker) -> None:
    chat.server.script(*OPENAI.answer(["Near."]))
    chat.server.script(*OPENAI.answer([said]))
    turn = await chat.ask("What is near?")
    await naming_of(turn)
    await asyncio.sleep(0.1)
    assert [dict(row) for row in await fetch("SELECT title, is_named FROM thread")] == [
        {"title": "What is near?", "is_named": False}
    ]


async def test_thoughts_and_tokens_are_no_part_of_a_title(chat: Chat, namer: Worker) -> None:
    chat.server.script(*OPENAI.answer(["Near."]))
    chat.server.script(*OPENAI.answer(["<think>They\n\nask</think>\n\nA near", " thing<|im_end|>"]))
    assert await title_of(await chat.ask("What is near?")) == "A near thing"


@contextlib.asynccontextmanager
async def named_by(database: str, model: str) -> AsyncIterator[None]:
    """A worker whose setting says what names threads."""
    settings = read({"PARLEY_DRAIN_SECONDS": "0", "PARLEY_TITLE_MODEL": model})
    async with working(database, settings, names=True):
        yield


async def test_another_model_names_threads_where_the_setting_says_so(chat: Chat, database: str) -> None:
    chat.server.models = [*chat.server.models, "titler"]
    await fetch(
        "INSERT INTO model (id, provider, name, said, known, seen_at, seen_since)"
        " SELECT $1, id, 'titler', '{}', '{}', now(), now() FROM provider WHERE name = 'Scripted'",
        new_id(),
    )
    chat.server.script(*OPENAI.answer(["Near. " * 2_000]))
    chat.server.script(*OPENAI.answer(["A near thing"], usage=(30, 4)))
    async with named_by(database, "Scripted/titler"):
        turn = await chat.ask("What is near?")
        assert await title_of(turn) == "A near thing"
        named = await naming_of(turn)
    asked = chat.server.questions[-1].json
    assert named.body == asked
    assert (asked["model"], [message["role"] for message in asked["messages"]]) == (
        "titler",
        ["user", "assistant", "user"],
    )
    assert asked["messages"][0]["content"] == "What is near?"
    assert len(asked["messages"][1]["content"]) == 4_000
    assert (named.calls[0]["model"], named.calls[0]["usage"]["output_tokens"]) == ("titler", 4)


@pytest.mark.parametrize("column", ["is_hidden = true", "down_since = now()"], ids=["hidden", "silent"])
async def test_a_model_that_is_hidden_or_not_answering_names_nothing(column: str, chat: Chat, database: str) -> None:
    provider = (await fetch("SELECT provider FROM model WHERE id = $1", chat.model))[0]["provider"]
    (titler,) = await add_models(provider, "titler")
    await fetch(f"UPDATE model SET {column} WHERE id = $1", titler)
    async with named_by(database, "titler"):
        turn = await chat.ask("What is near?")
        await chat.final(turn.answer)
        await asyncio.sleep(0.2)
    assert [asked.json["model"] for asked in chat.server.questions] == ["scripted"]
    assert [row["title"] for row in await fetch("SELECT title FROM thread")] == ["What is near?"]


@pytest.mark.parametrize("model", ["off", "Nobody/gone"])
async def test_without_a_model_that_names_the_first_words_stay(model: str, chat: Chat, database: str) -> None:
    async with named_by(database, model):
        turn = await chat.ask("What is near?")
        await chat.final(turn.answer)
        await asyncio.sleep(0.2)
    assert len(chat.server.questions) == 1
    assert [row["title"] for row in await fetch("SELECT title FROM thread")] == ["What is near?"]
