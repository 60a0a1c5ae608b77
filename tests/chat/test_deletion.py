"""Deleted means gone: nothing of a deleted thread or person is in any table, whatever was under way."""

import asyncio
import uuid

import pytest

from app.chat import upkeep
from app.chat.circuit import MOST_FAILURES
from app.chat.requests import keep_naming, keep_request, list_sent
from app.chat.threads import delete_thread, my_thread
from app.chat.turn import Turn
from app.chat.worker import Worker
from app.database import engine, fetch, new_id, transaction
from app.live import Fenced
from app.secrets import hash_token
from app.tables.invitation import Invitation
from app.tables.session import Session
from app.tables.sign_in_attempt import SignInAttempt
from app.tables.user import User
from tests.chat.conftest import SETTINGS, Chat, working
from tests.dump import dump
from tests.scripted import OPENAI, whole
from tests.watching import until, within

#: Each appears in one place only, and each place is searched for it.
WORDS = ("spyglass", "floorboard", "lighthouse", "pantry", "almanac", "harbourmaster")


async def converse(chat: Chat, database: str) -> Turn:
    """A named thread with all that belongs to one: thoughts, options, a draft."""
    chat.server.script(*OPENAI.answer(["Under the floorboard."], thoughts=["Not the pantry."]))
    chat.server.script(*OPENAI.answer(["An almanac"]))
    async with working(database, SETTINGS, names=True):
        turn = await chat.ask("Where is the spyglass?")
        await chat.final(turn.answer)
        await until("a title", lambda: fetch("SELECT 1 FROM thread WHERE is_named"))
    await fetch("UPDATE thread SET draft = 'harbourmaster', system_prompt = 'lighthouse'")
    return turn


async def ids_of(thread: uuid.UUID) -> list[str]:
    rows = await fetch(
        "SELECT id FROM message WHERE thread = $1 UNION SELECT id FROM generation WHERE thread = $1", thread
    )
    return [str(thread), *(str(row["id"]) for row in rows)]


async def test_nothing_of_a_deleted_thread_is_left(chat: Chat, database: str) -> None:
    turn = await converse(chat, database)
    ids = await ids_of(turn.thread)
    before = await dump(database)
    assert [word for word in (*WORDS, *ids) if word not in before] == []
    await delete_thread(await my_thread(chat.user, turn.thread))
    await upkeep.run()
    after = await dump(database)
    assert [word for word in (*WORDS, *ids) if word in after] == []
    assert "alice@example.org" in after


async def test_nothing_of_a_deleted_person_is_left(chat: Chat, database: str) -> None:
    turn = await converse(chat, database)
    owner = await User.add(name="Olive", email="olive@example.org", password_hash="x", is_owner=True)
    token = await Invitation.create_link(created_by=owner.id, email="bob@example.org")
    bob = await Invitation.accept(token, name="Bob", email="bob@example.org", password_hash="x")
    await Session.start(bob, user_agent="Bob's browser", address="192.0.2.7", days=30)
    for address in ("192.0.2.7", "192.0.2.8"):
        await SignInAttempt.begin(address, "bob@example.org")
    await SignInAttempt.succeed("192.0.2.7", "bob@example.org")
    await SignInAttempt.begin("192.0.2.9", "olive@example.org")
    await fetch('UPDATE thread SET "user" = $1', bob.id)
    await fetch("UPDATE users SET draft = 'compass' WHERE id = $1", bob.id)
    await fetch("UPDATE model SET allowed_users = jsonb_build_array($1::text, $2::text)", str(bob.id), str(owner.id))
    words = (*WORDS, *await ids_of(turn.thread), str(bob.id), "bob@example.org", "browser", "192.0.2.7", "compass")
    before = await dump(database)
    assert [word for word in words if word not in before] == []
    await fetch("DELETE FROM users WHERE id = $1", bob.id)
    await upkeep.run()
    after = await dump(database)
    assert [word for word in words if word in after] == []
    assert hash_token(token).hex() not in after
    assert [row["allowed_users"] for row in await fetch("SELECT allowed_users FROM model")] == [f'["{owner.id}"]']
    counted = await fetch("SELECT split_part(key, ':', 1) AS kind FROM sign_in_attempt ORDER BY 1")
    assert [row["kind"] for row in counted] == [
        "account",
        "address",
        "address",
        "address",
        "pair",
    ]  # Olive's and places


async def test_an_answer_that_runs_while_its_thread_is_deleted_leaves_nothing(
    chat: Chat, worker: Worker, database: str
) -> None:
    chat.server.script(*OPENAI.answer(["Under ", "the ", "floorboard."], per_second=20))
    turn = await chat.ask("Where is the spyglass?")
    ids = await ids_of(turn.thread)
    await chat.until_said(turn.answer)
    await delete_thread(await my_thread(chat.user, turn.thread))

    async def is_gone() -> bool:
        await upkeep.run()
        held = await dump(database)
        return not [word for word in ("spyglass", "floorboard", *ids) if word in held]

    await until("an end of everything of the thread", is_gone)


async def test_what_is_sent_after_the_deletion_is_not_stored(chat: Chat, database: str) -> None:
    """The turn's blocks and the deletion take their rows in one order: the later one finds nothing, neither waits for ever."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Where is the spyglass?"}]}
    turn = await chat.ask("Hello")
    [row] = await fetch("UPDATE generation SET state = 'running', worker = 7 RETURNING id")
    thread = await my_thread(chat.user, turn.thread)
    async with transaction():
        await delete_thread(thread)
        late = asyncio.create_task(in_no_transaction(row["id"], body))
        await asyncio.sleep(0.3)
        assert not late.done()
    with pytest.raises(Fenced):
        async with within("the end of what came late"):
            await late
    await keep_naming(row["id"], body)
    assert "spyglass" not in await dump(database)


async def in_no_transaction(generation: uuid.UUID, body: dict[str, object]) -> None:
    engine.current_transaction.set(None)
    await keep_request(generation, body, call=1, worker_id=7)


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_what_a_server_quoted_of_a_question_does_not_stay_with_the_server(
    status: int, chat: Chat, worker: Worker, database: str
) -> None:
    """What keeps a model from being called is said to everybody, for as long as it does."""
    for _ in range(4 * MOST_FAILURES):
        chat.server.script(*whole(OPENAI.error_body("Where is the spyglass?"), status))
    threads = []
    while not await fetch("SELECT 1 FROM model WHERE down_since IS NOT NULL"):
        turn = await chat.ask("Where is the spyglass?")
        threads.append(turn.thread)
        assert (await chat.final(turn.answer))["status"] == "failed"
        assert len(threads) <= MOST_FAILURES
    assert (await fetch("SELECT error FROM model"))[0]["error"] == "It answers with errors."
    for thread in threads:
        await delete_thread(await my_thread(chat.user, thread))
    await upkeep.run()
    assert "spyglass" not in await dump(database)


async def test_two_people_who_send_the_same_share_no_row(chat: Chat, worker: Worker) -> None:
    first, second = await chat.ask("Where is the spyglass?"), await chat.ask("Where is the spyglass?")
    for turn in (first, second):
        await chat.final(turn.answer)
    await delete_thread(await my_thread(chat.user, first.thread))
    [sent] = await list_sent(second.answer)
    assert sent.body == chat.server.questions[1].json
    assert await fetch("SELECT count(*) AS n FROM block WHERE thread = $1", first.thread) == [(0,)]


async def test_a_thread_of_five_thousand_messages_is_deleted_without_looking_at_others(chat: Chat) -> None:
    """Every cascade finds its rows by an index, among those of other threads."""
    threads = []
    for _ in range(3):
        turn = await chat.ask("Hello")
        threads.append(turn.thread)
        await fetch(_FILL, turn.thread, new_id())
    await fetch("ANALYZE")
    async with transaction():
        await delete_thread(await my_thread(chat.user, threads[1]))
        looks = await fetch(
            "SELECT relname, seq_scan, seq_tup_read FROM pg_stat_xact_user_tables WHERE seq_tup_read > 0"
        )
    # Each of 5,000 rows that looked through a table would read it 5,000 times.
    assert [row for row in looks if row["seq_tup_read"] > 50_000] == []
    left = await fetch("SELECT thread, count(*) AS n FROM message GROUP BY thread")
    assert {row["thread"]: row["n"] for row in left} == {threads[0]: 5002, threads[2]: 5002}
    plan = await fetch(f"EXPLAIN DELETE FROM generation WHERE thread = '{threads[0]}'")
    assert "Seq Scan" not in "\n".join(row["QUERY PLAN"] for row in plan)


_FILL = """
WITH questions AS (
    INSERT INTO message (id, thread, role, content, depth, created_at)
    SELECT gen_random_uuid(), $1, CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, 'word ' || n, n, now()
    FROM generate_series(1, 5000) AS n RETURNING id, role
), runs AS (
    INSERT INTO generation (id, message, thread, state, queued_at)
    SELECT gen_random_uuid(), id, $1, 'ended', now() FROM questions WHERE role = 'assistant' RETURNING id
), deltas AS (
    INSERT INTO delta (generation_id, seq, kind, body) SELECT id, 1, 'text', 'word' FROM runs
)
INSERT INTO block (thread, hash, body)
SELECT $1, decode(md5(n::text || $2::uuid::text), 'hex'), 'word' FROM generate_series(1, 5000) AS n
"""
