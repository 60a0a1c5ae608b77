"""Postgres refuses a piece of an answer: that answer ends before it, with a sentence, and every other one goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from app.chat.worker import Worker
from app.database import fetch
from tests.chat.conftest import Chat
from tests.scripted import LAST_CHUNK, OPENAI, Send, Wait, chunk
from tests.watching import until

SENTENCE = "The database refused part of this answer, so it ends here."


@contextlib.asynccontextmanager
async def refusing_deltas(condition: str, code: str) -> AsyncIterator[None]:
    """Postgres refuses every delta for which this is true of NEW, with this SQLSTATE."""
    await fetch(
        "CREATE FUNCTION refuse_delta() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"
    )
    await fetch("CREATE TRIGGER refuse_delta BEFORE INSERT ON delta FOR EACH ROW EXECUTE FUNCTION refuse_delta()")
    try:
        yield
    finally:
        await fetch("DROP FUNCTION refuse_delta() CASCADE")


@pytest.mark.parametrize("code", ["22P05", "22021", "23514", "42501", "54000", "XX000"])
async def test_one_refused_piece_ends_its_answer_and_no_other(code: str, chat: Chat, worker: Worker) -> None:
    async with refusing_deltas("NEW.body LIKE '%anchor%'", code):
        gate = asyncio.Event()
        end = OPENAI.text(" an anchor") + OPENAI.text(" more") + OPENAI.finish()
        chat.server.script(
            OPENAI.head(), Send(chunk(OPENAI.text("Ropes"))), Send(chunk(OPENAI.text(" and"))), Wait(gate),
            Send(chunk(end) + LAST_CHUNK),
        )  # fmt: skip
        refused = await chat.ask("Refused")
        await chat.server.next_question()
        chat.server.script(*OPENAI.answer(["Sails ", "and ", "masts"], per_second=20))
        other = await chat.ask("Stored")
        await chat.until_said(refused.answer, "Ropes and")  # what comes with the anchor is refused with it
        gate.set()
        first, second = await asyncio.gather(chat.final(refused.answer), chat.final(other.answer))
        assert (first["status"], first["error_code"], first["error_sentence"]) == ("failed", "not_stored", SENTENCE)
        assert first["content"] == "Ropes and"
        assert (second["status"], second["content"]) == ("complete", "Sails and masts")
    assert (await chat.final((await chat.ask("Again")).answer))["status"] == "complete"


async def test_an_answer_whose_last_piece_is_refused_is_not_called_complete(chat: Chat, worker: Worker) -> None:
    async with refusing_deltas("NEW.body LIKE '%anchor%'", "22P05"):
        chat.server.script(*OPENAI.answer(["Ropes and an anchor"]))
        answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["content"], answer["error_sentence"]) == ("failed", "", SENTENCE)


async def test_a_database_that_takes_no_delta_ends_every_answer(chat: Chat, worker: Worker) -> None:
    async with refusing_deltas("true", "42501"):
        turns = [await chat.ask(str(number)) for number in range(3)]
        answers = [await chat.final(turn.answer) for turn in turns]
    assert {(answer["status"], answer["error_code"]) for answer in answers} == {("failed", "not_stored")}
    # An answer is final a moment before its writer is done with it.
    await until("an idle writer", lambda: not worker.writer.tapes | worker.writer.in_flight)
    assert (worker.writer.tapes, worker.writer.in_flight) == (set(), set())
    assert (await chat.final((await chat.ask()).answer))["status"] == "complete"
