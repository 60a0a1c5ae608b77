"""Going on with an answer: what comes is added to it, and where nothing comes it stays as it was, with the reason."""

import json
from typing import Any

import pytest

from app.chat.stop import stop
from app.chat.tree import find_message
from app.chat.turn import continue_answer
from app.chat.worker import Worker
from app.database import fetch
from tests.chat.conftest import Chat
from tests.scripted.dialects import OPENAI
from tests.scripted.steps import Close, Script, Send, Stall, chunk, whole

#: What a person sees of how an answer ended.
ENDING = (
    *("status", "finish_reason", "content", "html", "input_tokens", "output_tokens", "usage_is_exact"),
    *("first_token_ms", "duration_ms", "tokens_per_second", "cost"),
)


def cut_at_length(text: str, *usage: int) -> Script:
    """An answer that reached its longest allowed length; tokens in and out."""
    counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    end = OPENAI.finish("length").removesuffix(OPENAI.end_marker)
    last = b"data: %s\n\n" % json.dumps({"choices": [], "usage": counted}).encode()
    return OPENAI.stream(OPENAI.text(text), end + last + OPENAI.end_marker)


async def begun(chat: Chat, text: str = "One two ") -> Any:
    """An answer of two tokens that ended at its longest length."""
    chat.server.script(*cut_at_length(text, 5, 2))
    return await chat.final((await chat.ask()).answer)


async def go_on(chat: Chat, answer: Any) -> Any:
    await continue_answer(chat.user, await find_message(answer["id"]))
    return await chat.final(answer["id"])


async def test_what_a_continued_answer_took_is_added_up(chat: Chat, worker: Worker) -> None:
    await fetch("UPDATE model SET set_by_owner = $1", '{"input_price": 1000000, "output_price": 1000000}')
    answer = await begun(chat)
    chat.server.script(*cut_at_length("three", 7, 1))
    done = await go_on(chat, answer)
    assert done["content"] == "One two three"
    assert (done["input_tokens"], done["output_tokens"], done["usage_is_exact"]) == (12, 3, True)
    assert done["cost"] == answer["cost"] + 8
    assert done["first_token_ms"] == answer["first_token_ms"]
    assert done["duration_ms"] >= answer["duration_ms"]
    chat.server.script(*OPENAI.answer([" four"], usage=None))
    assert (await go_on(chat, done))["usage_is_exact"] is False


async def test_words_are_joined_with_the_space_that_is_due(chat: Chat, worker: Worker) -> None:
    answer = await begun(chat, "One two")
    chat.server.script(*cut_at_length("three", 7, 1))
    answer = await go_on(chat, answer)
    assert answer["content"] == "One two three"
    assert "One two three" in await chat.body(answer["id"])
    chat.server.script(*OPENAI.answer([", four"]))
    assert (await go_on(chat, answer))["content"] == "One two three, four"


async def test_counts_that_their_columns_cannot_hold_together_cost_no_answer(chat: Chat, worker: Worker) -> None:
    answer = await begun(chat)
    await fetch("UPDATE message SET input_tokens = 2147483647, output_tokens = NULL WHERE id = $1", answer["id"])
    chat.server.script(*cut_at_length("three", 7, 1))
    done = await go_on(chat, answer)
    assert (done["content"], done["error_code"]) == ("One two three", "")
    assert (done["input_tokens"], done["output_tokens"]) == (2**31 - 1, None)


async def test_an_answer_that_is_gone_on_from_may_have_had_its_end(chat: Chat, worker: Worker) -> None:
    answer = await begun(chat)
    chat.server.script(*OPENAI.answer((), usage=(7, 0)))
    done = await go_on(chat, answer)
    assert (done["status"], done["finish_reason"], done["content"]) == ("complete", "stop", "One two ")
    assert (done["error_code"], done["error_sentence"]) == ("", "")


async def test_an_answer_that_does_not_fit_keeps_its_text_and_its_end(chat: Chat, worker: Worker) -> None:
    answer = await begun(chat, "One two " * 500)
    await fetch("UPDATE model SET set_by_owner = $1", '{"context_window": 1000}')
    refused = await go_on(chat, answer)
    assert {name: refused[name] for name in ENDING} == {name: answer[name] for name in ENDING}
    assert refused["error_code"] == "context_overflow"
    assert "Nothing was sent." in refused["error_sentence"]
    assert len(chat.server.questions) == 1
    await fetch("UPDATE model SET set_by_owner = '{}'")
    chat.server.script(*cut_at_length("three", 7, 1))
    done = await go_on(chat, refused)
    assert (done["content"], done["error_code"], done["error_sentence"]) == ("One two " * 500 + "three", "", "")


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "broken off"])
async def test_an_answer_that_broke_off_and_is_refused_is_still_one_that_broke_off(
    chat: Chat, worker: Worker, is_stopped: bool
) -> None:
    head = OPENAI.head(), Send(chunk(OPENAI.text("One ")))
    chat.server.script(*head, Stall() if is_stopped else Close())
    turn = await chat.ask()
    if is_stopped:
        await chat.until_said(turn.answer, "One ")
        await stop(turn.answer)
    answer = await chat.final(turn.answer)
    chat.server.script(*whole(OPENAI.error_body("no"), 400))
    refused = await go_on(chat, answer)
    assert {name: refused[name] for name in ENDING} == {name: answer[name] for name in ENDING}
    assert refused["status"] == ("stopped" if is_stopped else "interrupted")
    assert "no" in refused["error_sentence"]


async def test_stopping_before_it_went_on_changes_nothing(chat: Chat, worker: Worker) -> None:
    answer = await begun(chat)
    chat.server.script(Stall())
    await continue_answer(chat.user, await find_message(answer["id"]))
    await chat.server.next_question(2)
    await stop(answer["id"])
    kept = await chat.final(answer["id"])
    assert {name: kept[name] for name in (*ENDING, "error_code")} == {
        name: answer[name] for name in (*ENDING, "error_code")
    }


async def test_what_was_never_sent_took_no_tokens(chat: Chat, worker: Worker) -> None:
    await fetch("UPDATE model SET set_by_owner = $1", '{"context_window": 256}')
    answer = await chat.final((await chat.ask("word " * 2_000)).answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "context_overflow")
    assert (answer["input_tokens"], answer["output_tokens"]) == (None, None)
