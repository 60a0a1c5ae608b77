"""The live log: rows in order and each once, through cut connections, fences, slow readers and a full memory."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest

from app.database import fetch, new_id, own_connection
from app.live import Fenced, Lost, News, Reader, Tape, Viewer, Writer, read_log, tell
from app.live.writer import MOST_PENDING_CHARS
from app.parts import ReasoningDelta, TextDelta, ToolCallDelta
from tests.watching import SECONDS, until, within

WORKER = 7


@contextlib.asynccontextmanager
async def running(part: Writer | Reader) -> AsyncIterator[None]:
    task = asyncio.create_task(part.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def writer(database: str) -> Writer:
    await fetch(
        "INSERT INTO worker (id, name, is_alive, started_at, seen_at) VALUES ($1, 'test', true, now(), now())", WORKER
    )
    return Writer(database, WORKER)


@pytest.fixture
async def reader(database: str) -> AsyncIterator[Reader]:
    made = Reader(database)
    with made.view([]) as first:
        async with running(made):
            # Whoever is there when it begins to listen is told to begin again.
            assert await first.take(timeout_seconds=SECONDS) == [Lost()]
            made.viewers.discard(first)
            yield made


async def cut(name: str) -> None:
    """The connections of this name are gone."""
    await fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = $1 AND datname = current_database()",
        name,
    )


async def text_of(generation: uuid.UUID) -> str:
    rows = await read_log(generation)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return "".join(row[2] for row in rows)


async def test_deltas_of_many_tapes_survive_a_writer_that_is_cut_again_and_again(writer: Writer) -> None:
    tapes = [writer.open(new_id()) for _ in range(20)]
    async with running(writer):
        for number in range(150):
            for tape in tapes:
                tape.append(TextDelta(f"{number} "))
            if number % 30 == 7:
                await cut("parley live writer")
            await asyncio.sleep(0.005)
        async with within("the flush of all tapes"):
            await asyncio.gather(*(tape.flush() for tape in tapes))
    for tape in tapes:
        assert await text_of(tape.generation_id) == "".join(f"{number} " for number in range(150))
        assert await read_log(tape.generation_id) == tape.rows


async def test_what_a_crash_of_postgres_forgot_is_said_again_before_a_tape_counts_as_flushed(writer: Writer) -> None:
    tape = writer.open(new_id())
    async with running(writer):
        tape.append(TextDelta("shown "))
        await tape.flush()
        # Committed without fsync, shown, and gone with the crash that cuts the connection.
        await fetch("DELETE FROM delta")
        before = writer.flushes
        await cut("parley live writer")
        await until("the writer's word that it was cut", lambda: tape in writer.in_flight or writer.flushes > before)
        async with within("the flush after a crash"):
            await tape.flush()
        assert await text_of(tape.generation_id) == "shown "


async def test_neighbours_share_a_row_and_kinds_do_not(writer: Writer) -> None:
    tape = writer.open(new_id())
    for delta in (ReasoningDelta("a"), ReasoningDelta("b"), TextDelta("c"), TextDelta("d"), ToolCallDelta(0, "x")):
        tape.append(delta)
    tape.append(ToolCallDelta(0, arguments="{}"))
    async with running(writer):
        await tape.flush()
    rows = await read_log(tape.generation_id)
    assert [(seq, kind) for seq, kind, _ in rows] == [(1, "reasoning"), (2, "text"), (3, "json"), (4, "json")]
    assert [body for _, _, body in rows][:2] == ["ab", "cd"]


async def test_a_fenced_writer_writes_nothing_and_keeps_nobody_waiting(writer: Writer) -> None:
    tape, waiting = writer.open(new_id()), writer.open(new_id())
    task = asyncio.create_task(writer.run())
    tape.append(TextDelta("before "))
    await tape.flush()
    await fetch("UPDATE worker SET is_alive = false")
    tape.append(TextDelta("after"))
    waiting.append(TextDelta("too late"))
    async with within("the end of a fenced writer"):
        for each in (tape, waiting):
            with pytest.raises(Fenced):
                await each.flush()
        await task
    with pytest.raises(Fenced):
        tape.append(TextDelta("more"))
    assert await text_of(tape.generation_id) == "before "
    assert await text_of(waiting.generation_id) == ""


async def test_a_worker_that_was_fenced_while_idle_waits_for_nothing(writer: Writer) -> None:
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0.05)
    writer.fence()
    async with within("the end of a fenced writer"):
        await task


async def test_a_text_that_postgres_refuses_does_not_hold_up_others(writer: Writer) -> None:
    poisoned, other = writer.open(new_id()), writer.open(new_id())
    async with running(writer):
        poisoned.append(TextDelta("a\0b"))
        other.append(TextDelta("fine"))
        async with within("the flush of both tapes"):
            await asyncio.gather(poisoned.flush(), other.flush())
    assert await text_of(other.generation_id) == "fine"
    assert await text_of(poisoned.generation_id) == "a\ufffdb"


async def test_who_reads_a_model_waits_while_memory_is_full_and_postgres_away(writer: Writer) -> None:
    tape = writer.open(new_id())
    for _ in range(17):
        tape.append(TextDelta("x" * (MOST_PENDING_CHARS // 16)))
    room = asyncio.create_task(writer.room())
    await asyncio.sleep(0.05)
    assert not room.done()
    async with running(writer), within("room, and the flush"):
        await room
        await tape.flush()


async def test_a_heartbeat_is_not_held_up_by_a_flush_that_waits(writer: Writer, database: str) -> None:
    tape = writer.open(new_id())
    async with own_connection(database, name="locker") as locker, locker.transaction():
        await locker.execute("LOCK TABLE delta IN ACCESS EXCLUSIVE MODE")
        async with running(writer):
            tape.append(TextDelta("x"))
            await until("a flush that waits for the table", lambda: fetch(_WAITS_FOR_DELTA))
            async with within("a heartbeat"):
                await fetch("UPDATE worker SET seen_at = now()")


_WAITS_FOR_DELTA = """
SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'delta'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def collect(viewer: Viewer, last: str, seen: dict[int, str]) -> None:
    """Rows by number, until their text ends so."""
    async with within(f"rows up to {last!r}"):
        while not "".join(seen[seq] for seq in sorted(seen)).endswith(last):
            for item in await viewer.take(timeout_seconds=SECONDS):
                assert isinstance(item, tuple), item
                assert seen.setdefault(item[1][0], item[1][2]) == item[1][2]


async def test_viewers_that_join_and_leave_get_every_row(writer: Writer, reader: Reader) -> None:
    tape = writer.open(new_id())

    async def watch(delay: float, *, leaves: bool = False) -> str:
        await asyncio.sleep(delay)
        with reader.view([]) as viewer:
            seen = {seq: body for seq, _, body in await reader.follow(viewer, tape.generation_id)}
            if leaves:
                return ""
            await collect(viewer, "end", seen)
        assert sorted(seen) == list(range(1, len(seen) + 1))
        return "".join(seen[seq] for seq in sorted(seen))

    async def write() -> None:
        for number in range(100):
            tape.append(TextDelta(f"{number} "))
            await asyncio.sleep(0.004)
        tape.append(TextDelta("end"))

    async with running(writer):
        watches = [watch(n * 0.02, leaves=n % 3 == 1) for n in range(20)]
        texts, _ = await asyncio.gather(asyncio.gather(*watches), write())
    assert set(texts) == {"", "".join(f"{number} " for number in range(100)) + "end"}
    assert not reader.viewers
    assert not reader._cursor
    assert not reader._followers
    assert not reader._by_key


async def test_viewers_begin_again_when_the_reader_was_cut(reader: Reader) -> None:
    with reader.view(["thread:1"]) as viewer:
        await cut("parley live reader")
        assert await viewer.take(timeout_seconds=SECONDS) == [Lost()]
        await tell(News(key="thread:1", event="idle"))
        assert await viewer.take(timeout_seconds=SECONDS) == [News(key="thread:1", event="idle")]


async def test_a_viewer_that_does_not_take_is_lost_and_holds_little(reader: Reader) -> None:
    generation = new_id()
    with reader.view([]) as viewer:
        for number in range(2_000):
            viewer.put((generation, (number, "text", "x" * 1_000)))
        assert await viewer.take(timeout_seconds=SECONDS) == [Lost()]
        assert await viewer.take(timeout_seconds=0.01) == []


async def test_the_end_of_the_process_ends_streams_that_are_open_and_that_come(reader: Reader) -> None:
    with reader.view([]) as before:
        reader.end()
        assert await before.take(timeout_seconds=SECONDS) == [Lost()]
    with reader.view([]) as after:
        assert await after.take(timeout_seconds=SECONDS) == [Lost()]


async def test_news_reach_those_they_concern(reader: Reader) -> None:
    with reader.view(["thread:1"]) as one, reader.view(["thread:2"]) as two:
        await tell(News(key="thread:1", event="title", title="A"))
        await tell(News(key="thread:2", event="title", title="B"))
        assert [item.title for item in await one.take(timeout_seconds=SECONDS) if isinstance(item, News)] == ["A"]
        assert [item.title for item in await two.take(timeout_seconds=SECONDS) if isinstance(item, News)] == ["B"]


def test_a_tape_numbers_its_rows_from_one() -> None:
    tape = Tape(Writer("", WORKER), new_id())
    tape.append(TextDelta("a"))
    assert tape.take() == [(1, "text", "a")]
    tape.append(TextDelta("b"))
    assert tape.take() == [(2, "text", "b")]
    assert tape.rows == [(1, "text", "a"), (2, "text", "b")]
