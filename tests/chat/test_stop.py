"""Stop means stop: before, during, after and at the end of an answer, twice, and from wherever it is pressed."""

import asyncio
import random

import pytest

from app.chat.stop import stop
from app.chat.worker import Worker
from app.database import fetch, own_connection
from app.live import News
from tests.chat.conftest import SETTINGS, Chat, working
from tests.scripted import OPENAI, Repeat, Send, Stall, Step, Wait, chunk, whole
from tests.watching import until, within

ENDLESS = (OPENAI.head(), Repeat(chunk(OPENAI.text("on ")), None, 0.01))


async def test_an_answer_that_waits_in_the_queue_is_never_asked_for(chat: Chat, database: str) -> None:
    turn = await chat.ask()
    await stop(turn.answer)
    answer = await chat.message(turn.answer)
    assert (answer["status"], answer["finish_reason"], answer["content"]) == ("stopped", "stopped", "")
    assert (await fetch("SELECT state, provider_attempts FROM generation"))[0]["provider_attempts"] == "[]"


async def test_the_worker_leaves_a_stopped_job_alone(chat: Chat, database: str) -> None:
    turn = await chat.ask()
    await stop(turn.answer)
    other = await chat.ask("Another one")
    async with working(database, SETTINGS):
        await chat.final(other.answer)
    assert len(chat.server.questions) == 1


@pytest.mark.parametrize(
    "script",
    [(Stall(),), (OPENAI.head(), Stall()), (OPENAI.head(), Send(chunk(OPENAI.text("One"))), Stall()), ENDLESS],
    ids=["no answer", "headers", "one token", "endless"],
)
async def test_the_upstream_socket_is_closed_as_soon_as_the_news_come(
    chat: Chat, worker: Worker, script: tuple[Step, ...]
) -> None:
    """The worker is not to find it out when it looks at the rows, which it does every few seconds: they do not say it here."""
    chat.server.script(*script)
    turn = await chat.ask()
    question = await chat.server.next_question()
    await asyncio.sleep(0.2)
    await fetch(
        "CREATE FUNCTION forget_stop() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.is_stop_requested := false; RETURN NEW; END $$"
    )
    await fetch("CREATE TRIGGER forget_stop BEFORE UPDATE ON generation FOR EACH ROW EXECUTE FUNCTION forget_stop()")
    try:
        await stop(turn.answer)
        async with within("the end of the connection to the model"):
            await question.closed.wait()
        answer = await chat.final(turn.answer)
    finally:
        await fetch("DROP FUNCTION forget_stop() CASCADE")
    assert (answer["status"], answer["error_code"]) == ("stopped", "")
    assert "".join(row["body"] for row in await fetch("SELECT body FROM delta ORDER BY seq")) == answer["content"]


async def test_nothing_grows_back_after_a_stop(chat: Chat, worker: Worker) -> None:
    chat.server.script(*ENDLESS)
    turn = await chat.ask()
    await chat.server.next_question()
    await asyncio.sleep(0.2)
    await stop(turn.answer)
    stopped = await chat.final(turn.answer)
    await asyncio.sleep(0.3)
    assert await chat.message(turn.answer) == stopped


async def test_a_stop_is_pressed_twice_and_by_several(chat: Chat, worker: Worker) -> None:
    chat.server.script(*ENDLESS)
    turn = await chat.ask()
    await chat.server.next_question()
    await asyncio.gather(*(stop(turn.answer) for _ in range(5)))
    answer = await chat.final(turn.answer)
    await stop(turn.answer)
    assert await chat.message(turn.answer) == answer
    assert answer["status"] == "stopped"


async def test_a_stop_after_the_end_changes_nothing(chat: Chat, worker: Worker) -> None:
    turn = await chat.ask()
    answer = await chat.final(turn.answer)
    await stop(turn.answer)
    assert await chat.message(turn.answer) == answer
    assert answer["status"] == "complete"


async def test_a_stop_while_the_next_call_is_waited_for_ends_the_wait(chat: Chat, worker: Worker) -> None:
    chat.server.script(*whole(OPENAI.error_body("slow down"), 429, Retry_After="60"))
    turn = await chat.ask()
    await chat.server.next_question()
    await asyncio.sleep(0.2)
    await stop(turn.answer)
    answer = await chat.final(turn.answer, seconds=45)
    assert answer["status"] == "stopped"
    assert len(chat.server.questions) == 1


async def test_a_stop_that_no_news_told_of_is_found_in_the_rows(chat: Chat, worker: Worker) -> None:
    chat.server.script(*ENDLESS)
    turn = await chat.ask()
    await chat.server.next_question()
    await fetch("UPDATE generation SET is_stop_requested = true")
    assert (await chat.final(turn.answer))["status"] == "stopped"


async def test_a_stop_at_any_moment_leaves_a_whole_end(chat: Chat, worker: Worker) -> None:
    """From the job to the last row: an end is neither lost nor torn, whenever the Stop arrives."""
    chat.server.defaults[OPENAI.kind] = OPENAI.answer([f"w{n} " for n in range(8)], per_second=100)

    async def one(delay: float) -> str:
        turn = await chat.ask()
        await asyncio.sleep(delay)
        await stop(turn.answer)
        answer = await chat.final(turn.answer)
        assert "".join(f"w{n} " for n in range(8)).startswith(str(answer["content"]))
        assert answer["finish_reason"] in ("stop", "stopped")
        return str(answer["status"])

    outcomes: set[str] = set()
    for rounds in range(16):
        longest = 0.2 * 2 ** max(0, rounds - 7)  # a slow machine has answered nothing before
        outcomes |= set(await asyncio.gather(*(one(random.uniform(0, longest)) for _ in range(12))))
        if rounds >= 7 and outcomes == {"complete", "stopped"}:
            break
    assert outcomes == {"complete", "stopped"}
    assert not await fetch("SELECT 1 FROM generation WHERE state <> 'ended'")


async def test_a_stop_during_the_claim_waits_for_its_outcome(chat: Chat, database: str) -> None:
    turn = await chat.ask()
    async with working(database, SETTINGS) as worker:
        async with own_connection(database, name="lock") as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM message FOR UPDATE")
            await _until_blocked("UPDATE generation SET state = 'running'")
            worker.hear(await _stop_news())
            await asyncio.sleep(0.1)
        answer = await chat.final(turn.answer)
    assert (answer["status"], chat.server.questions) == ("stopped", [])


async def test_a_stop_while_the_end_is_stored_does_not_undo_it(chat: Chat, worker: Worker, database: str) -> None:
    gate = asyncio.Event()
    chat.server.script(OPENAI.head(), Wait(gate), *OPENAI.answer(["All."])[1:])
    turn = await chat.ask()
    await chat.server.next_question()
    async with own_connection(database, name="lock") as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM thread FOR UPDATE")
        gate.set()
        await _until_blocked("UPDATE generation SET state = 'ended'")
        worker.hear(await _stop_news())
        await asyncio.sleep(0.1)
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["content"]) == ("complete", "All.")


async def _until_blocked(statement: str) -> None:
    """Until this waits for a lock."""
    waits = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND position($1 IN query) > 0"
    )
    await until(f"{statement!r} that waits for a lock", lambda: fetch(waits, statement))


async def _stop_news() -> News:
    return News(key="worker", event="stop", generation=str((await fetch("SELECT id FROM generation"))[0]["id"]))
