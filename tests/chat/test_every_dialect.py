"""A thread in every dialect that Parley speaks: what is stored, and that every request begins with the one before it."""

import json

import msgspec

from app.chat.new_message import NewMessage
from app.chat.requests import list_sent
from app.chat.stop import stop
from app.chat.turn import start_turn
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.parts import ReasoningPart, TextPart, decode_parts
from tests.chat.conftest import Chat
from tests.scripted import Dialect, Request, Send, Stall, chunk
from tests.watching import within


def asked(chat: Chat, dialect: Dialect, words: str) -> Request:
    """The question that ends in these words; others ask for a title."""
    [found] = [each for each in chat.server.questions if words in json.dumps(dialect.messages(each.json)[-1])]
    return found


async def test_a_thread_is_told_to_the_model_again_byte_for_byte(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    answer = dialect.answer(("Moon. \n", "Tide é𝄞."), thoughts=("Hm, ", "wait."), usage=(9, 4))
    chat.server.scripts["scripted"] = answer
    turn = await chat.ask("What is near 1?")
    before = b"["
    for number in range(1, 5):
        if number > 1:
            new = NewMessage(f"What is near {number}?", chat.model, new_id())
            turn = await start_turn(chat.user, turn.thread, new)
        stored = await chat.final(turn.answer)
        thought, text = decode_parts(str(stored["parts"]))
        assert isinstance(thought, ReasoningPart)
        assert (thought.text, text) == ("Hm, wait.", TextPart("Moon. \nTide é𝄞."))
        assert (stored["status"], stored["finish_reason"]) == ("complete", "stop")
        assert (stored["input_tokens"], stored["output_tokens"]) == (9, 4)
        question = asked(chat, dialect, f"near {number}?")
        written = msgspec.json.encode(dialect.messages(question.json))
        assert written.startswith(before)
        assert written in question.body
        assert (await list_sent(turn.answer))[-1].body == question.json
        before = written.removesuffix(b"]")


async def test_template_tokens_reach_neither_page_nor_next_prompt(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    chat.server.scripts["scripted"] = dialect.answer(("<|im_st", "art|>assistant\nMoon.<|im_", "end|>\n", "</s>"))
    turn = await chat.ask()
    stored = await chat.final(turn.answer)
    assert (stored["status"], stored["content"]) == ("complete", "Moon.")
    assert "im_" not in await chat.body(turn.answer)
    second = await start_turn(chat.user, turn.thread, NewMessage("What is near 2?", chat.model, new_id()))
    await chat.final(second.answer)
    sent = json.dumps(dialect.messages(asked(chat, dialect, "near 2?").json))
    assert "Moon." in sent
    assert "im_" not in sent


async def test_a_question_after_an_answer_without_a_word_makes_no_second_speaker(
    dialect: Dialect, chat: Chat, worker: Worker
) -> None:
    chat.server.script(dialect.head(), Stall())
    turn = await chat.ask("What is near 1?")
    await chat.server.next_question()
    await stop(turn.answer)
    assert (await chat.final(turn.answer))["status"] == "stopped"
    chat.server.script(*dialect.answer(("Moon.",)))
    second = await start_turn(chat.user, turn.thread, NewMessage("What is near 2?", chat.model, new_id()))
    assert (await chat.final(second.answer))["content"] == "Moon."
    [message] = dialect.messages(asked(chat, dialect, "near 2?").json)
    assert message["role"] == "user"
    assert "near 1?" in json.dumps(message)


async def test_an_answer_of_nothing_says_so(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    chat.server.script(*dialect.answer((), usage=(9, 0)))
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"], answer["content"]) == ("failed", "said_nothing", "")
    assert answer["error_sentence"] == "Scripted ended the answer without saying anything."
    assert answer["input_tokens"] == 9
    provider = (await fetch("SELECT state, failures FROM provider WHERE kind = $1", dialect.kind))[0]
    assert (provider["state"], provider["failures"]) == ("ok", 0)
    assert len(chat.server.questions) == 1


async def test_thoughts_or_a_call_are_an_answer(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    call = dialect.tool_call("c1", "look", {})
    for script in (dialect.answer((), thoughts=("Hm.",)), dialect.answer((), tool_calls=[call], reason="tool_calls")):
        chat.server.script(*script)
        answer = await chat.final((await chat.ask()).answer)
        assert (answer["status"], answer["error_sentence"]) == ("complete", "")


async def test_an_end_at_the_longest_length_is_no_silence(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    """The page says it already: a model may have spent all of it on thoughts that it keeps to itself."""
    chat.server.script(*dialect.answer((), reason="length"))
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["finish_reason"]) == ("complete", "length")


async def test_stopping_keeps_the_text_so_far_in_every_dialect(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    chat.server.script(dialect.head(), Send(chunk(dialect.text("One ") + dialect.text("two"))), Stall())
    turn = await chat.ask()
    question = await chat.server.next_question()
    await chat.until_said(turn.answer, "One two")
    await stop(turn.answer)
    stored = await chat.final(turn.answer)
    assert (stored["status"], stored["content"]) == ("stopped", "One two")
    async with within("the end of the connection to the model"):
        await question.closed.wait()
