"""The model that is tried next: only before the first token, said under the answer, and nothing lost on the way."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from app.chat import catalog, circuit, reachability
from app.chat.calls import MOST_CALLS
from app.chat.drawing import draw
from app.chat.removal import remove_provider
from app.chat.threads import my_message
from app.chat.tree import find_message
from app.chat.turn import continue_answer, start_sibling
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id
from app.jobs import enqueue
from app.live import Lost, Reader
from app.providers.client import make_client
from app.providers.errors import NotConnected
from tests.chat.conftest import SETTINGS, Chat
from tests.scripted import OPENAI, ScriptedServer, Send, chunk, whole
from tests.scripted.steps import Reset, Sleep, Wait
from tests.watching import within

BROKEN = whole(b'{"error": {"message": "out of oil"}}', status=503)


class Spare:
    """Another server with one model, "spare", which the first model falls back on."""

    def __init__(self, server: ScriptedServer, provider: uuid.UUID, model: uuid.UUID) -> None:
        self.server = server
        self.provider = provider
        self.model = model


@pytest.fixture
async def spare(chat: Chat) -> AsyncIterator[Spare]:
    async with ScriptedServer(["spare"]) as server, make_client() as client:
        provider = new_id()
        await fetch(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
            " VALUES ($1, 'openai', 'Spare server', $2, '', '', now(), true)",
            provider, server.url_for(OPENAI),
        )  # fmt: skip
        assert await catalog.refresh(provider, catalog.connector(client, SETTINGS)) == ""
        row = await fetch_row("SELECT id FROM model WHERE provider = $1", provider)
        assert row is not None
        await fall_back_on(chat.model, row["id"])
        yield Spare(server, provider, row["id"])


async def fall_back_on(model: uuid.UUID, *others: uuid.UUID) -> None:
    stored = msgspec.json.encode([str(other) for other in others]).decode()
    await fetch("UPDATE model SET fallbacks = $2::jsonb WHERE id = $1", model, stored)


def tried(answer: dict[str, object]) -> list[str]:
    return [one["model"] for one in msgspec.json.decode(str(answer["tried"]))]


async def attempts(answer: uuid.UUID) -> list[tuple[str, str]]:
    """Each call's model and error."""
    row = await fetch_row("SELECT provider_attempts FROM generation WHERE message = $1", answer)
    assert row is not None
    return [(one["model"], one["error"]) for one in msgspec.json.decode(row["provider_attempts"])]


async def shut(provider: uuid.UUID) -> None:
    await reachability.found_down(provider, NotConnected("It cannot be reached."))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (BROKEN, "overloaded"),
        ((Reset(),), "unreachable"),
        (whole(b'{"error": {"message": "bad key"}}', status=401), "key_rejected"),
        (whole(b'{"error": {"message": "slow down"}}', status=429, Retry_After="3600"), "rate_limited"),
        (whole(b"<html>Hello</html>", content_type="text/html"), "bad_answer"),
        (OPENAI.answer(()), "said_nothing"),
    ],
    ids=["503", "reset", "key", "429", "html", "nothing"],
)
async def test_the_next_model_answers_when_the_first_one_does_not(
    chat: Chat, spare: Spare, worker: Worker, fault: Any, error: str
) -> None:
    chat.server.script(*fault)
    turn = await chat.ask()
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["model_label"], answer["model"]) == ("complete", "spare", spare.model)
    assert answer["content"] == "Seven quiet lanterns drift over the harbour. "
    assert tried(answer) == ["scripted"]
    assert await attempts(turn.answer) == [("scripted", error), ("spare", "")]
    thread = await fetch_row("SELECT model FROM thread WHERE id = $1", turn.thread)
    assert thread is not None
    assert thread["model"] == chat.model, "what the person chose stays chosen"


@pytest.mark.parametrize(
    ("seconds", "time"),
    [("61", "2 minutes"), ("3600", "60 minutes"), ("7201", "3 hours"), ("100000000", "27,778 hours")],
)
async def test_a_pause_too_long_to_be_waited_for_is_named(chat: Chat, worker: Worker, seconds: str, time: str) -> None:
    chat.server.script(*whole(b'{"error": {"message": "slow down."}}', status=429, Retry_After=seconds))
    answer = await chat.final((await chat.ask()).answer)
    expected = f"Scripted asks to slow down: slow down. It wants to be asked again in {time}."
    assert (answer["status"], answer["error_sentence"]) == ("failed", expected)


async def test_after_the_first_token_nothing_else_is_called(chat: Chat, spare: Spare, worker: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One "))), Sleep(0.3), Reset())
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["content"], tried(answer)) == ("interrupted", "One ", [])
    assert spare.server.questions == []


async def test_what_is_down_is_passed_over(chat: Chat, spare: Spare, worker: Worker) -> None:
    await shut((await fetch("SELECT provider FROM model WHERE id = $1", chat.model))[0]["provider"])
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["model_label"], tried(answer)) == ("complete", "spare", ["scripted"])
    assert "is down" in str(answer["tried"])
    assert chat.server.questions == []


async def test_when_all_are_down_the_question_is_kept_and_can_be_tried_again(
    chat: Chat, spare: Spare, worker: Worker
) -> None:
    for row in await fetch("SELECT id FROM provider"):
        await shut(row["id"])
    turn = await chat.ask("Still there?")
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "all_down")
    assert "Your question is kept" in str(answer["error_sentence"])
    assert (await chat.message(turn.question))["content"] == "Still there?"
    assert chat.server.questions == spare.server.questions == []
    assert await circuit.list_answerable([turn.answer, turn.question]) == set()
    await reachability.found_up(spare.provider, 1, has_news=False)
    assert await circuit.list_answerable([turn.answer]) == {turn.answer}
    await fetch("UPDATE model SET is_hidden = true WHERE provider = $1", spare.provider)
    assert await circuit.list_answerable([turn.answer]) == set(), "a hidden model is not called"
    await fall_back_on(chat.model)
    assert await circuit.list_answerable([turn.answer]) == set(), "a model that would not be called does not count"
    for row in await fetch("SELECT id FROM provider"):
        await reachability.found_up(row["id"], 1, has_news=False)
    message, _thread = await my_message(chat.user, turn.answer)
    assert (await draw([message], chat.user))[0].is_back
    again = await start_sibling(chat.user, message, chat.model)
    assert (await chat.final(again.answer))["status"] == "complete"


async def test_a_model_that_was_deleted_since_the_claim_still_answers(chat: Chat, spare: Spare, worker: Worker) -> None:
    is_removed = asyncio.Event()
    chat.server.script(Wait(is_removed), *BROKEN)
    turn = await chat.ask()
    await chat.server.next_question()
    await remove_provider(spare.provider)
    is_removed.set()
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["error_code"], answer["model"]) == ("complete", "", None)
    assert (answer["model_label"], tried(answer)) == ("spare", ["scripted"])


async def test_the_last_one_is_called_again_and_no_more_than_that(chat: Chat, spare: Spare, worker: Worker) -> None:
    chat.server.script(*BROKEN)
    spare.server.answers[OPENAI.chat_path] = BROKEN
    turn = await chat.ask()
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["error_code"], tried(answer)) == ("failed", "overloaded", ["scripted"])
    assert len(chat.server.questions) == 1
    assert len(spare.server.questions) == MOST_CALLS
    assert [model for model, _error in await attempts(turn.answer)] == ["scripted"] + ["spare"] * MOST_CALLS


async def test_a_prompt_that_does_not_fit_goes_to_a_larger_window(chat: Chat, spare: Spare, worker: Worker) -> None:
    await fetch("UPDATE model SET set_by_owner = '{\"context_window\": 64}' WHERE id = $1", chat.model)
    turn = await chat.ask("word " * 400)
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["model_label"], tried(answer)) == ("complete", "spare", ["scripted"])
    assert await attempts(turn.answer) == [("spare", "")], "nothing was sent to the first"


async def test_models_that_are_gone_are_not_tried(chat: Chat, spare: Spare, worker: Worker) -> None:
    await fall_back_on(chat.model, new_id(), chat.model, spare.model)
    await fetch("UPDATE model SET gone_at = now() WHERE id = $1", spare.model)
    chat.server.answers[OPENAI.chat_path] = whole(b'{"error": {"message": "bad key"}}', status=401)
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "key_rejected")


async def test_a_model_that_is_gone_is_stood_in_for(chat: Chat, spare: Spare, worker: Worker) -> None:
    turn = await chat.ask("One")
    await chat.final(turn.answer)
    await fetch("UPDATE model SET gone_at = now() WHERE id = $1", chat.model)
    message, _thread = await my_message(chat.user, turn.answer)
    generation = new_id()
    await fetch("UPDATE message SET status = 'queued' WHERE id = $1", message.id)
    await fetch(
        "INSERT INTO generation (id, message, thread, queued_at) VALUES ($1, $2, $3, now())",
        generation, message.id, turn.thread,
    )  # fmt: skip
    await enqueue("generation", str(generation))
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["model_label"], tried(answer)) == ("complete", "spare", ["scripted"])


async def test_the_page_hears_of_a_pause_and_of_another_model(
    chat: Chat, spare: Spare, worker: Worker, database: str
) -> None:
    chat.server.script(*BROKEN)
    spare.server.script(*whole(b'{"error": {"message": "slow down"}}', status=429, Retry_After="50"))
    reader = Reader(database)
    task = asyncio.create_task(reader.run())
    turn = await chat.ask()
    with reader.view([f"thread:{turn.thread}"]) as viewer:
        heard: list[Any] = []
        async with within("word of a pause"):
            while (message := (await my_message(chat.user, turn.answer))[0]).retries_seconds is None:
                heard += await viewer.take(timeout_seconds=0.05)
        assert 0 < message.retries_seconds <= 50.3
        assert "Spare server" in message.error_sentence
        assert (message.model_label, [one.model for one in message.tried_before]) == ("spare", ["scripted"])
        async with within("the page's word of it"):
            while "message" not in [news.event for news in heard if not isinstance(news, tuple | Lost)]:
                heard += await viewer.take(timeout_seconds=0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_after_the_pause_that_it_asked_for_the_model_is_called_again(chat: Chat, worker: Worker) -> None:
    chat.server.script(*whole(b'{"error": {"message": "slow down"}}', status=429, Retry_After="1"))
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], len(chat.server.questions)) == ("complete", 2)


async def go_on(chat: Chat, answer: uuid.UUID) -> dict[str, Any]:
    await continue_answer(chat.user, await find_message(answer))
    return await chat.final(answer)


@pytest.mark.parametrize("known", ["first", "second", "both", "neither"])
async def test_an_answer_that_another_model_went_on_with_says_so_and_adds_up_what_is_known(
    chat: Chat, spare: Spare, worker: Worker, known: str
) -> None:
    for model, part in ((chat.model, "first"), (spare.model, "second")):
        prices = {"input_price": 1, "output_price": 1} if known in (part, "both") else {}
        await fetch("UPDATE model SET set_by_owner = $2 WHERE id = $1", model, msgspec.json.encode(prices).decode())
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One and two, and then "))), Sleep(0.1), Reset())
    begun = await chat.final((await chat.ask()).answer)
    assert (begun["status"], begun["writers"], begun["cost_is_partial"]) == ("interrupted", "[]", False)
    chat.server.script(*BROKEN)
    answer = await go_on(chat, begun["id"])
    assert answer["content"] == "One and two, and then Seven quiet lanterns drift over the harbour. "
    message = await find_message(answer["id"])
    assert message.written_by == ["scripted", "spare"]
    assert (message.model_label, tried(answer)) == ("spare", ["scripted"])
    parts = [begun["cost"], known in ("second", "both") and answer["cost"] - (begun["cost"] or 0)]
    assert (answer["cost"] is None, answer["cost_is_partial"]) == (known == "neither", known in ("first", "second"))
    assert answer["cost"] is None or answer["cost"] >= sum(part for part in parts if part)
    assert (begun["cost"] is None) == (known in ("second", "neither"))
    again = await go_on(chat, await cut_short(answer["id"]))
    assert (await find_message(again["id"])).written_by == ["scripted", "spare"], "a model that goes on is named once"


async def test_who_did_not_go_on_has_written_nothing(chat: Chat, spare: Spare, worker: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One "))), Sleep(0.1), Reset())
    begun = await chat.final((await chat.ask()).answer)
    chat.server.script(*BROKEN)
    spare.server.script(*whole(b'{"error": {"message": "no"}}', status=400))
    kept = await go_on(chat, begun["id"])
    assert (kept["content"], kept["status"], kept["error_code"]) == ("One ", "interrupted", "bad_request")
    assert (kept["model"], kept["model_label"], (await find_message(kept["id"])).written_by) == (
        chat.model, "scripted", [],
    )  # fmt: skip


async def cut_short(answer: uuid.UUID) -> uuid.UUID:
    """As if it had broken off once more."""
    await fetch("UPDATE message SET status = 'interrupted' WHERE id = $1", answer)
    return answer
