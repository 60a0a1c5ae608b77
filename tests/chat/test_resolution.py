"""Who is dead and who only waits, and what becomes of the answers of the dead."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import postmaster
from app.chat import resolution
from app.chat.resolution import FROZEN_SECONDS, LOOK_SECONDS, SILENT_SECONDS, resolve
from app.database import close_pool, fetch, fetch_row, open_pool, own_connection
from app.embedded import EmbeddedPostgres
from tests.chat.conftest import SETTINGS, Chat, refusing, working
from tests.faults.relay import Relay, to_socket
from tests.scripted import OPENAI, Stall
from tests.watching import until, within

DEAD = 4711


async def register(worker: int, *, silent_seconds: float) -> None:
    await fetch(
        "INSERT INTO worker (id, name, is_alive, started_at, seen_at)"
        " VALUES ($1, 'test', true, now(), now() - make_interval(secs => $2))",
        worker, silent_seconds,
    )  # fmt: skip


async def look() -> int:
    """`resolve`, where nothing stands still between its two statements: a verdict that comes late would not count."""
    return await resolve(datetime.now(UTC) + timedelta(days=1))


async def claimed(chat: Chat, worker: int, *, text: str = "", attempt: int = 1, is_stopped: bool = False) -> uuid.UUID:
    """An answer that this worker was writing when it died; its message's id."""
    turn = await chat.ask()
    await fetch("DELETE FROM pgqueuer")
    row = await fetch_row(
        "UPDATE generation SET state = 'running', worker = $2, attempt = $3, is_stop_requested = $4, started_at = now()"
        " WHERE message = $1 RETURNING id",
        turn.answer, worker, attempt, is_stopped,
    )  # fmt: skip
    assert row is not None
    await fetch("UPDATE message SET status = 'running' WHERE id = $1", turn.answer)
    for seq, word in enumerate(text.split(), 1):
        await fetch(
            "INSERT INTO delta (generation_id, seq, kind, body) VALUES ($1, $2, 'text', $3)", row["id"], seq, word
        )
    return turn.answer


async def generation_of(message: uuid.UUID) -> dict[str, Any]:
    row = await fetch_row("SELECT * FROM generation WHERE message = $1", message)
    assert row is not None
    return dict(row)


async def count_jobs() -> int:
    return len(await fetch("SELECT 1 FROM pgqueuer WHERE entrypoint = 'generation'"))


async def is_alive(worker: int) -> bool:
    return bool((await fetch("SELECT is_alive FROM worker WHERE id = $1", worker))[0]["is_alive"])


async def test_an_answer_of_which_nothing_came_is_begun_again(chat: Chat) -> None:
    await register(DEAD, silent_seconds=7)
    answer = await claimed(chat, DEAD)
    assert await look() == 1
    generation = await generation_of(answer)
    assert (generation["state"], generation["worker"], generation["attempt"]) == ("queued", None, 1)
    assert [attempt["error"] for attempt in json.loads(generation["provider_attempts"])] == ["interrupted"]
    assert await count_jobs() == 1
    assert (await chat.message(answer))["status"] == "queued"


async def test_what_had_come_is_kept_and_the_answer_interrupted(chat: Chat) -> None:
    await register(DEAD, silent_seconds=7)
    answer = await claimed(chat, DEAD, text="One two")
    assert await look() == 1
    message = await chat.message(answer)
    assert (message["status"], message["content"], message["finish_reason"]) == ("interrupted", "Onetwo", "interrupted")
    assert "interrupted" in str(message["error_sentence"])
    assert await count_jobs() == 0
    assert await look() == 0


async def test_one_that_cannot_be_ended_keeps_no_other_one_waiting(chat: Chat) -> None:
    await register(DEAD, silent_seconds=7)
    answers = [await claimed(chat, DEAD, text=word) for word in ("one", "two", "three")]
    async with refusing(f"NEW.id = '{answers[1]}' AND NEW.finished_at IS NOT NULL"):
        await look()
        assert [(await chat.message(answer))["status"] for answer in answers] == [
            "interrupted",
            "running",
            "interrupted",
        ]
    await look()
    assert (await chat.message(answers[1]))["content"] == "two"


@pytest.mark.parametrize(("attempt", "is_stopped", "status"), [(3, False, "interrupted"), (1, True, "stopped")])
async def test_it_is_not_begun_again_for_ever_nor_after_a_stop(
    chat: Chat, attempt: int, is_stopped: bool, status: str
) -> None:
    await register(DEAD, silent_seconds=7)
    answer = await claimed(chat, DEAD, attempt=attempt, is_stopped=is_stopped)
    await look()
    assert (await chat.message(answer))["status"] == status


@pytest.mark.parametrize(
    ("silent_seconds", "holds_lock", "lives"),
    [
        (0, False, True),
        (4, False, True),
        (7, False, False),
        (7, True, True),
        (12, True, False),
        (-3600, False, False),
        (-3600, True, True),
    ],
)
async def test_silence_alone_kills_only_who_is_silent_for_long(
    chat: Chat, database: str, silent_seconds: float, holds_lock: bool, lives: bool
) -> None:
    """Negative: the clock was set back since."""
    await register(DEAD, silent_seconds=silent_seconds)
    async with own_connection(database, name="lock") as connection:
        if holds_lock:
            await connection.execute("SELECT pg_advisory_lock($1)", DEAD)
        await look()
    # Where the machine stood still meanwhile, it was silent for longer.
    silence = (await fetch("SELECT extract(epoch FROM now() - seen_at)::float8 AS s FROM worker WHERE id = $1", DEAD))[
        0
    ]["s"]
    has_waited = lives and silence > (FROZEN_SECONDS if holds_lock else SILENT_SECONDS)
    assert has_waited or await is_alive(DEAD) == lives


async def test_who_is_just_writing_is_not_waited_for_and_not_dead(chat: Chat, database: str) -> None:
    await register(DEAD, silent_seconds=30)
    async with own_connection(database, name="flush") as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM worker WHERE id = $1 FOR KEY SHARE", DEAD)
        async with within("a look that waits for nobody"):
            await look()
        assert await is_alive(DEAD)
    await look()
    assert not await is_alive(DEAD)


async def test_a_verdict_that_reaches_postgres_late_does_not_count(
    chat: Chat, database: str, postgres: EmbeddedPostgres
) -> None:
    """Between the look at the clock and the verdict the network stood still: so did what the worker wanted to say."""
    await register(DEAD, silent_seconds=30)
    name = database.partition("?")[0].rsplit("/", 1)[1]
    socket = f"{postmaster.socket_folder(postgres.folder)}/.s.PGSQL.5432"
    async with Relay(to_socket(socket)) as relay:
        await close_pool()
        await open_pool(f"postgresql://postgres@127.0.0.1:{relay.port}/{name}", size=2)
        relay.hold_at(b"SET is_alive = false")
        looking = asyncio.create_task(resolve())
        async with within("the verdict, held on its way"):
            await relay.held.wait()
        await asyncio.sleep(LOOK_SECONDS + 0.5)
        relay.flowing.set()
        await looking
        assert await is_alive(DEAD)
        await look()
        assert not await is_alive(DEAD)
        await close_pool()
        await open_pool(database, size=12)


async def test_two_who_look_at_once_resolve_once(chat: Chat) -> None:
    await register(DEAD, silent_seconds=7)
    answers = [await claimed(chat, DEAD, text="One" if n % 2 else "") for n in range(10)]
    await fetch("DELETE FROM pgqueuer")
    await asyncio.gather(*(look() for _ in range(6)))
    await look()
    assert await count_jobs() == 5
    statuses = [str((await chat.message(answer))["status"]) for answer in answers]
    assert statuses == ["queued", "interrupted"] * 5


@pytest.fixture
def immortal_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is declared dead because this process stood still."""
    monkeypatch.setattr(resolution, "SILENT_SECONDS", 240.0)
    monkeypatch.setattr(resolution, "FROZEN_SECONDS", 240.0)


async def test_a_queued_answer_whose_job_is_gone_gets_one_new_job(chat: Chat, immortal_workers: None) -> None:
    await register(1, silent_seconds=0)
    await chat.ask()
    await fetch("DELETE FROM pgqueuer")
    await fetch("UPDATE generation SET queued_at = now() + interval '1 minute'")  # just now, on a machine of any speed
    await resolve()
    assert await count_jobs() == 0  # its worker may be about to claim it
    await fetch("UPDATE generation SET queued_at = now() - interval '6 seconds'")
    await asyncio.gather(resolve(), resolve())
    await resolve()
    assert await count_jobs() == 1


@pytest.mark.parametrize(("heartbeat_seconds", "jobs"), [(-60, 1), (11, 2)])
async def test_an_answer_that_waits_within_a_worker_is_no_orphan(
    chat: Chat, heartbeat_seconds: float, jobs: int, immortal_workers: None
) -> None:
    await register(1, silent_seconds=0)
    await chat.ask()
    await fetch("UPDATE generation SET queued_at = now() - interval '1 minute'")
    await fetch(
        "UPDATE pgqueuer SET status = 'picked', heartbeat = now() - make_interval(secs => $1)", float(heartbeat_seconds)
    )
    await resolve()
    assert await count_jobs() == jobs


async def test_without_any_worker_a_question_is_given_up_and_says_so(chat: Chat) -> None:
    turn = await chat.ask()
    await fetch("UPDATE generation SET queued_at = now() + interval '1 minute'")
    await look()
    assert (await chat.message(turn.answer))["status"] == "queued"
    await fetch("UPDATE generation SET queued_at = now() - interval '13 seconds'")
    await look()
    message = await chat.message(turn.answer)
    assert message["status"] == "interrupted"
    assert "No worker was there" in str(message["error_sentence"])


async def test_a_question_is_not_given_up_just_after_the_last_worker_died(chat: Chat) -> None:
    """Its successor may be starting."""
    await register(DEAD, silent_seconds=-60)  # just now, on a machine of any speed; and dead, for its lock is free
    turn = await chat.ask()
    await fetch("UPDATE generation SET queued_at = now() - interval '1 minute'")
    await look()
    assert not await is_alive(DEAD)
    assert (await chat.message(turn.answer))["status"] == "queued"


async def test_a_worker_that_was_declared_dead_takes_a_new_name_and_goes_on(chat: Chat, database: str) -> None:
    async with working(database, SETTINGS) as worker:
        first = await chat.ask()
        await chat.final(first.answer)
        old = worker.id
        await fetch("UPDATE worker SET is_alive = false")

        async def has_begun_again() -> bool:
            is_there = "SELECT 1 FROM worker WHERE id = $1 AND is_alive"
            return worker.id != old and bool(await fetch(is_there, worker.id))

        await until("the worker under its new name", has_begun_again)
        assert (await chat.final((await chat.ask()).answer))["status"] == "complete"
        assert not await is_alive(old)


async def test_a_worker_that_is_fenced_leaves_the_answer_to_others(chat: Chat, database: str) -> None:
    chat.server.script(OPENAI.head(), Stall())
    async with working(database, SETTINGS):
        turn = await chat.ask()
        question = await chat.server.next_question()
        await fetch("UPDATE worker SET is_alive = false")
        async with within("the end of the connection to the model"):
            await question.closed.wait()
        await resolve()
        answer = await chat.final(turn.answer)
    assert (answer["status"], len(chat.server.questions)) == ("complete", 2)
