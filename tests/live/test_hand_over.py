"""Deltas reach the pages of the writer's own process on two ways; whichever is faster, each comes once and in order."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from app import postmaster
from app.database import close_pool, fetch, new_id, open_pool, own_connection
from app.embedded import EmbeddedPostgres
from app.live import Item, Reader, Row, Viewer
from app.live.log import LIVE_CHANNEL
from tests.faults.relay import Relay, to_socket
from tests.watching import SECONDS, until, within

OURS, ANOTHER = 7, 8


@pytest.fixture
async def reader(database: str) -> AsyncIterator[Reader]:
    """A reader that listens."""
    made = Reader(database)
    running = asyncio.create_task(made.run())
    with made.view(["until:ready"]) as probe:
        assert await probe.take(timeout_seconds=SECONDS)  # it tells every viewer when it has begun to listen
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


_WAITS = """
SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'delta'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def store(generation: uuid.UUID, *rows: Row) -> None:
    for seq, kind, body in rows:
        await fetch(
            "INSERT INTO delta (generation_id, seq, kind, body) VALUES ($1, $2, $3, $4)", generation, seq, kind, body
        )


async def notify(worker: int, generation: uuid.UUID) -> None:
    await fetch("SELECT pg_notify($1, $2)", LIVE_CHANNEL, f"{worker}:{generation.hex}")


async def take_rows(viewer: Viewer, count: int) -> list[Row]:
    """So many rows, however they come in."""
    items: list[Item] = []
    async with within(f"{count} rows"):
        while len(items) < count:
            items += await viewer.take(timeout_seconds=SECONDS)
    return [item[1] for item in items if isinstance(item, tuple)]


async def test_what_the_own_writer_committed_is_not_asked_for_again(database: str) -> None:
    silent, generation = Reader(database), new_id()  # it does not even listen
    with silent.view(["thread:x"]) as viewer:
        assert await silent.follow(viewer, generation) == []
        silent.hand_over(OURS, [(generation, [(1, "text", "a"), (2, "text", "b")])])
        assert await take_rows(viewer, 2) == [(1, "text", "a"), (2, "text", "b")]


async def test_a_gap_is_read_from_the_log(reader: Reader) -> None:
    generation = new_id()
    with reader.view(["thread:x"]) as viewer:
        await reader.follow(viewer, generation)
        await store(generation, (1, "text", "a"), (2, "text", "b"), (3, "text", "c"))
        reader.hand_over(OURS, [(generation, [(3, "text", "c")])])
        assert await take_rows(viewer, 3) == [(1, "text", "a"), (2, "text", "b"), (3, "text", "c")]


async def test_rows_that_come_on_both_ways_come_once(reader: Reader) -> None:
    generation, rows = new_id(), [(seq, "text", str(seq)) for seq in range(1, 41)]
    with reader.view(["thread:x"]) as viewer:
        await reader.follow(viewer, generation)
        for row in rows:
            await store(generation, row)
            await notify(ANOTHER, generation)
            reader.hand_over(OURS, [(generation, [row])])
        assert await take_rows(viewer, 40) == rows
        await store(generation, (41, "text", "41"))
        await notify(ANOTHER, generation)
        assert await take_rows(viewer, 1) == [(41, "text", "41")]


async def test_what_another_worker_wrote_is_read(reader: Reader) -> None:
    ours, foreign = new_id(), new_id()
    reader.hand_over(OURS, [(ours, [(1, "text", "a")])])
    with reader.view(["thread:x"]) as viewer:
        await reader.follow(viewer, foreign)
        await store(foreign, (1, "text", "b"))
        await notify(ANOTHER, foreign)
        assert await take_rows(viewer, 1) == [(1, "text", "b")]


async def test_who_begins_to_follow_while_rows_are_handed_over_misses_none(reader: Reader) -> None:
    generation = new_id()
    await store(generation, (1, "text", "1"))

    async def write() -> None:
        for seq in range(2, 60):
            row = (seq, "text", str(seq))
            await store(generation, row)
            reader.hand_over(OURS, [(generation, [row])])

    writing = asyncio.create_task(write())
    for begun_after in range(5):
        with reader.view(["thread:x"]) as viewer:
            await asyncio.sleep(0.002 * begun_after)
            seen = [row[0] for row in await reader.follow(viewer, generation)]
            async with within("rows that are handed over meanwhile"):
                while len(seen) < 20 + 5 * begun_after:
                    seen += [row[0] for row in await take_rows(viewer, 1) if row[0] > seen[-1]]
        assert seen == list(range(1, len(seen) + 1))
    await writing


@pytest.mark.parametrize("worker", [OURS, ANOTHER])
async def test_the_last_row_is_not_missed_by_who_is_just_beginning_to_follow(
    reader: Reader, database: str, worker: int
) -> None:
    """Nothing comes after it that would show the gap."""
    for _ in range(10):
        generation, row = new_id(), (1, "text", "a")
        with reader.view(["thread:x"]) as viewer:
            async with own_connection(database, name="writer") as writer, writer.transaction():
                await writer.execute("LOCK TABLE delta IN ACCESS EXCLUSIVE MODE")
                following = asyncio.create_task(reader.follow(viewer, generation))
                await until("who waits for the table", lambda: fetch(_WAITS))
                await writer.execute(
                    "INSERT INTO delta (generation_id, seq, kind, body) VALUES ($1, 1, 'text', 'a')", generation
                )
                await writer.execute("SELECT pg_notify($1, $2)", LIVE_CHANNEL, f"{worker}:{generation.hex}")
            if worker == OURS:
                reader.hand_over(OURS, [(generation, [row])])
            assert await following or await take_rows(viewer, 1) == [row]


async def test_of_two_that_begin_at_once_the_slower_misses_nothing_that_the_faster_read(
    reader: Reader, database: str, postgres: EmbeddedPostgres
) -> None:
    generation, row = new_id(), (1, "text", "a")
    name = database.partition("?")[0].rsplit("/", 1)[1]
    async with Relay(to_socket(f"{postmaster.socket_folder(postgres.folder)}/.s.PGSQL.5432")) as relay:
        await close_pool()
        await open_pool(f"postgresql://postgres@127.0.0.1:{relay.port}/{name}", size=4)
        try:
            relay.delay_answer_to(generation.bytes)
            with reader.view(["thread:x"]) as slow, reader.view(["thread:x"]) as fast:
                following = asyncio.create_task(reader.follow(slow, generation))
                async with within("an answer on its way"):
                    await relay.delayed.wait()  # it found nothing, and does not know that yet
                await store(generation, row)
                reader.hand_over(OURS, [(generation, [row])])
                assert await reader.follow(fast, generation) == [row]
                relay.go_on.set()
                assert await following or await take_rows(slow, 1) == [row]
        finally:
            await close_pool()
            await open_pool(database, size=12)


async def test_following_asks_once(reader: Reader, database: str) -> None:
    generation = new_id()
    with reader.view(["thread:x"]) as viewer:
        await reader.follow(viewer, generation)
        # Stored without a word: a second look, now or when the reader wakes for another reason, would find it.
        await store(generation, (1, "text", "a"))
        with reader.view(["thread:y"]) as other:
            foreign = new_id()
            await reader.follow(other, foreign)
            await store(foreign, (1, "text", "b"))
            await notify(ANOTHER, foreign)
            assert await take_rows(other, 1) == [(1, "text", "b")]
        assert await viewer.take(timeout_seconds=0.1) == []
