"""Everything a model server can do wrong, as it is stored: the text that came, a plain sentence, each call on record."""

import json
import uuid
from typing import Any

from app.chat.new_message import NewMessage
from app.chat.turn import Turn, start_thread
from app.database import fetch, fetch_row, new_id
from app.live import read_log, to_delta
from app.parts import fold, text_of
from app.providers.errors import RateLimited, StreamCut
from app.settings import Settings, read
from tests.chat.conftest import SETTINGS, Chat, working
from tests.providers.faults import FAULTS, Fault
from tests.scripted import LAST_CHUNK, OPENAI, Repeat, Send, Sleep, Stall, chunk, whole
from tests.watching import within

HURRIED = read(
    {
        "PARLEY_DRAIN_SECONDS": "0",
        "PARLEY_FIRST_TOKEN_TIMEOUT_SECONDS": "1",
        "PARLEY_IDLE_TIMEOUT_SECONDS": "1",
        "PARLEY_GENERATION_DEADLINE_SECONDS": "25",
    }
)


def limited(retry_after: str) -> Fault:
    return Fault(lambda d: whole(d.error_body("slow down"), 429, Retry_After=retry_after), RateLimited)


ALL = FAULTS | {f"429, Retry-After {value}": limited(value) for value in ("1", "3600", "-1", "abc")}
#: Too long to wait for: the person decides.
NOT_WAITED_FOR = {"429, Retry-After 3600"}


async def connect_each(chat: Chat, names: list[str]) -> dict[str, uuid.UUID]:
    """A provider with one model for each of these names: their circuits have nothing to do with each other."""
    models = {name: new_id() for name in names}
    await fetch(
        "WITH account AS (INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
        " SELECT gen_random_uuid(), 'openai', 'Scripted ' || name, $1, '', '', now(), true FROM unnest($2::text[]) AS name"
        " RETURNING id, name) INSERT INTO model (id, provider, name, seen_at)"
        " SELECT m.id, account.id, m.name, now() FROM unnest($2::text[], $3::uuid[]) AS m (name, id)"
        " JOIN account ON account.name = 'Scripted ' || m.name",
        chat.server.url_for(OPENAI), list(models), list(models.values()),
    )  # fmt: skip
    return models


async def ask_each(chat: Chat, database: str, names: list[str], settings: Settings = HURRIED) -> dict[str, Turn]:
    """One question for each of these models of the scripted server, all at once; returns when all are answered."""
    models = await connect_each(chat, names)
    async with working(database, settings):
        turns = {
            name: await start_thread(
                chat.user, NewMessage(f"Hello {name}", models[name], new_id()), options="{}", system_prompt=""
            )
            for name in names
        }
        for turn in turns.values():
            await chat.final(turn.answer)
    return turns


SPILLS = {"more than its length at once", "does not speak HTTP"}


async def test_every_fault_is_stored_with_its_text_and_its_reason(chat: Chat, database: str) -> None:
    names = {name.replace(" ", "-").replace(",", ""): name for name in ALL}
    for model, name in names.items():
        chat.server.scripts[model] = ALL[name].script(OPENAI)
    # A server that says more than it announced leaves that in the connection, for whoever is answered on it next.
    spills = [model for model, name in names.items() if name in SPILLS]
    turns = await ask_each(chat, database, [model for model in names if model not in spills])
    for model in spills:
        turns |= await ask_each(chat, database, [model])
    wrong = await _wrong(chat, turns, names)
    # Sixty faults at once, some of fifty megabytes, disturb each other, and a machine that stands still for a second is a
    # model that is silent for as long: whoever failed is asked alone, a few times.
    for model in [model for model, name in names.items() if name in wrong] * 4:
        if wrong.pop(names[model], None):
            chat.server.requests.clear()
            wrong |= await _wrong(chat, await ask_each(chat, database, [model]), names)
    assert not wrong


async def _wrong(chat: Chat, turns: dict[str, Turn], names: dict[str, str]) -> dict[str, Any]:
    """Fault → what was found and what was wanted, where they differ."""
    wrong: dict[str, Any] = {}
    for model, turn in turns.items():
        found = await _found(chat, model, turn)
        wanted = _wanted(names[model], found["text"])
        if found != wanted:
            wrong[names[model]] = (found, wanted)
    return wrong


async def _found(chat: Chat, model: str, turn: Turn) -> dict[str, Any]:
    answer = await chat.message(turn.answer)
    generation = await fetch_row("SELECT * FROM generation WHERE message = $1", turn.answer)
    assert generation is not None
    log = await read_log(generation["id"])
    sentence = str(answer["error_sentence"])
    assert 10 < len(sentence) < 600
    assert not any(word in sentence for word in ("Traceback", "://", "Error(", "sk-", "/v1")), sentence
    assert [row[0] for row in log] == list(range(1, len(log) + 1))
    assert text_of(fold(to_delta(kind, body) for _, kind, body in log)) == answer["content"]
    attempts = json.loads(generation["provider_attempts"])
    return {
        "status": answer["status"],
        "code": answer["error_code"],
        "reason": answer["finish_reason"],
        "text": answer["content"],
        "calls": sum(question.json["model"] == model for question in chat.server.questions),
        "attempts": [attempt["error"] for attempt in attempts],
        "counted": generation["attempt"],
    }


def _wanted(name: str, text: str) -> dict[str, Any]:
    """What came before the fault counts as far as it came in a read of its own."""
    fault = ALL[name]
    assert fault.text.startswith(text)
    is_cut = fault.error is StreamCut
    # I6: again only before the first token, and at most twice.
    calls = 3 if fault.error.is_retryable and not text and name not in NOT_WAITED_FOR else 1
    return {
        "status": "interrupted" if is_cut else "failed",
        "code": "interrupted" if is_cut else fault.error.code,
        "reason": "interrupted" if is_cut else "failed",
        "text": text,
        "calls": calls,
        "attempts": [fault.error.code] * calls,
        "counted": calls,
    }


async def test_a_server_that_comes_back_is_asked_again_and_usage_counts_once(chat: Chat, database: str) -> None:
    chat.server.script(*whole(OPENAI.error_body("loading"), 503))
    chat.server.script(*OPENAI.answer(["One ", "two"], usage=(11, 2)))
    turns = await ask_each(chat, database, ["lantern"], SETTINGS)
    answer = await chat.message(turns["lantern"].answer)
    assert (answer["status"], answer["content"]) == ("complete", "One two")
    assert (answer["input_tokens"], answer["output_tokens"], answer["usage_is_exact"]) == (11, 2, True)
    generation = await fetch_row("SELECT provider_attempts FROM generation")
    assert generation is not None
    first, second = json.loads(generation["provider_attempts"])
    assert (first["error"], first["usage"]) == ("overloaded", None)
    assert (second["error"], second["usage"]["input_tokens"], second["usage"]["output_tokens"]) == ("", 11, 2)


async def test_a_call_that_failed_counts_with_what_its_server_had_said(chat: Chat, database: str) -> None:
    used = b'data: {"choices": [], "usage": {"prompt_tokens": 9}}\n\n'
    chat.server.script(*OPENAI.stream(used, OPENAI.error("boom")))
    chat.server.script(*OPENAI.answer(["One ", "two"], usage=(11, 2)))
    turns = await ask_each(chat, database, ["lantern"], SETTINGS)
    answer = await chat.message(turns["lantern"].answer)
    assert (answer["status"], answer["input_tokens"], answer["output_tokens"]) == ("complete", 11, 2)
    generation = await fetch_row("SELECT provider_attempts FROM generation")
    assert generation is not None
    first, second = json.loads(generation["provider_attempts"])
    assert (first["error"], first["usage"]["input_tokens"], first["usage"]["output_tokens"]) == ("overloaded", 9, None)
    assert (second["error"], second["usage"]["input_tokens"]) == ("", 11)


async def test_the_deadline_ends_an_endless_answer_and_keeps_its_text(chat: Chat, database: str) -> None:
    for seconds in ("1", "5", "25"):  # a machine that stood still meanwhile is given longer
        chat.server.script(OPENAI.head(), Repeat(chunk(OPENAI.text("on ")), None, 0.05))
        settings = read({"PARLEY_GENERATION_DEADLINE_SECONDS": seconds, "PARLEY_DRAIN_SECONDS": "0"})
        async with working(database, settings):
            answer = await chat.final((await chat.ask()).answer)
        assert (answer["status"], answer["error_code"]) == ("failed", "deadline")
        if chat.server.questions and str(answer["content"]).startswith("on on on"):
            break
    assert str(answer["content"]).startswith("on on on")
    async with within("the end of the connection to the model"):
        await chat.server.questions[-1].closed.wait()


async def test_a_model_that_vanished_is_named_and_nothing_is_asked(chat: Chat, database: str) -> None:
    turn = await chat.ask()
    await fetch("UPDATE model SET gone_at = now()")
    async with working(database, SETTINGS):
        answer = await chat.final(turn.answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "model_missing")
    assert "another one" in str(answer["error_sentence"])
    assert not chat.server.questions


async def test_a_length_limit_is_a_complete_answer_that_can_go_on(chat: Chat, database: str) -> None:
    chat.server.script(*OPENAI.answer(["One ", "two"], reason="length"))
    async with working(database, SETTINGS):
        turn = await chat.ask()
        answer = await chat.final(turn.answer)
    assert (answer["status"], answer["finish_reason"], answer["content"]) == ("complete", "length", "One two")


async def test_what_a_stalled_model_said_is_kept_when_it_times_out(chat: Chat, database: str) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("Half"))), Sleep(0.05), Stall(), Send(LAST_CHUNK))
    settings = read({"PARLEY_DRAIN_SECONDS": "0", "PARLEY_IDLE_TIMEOUT_SECONDS": "1"})
    async with working(database, settings):
        turn = await chat.ask()
        answer = await chat.final(turn.answer)
    assert (answer["status"], answer["error_code"], answer["content"]) == ("failed", "timed_out", "Half")
