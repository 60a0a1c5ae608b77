"""What was sent can be read, in every dialect, and it is what was sent: not what was refused before it."""

import msgspec
import pytest

from app.chat import catalog
from app.chat.new_message import NewMessage
from app.chat.requests import list_sent
from app.chat.threads import my_message
from app.chat.turn import Turn, continue_answer, start_thread
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.parts import ReasoningPart, TextPart, ToolCallPart, decode_parts
from app.providers import amendments
from app.providers.client import make_client
from tests.chat.conftest import SETTINGS, Chat
from tests.scripted import DIALECTS, GEMINI, OPENAI, Dialect, whole

NAMES = [dialect.kind for dialect in DIALECTS]


async def speak(chat: Chat, dialect: Dialect) -> None:
    """From now on the provider of this chat is one of this dialect."""
    await fetch("UPDATE provider SET kind = $1, base_url = $2", dialect.kind, chat.server.url_for(dialect))
    [row] = await fetch("SELECT id FROM provider")
    async with make_client() as client:
        assert await catalog.refresh(row["id"], catalog.connector(client, SETTINGS)) == ""


async def ask(chat: Chat, **parameters: object) -> Turn:
    options = msgspec.json.encode(parameters).decode()
    return await start_thread(chat.user, NewMessage("Why?", chat.model, new_id()), options=options, system_prompt="Hm.")


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
async def test_the_request_behind_an_answer_is_what_the_server_got(
    dialect: Dialect, chat: Chat, worker: Worker
) -> None:
    await speak(chat, dialect)
    turn = await ask(chat, temperature=0.5)
    assert (await chat.final(turn.answer))["content"] == "Seven quiet lanterns drift over the harbour. "
    assert (await list_sent(turn.answer))[-1].body == chat.server.questions[0].json


async def test_the_amended_request_takes_the_place_of_the_refused(chat: Chat, worker: Worker) -> None:
    amendments.forget()
    chat.server.script(*whole(OPENAI.error_body("Unknown field: stream_options"), 400))
    chat.server.script(*whole(OPENAI.error_body("Unsupported parameter: 'temperature'"), 400))
    turn = await ask(chat, temperature=0.5)
    assert (await chat.final(turn.answer))["status"] == "complete"
    refused, again, sent = (asked.json for asked in chat.server.questions[:3])
    assert ("stream_options" in refused, "temperature" in refused) == (True, True)
    assert ("stream_options" in again, "temperature" in again) == (False, True)
    assert (await list_sent(turn.answer))[-1].body == sent
    assert sorted(sent) == ["messages", "model", "stream"]
    [row] = await fetch("SELECT attempt FROM generation")
    assert row["attempt"] == 1


async def test_signatures_are_stored_with_the_parts_they_came_with(chat: Chat, worker: Worker) -> None:
    await speak(chat, GEMINI)
    signed = GEMINI.text("So.").replace(b'"So."', b'"So.","thoughtSignature":"dGV4dA=="')
    call = GEMINI.tool_call("c1", "look", {"at": "x"})
    chat.server.script(*GEMINI.stream(GEMINI.thought("Hm"), signed, call, GEMINI.finish("tool_calls")))
    answer = await chat.final((await ask(chat)).answer)
    thought, text, called = decode_parts(str(answer["parts"]))
    assert isinstance(thought, ReasoningPart)
    assert (thought.text, text) == ("Hm", TextPart("So.", "gemini:dGV4dA=="))
    assert called == ToolCallPart("c1", "look", '{"at":"x"}', "gemini:c2lnbmVk")


async def test_every_body_is_kept_of_an_answer_that_goes_on(chat: Chat, worker: Worker) -> None:
    chat.server.script(*OPENAI.answer(["One"], reason="length"))
    chat.server.script(*OPENAI.answer([" two"]))
    turn = await ask(chat)
    await chat.final(turn.answer)
    message, _thread = await my_message(chat.user, turn.answer)
    await continue_answer(chat.user, message)
    await chat.final(turn.answer)
    sent = await list_sent(turn.answer)
    assert [one.body for one in sent] == [asked.json for asked in chat.server.questions[:2]]
    assert [[call["error"] for call in one.calls] for one in sent] == [[""], [""]]


async def test_every_body_is_kept_when_another_model_answers(chat: Chat, worker: Worker) -> None:
    [spare] = await fetch(
        "INSERT INTO model (id, provider, name, seen_at) SELECT $1, provider, 'spare', now() FROM model RETURNING id",
        new_id(),
    )
    await fetch(
        "UPDATE model SET fallbacks = $2 WHERE id = $1", chat.model, msgspec.json.encode([spare["id"]]).decode()
    )
    chat.server.script(*whole(OPENAI.error_body("Overloaded"), 503))
    turn = await ask(chat)
    assert (await chat.final(turn.answer))["status"] == "complete"
    sent = await list_sent(turn.answer)
    assert [one.body for one in sent] == [asked.json for asked in chat.server.questions[:2]]
    assert [[call["model"] for call in one.calls] for one in sent] == [["scripted"], ["spare"]]


async def test_a_call_that_is_made_again_shares_its_body(chat: Chat, worker: Worker) -> None:
    chat.server.script(*whole(OPENAI.error_body("Overloaded"), 503))
    turn = await ask(chat)
    await chat.final(turn.answer)
    [sent] = await list_sent(turn.answer)
    assert [call["error"] == "" for call in sent.calls] == [False, True]
    assert {asked.body for asked in chat.server.questions[:2]} == {chat.server.questions[0].body}
