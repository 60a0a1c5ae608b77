"""The writer (one per worker process): commits the deltas of all its generations together."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import structlog

from app import database
from app.database import AWAY, Outage
from app.errors import AppError
from app.live.log import LIVE_CHANNEL, Row, to_row
from app.parts import Delta, clean
from app.words import gettext as _

log = structlog.get_logger()

#: Postgres refuses a NOTIFY payload of 8,000 bytes; 32 hex digits and a comma name a generation.
MOST_NAMED = 200
#: Takes a worker's id and what it has just committed: generations, each with its new rows.
HandOver = Callable[[int, Sequence[tuple[uuid.UUID, list[Row]]]], None]
#: What one process keeps of undelivered deltas while Postgres is away, in characters, before it stops reading models.
MOST_PENDING_CHARS = 16_000_000


class Fenced(Exception):
    """Another process took this worker for dead: nothing that it writes counts any more."""


class DeltaRefused(AppError):
    """Postgres refuses part of this answer, so the answer ends there. Other answers go on."""

    code = "not_stored"


class Tape:
    """The log of one running generation, as its worker writes it. Neighbouring pieces of text share a row.

    `rows` are numbered, and the first `stored` of them are committed. `is_refused`: the rest never will be.
    """

    def __init__(self, writer: "Writer", generation_id: uuid.UUID) -> None:
        self.generation_id = generation_id
        self.rows: list[Row] = []
        self.waiting: list[tuple[str, str]] = []
        self.stored = 0
        self.is_refused = False
        self._writer = writer

    def append(self, delta: Delta) -> None:
        """Add a delta; it is committed within the writer's interval. Raises `Fenced` and `DeltaRefused`."""
        self._raise_if_refused()
        self._writer.add(self, *to_row(delta))

    async def flush(self) -> None:
        """Wait until all that was appended is committed. Raises `Fenced` and `DeltaRefused`."""
        while self.waiting or self in self._writer.in_flight:
            await self._writer.next_flush()
        if self._writer.is_fenced:
            raise Fenced
        self._raise_if_refused()

    def take(self) -> list[Row]:
        """Number what waits: the rows of the next flush."""
        seq = self.rows[-1][0] if self.rows else 0
        taken: list[Row] = []
        for kind, body in self.waiting:
            if taken and kind == taken[-1][1] and kind != "json":
                taken[-1] = (seq, kind, taken[-1][2] + body)
            else:
                seq += 1
                taken.append((seq, kind, body))
        self.waiting.clear()
        self.rows += taken
        return taken

    def clean(self) -> None:
        """Replace characters that Postgres is known to refuse."""
        self.rows = [(seq, kind, clean(body)) for seq, kind, body in self.rows]
        self.waiting = [(kind, clean(body)) for kind, body in self.waiting]

    def refuse(self) -> None:
        """Give up the tape; keep only the committed rows."""
        del self.rows[self.stored :]
        self.waiting.clear()
        self.is_refused = True

    def _raise_if_refused(self) -> None:
        if self.is_refused:
            raise DeltaRefused(_("The database refused part of this answer, so it ends here."))


class Writer:
    """Commits what all tapes of this process wait with, in one statement and one notification per flush.

    What is committed is handed over to the reader of the same process, if there is one, without asking Postgres for it.
    """

    def __init__(self, url: str, worker_id: int, hand_over: HandOver | None = None) -> None:
        self.worker_id = worker_id
        self._hand_over = hand_over
        self.tapes: set[Tape] = set()
        self.in_flight: set[Tape] = set()
        self.flushes = 0
        self._url = url
        self.is_fenced = False
        self._must_repeat = False
        self._pending_chars = 0
        self._wake = asyncio.Event()
        self._flushed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def open(self, generation_id: uuid.UUID) -> Tape:
        """A new tape for a generation that this process has claimed."""
        tape = Tape(self, generation_id)
        self.tapes.add(tape)
        return tape

    def close(self, tape: Tape) -> None:
        """Forget a tape: its generation has ended."""
        self.tapes.discard(tape)
        self.in_flight.discard(tape)

    def add(self, tape: Tape, kind: str, body: str) -> None:
        if self.is_fenced:
            raise Fenced
        tape.waiting.append((kind, body))
        self._pending_chars += len(body)
        if self._pending_chars > MOST_PENDING_CHARS:
            self._room.clear()
        self._wake.set()

    async def room(self) -> None:
        """Wait while Postgres is away and memory is full: who reads a model server waits here between reads."""
        if not self._room.is_set():
            await self._room.wait()

    async def next_flush(self) -> None:
        """Wait for the end of the flush under way. Nothing is awaited before that event is taken: its end is not missed."""
        if not self.is_fenced:
            await self._flushed.wait()
        if self.is_fenced:
            raise Fenced

    def fence(self) -> None:
        """It turned out that this worker was declared dead: end, and let nobody wait any longer."""
        if not self.is_fenced:
            log.warning("worker_fenced", worker=self.worker_id)
        self.is_fenced = True
        self._wake.set()
        self._room.set()
        self._tell_flushed()

    async def run(self) -> None:
        """Flush until cancelled or fenced; through restarts of Postgres."""
        outage = Outage("live writer")
        while not self.is_fenced:
            try:
                async with database.own_connection(self._url, name="parley live writer") as connection:
                    connection.add_termination_listener(self._lose)
                    await connection.execute("SET synchronous_commit = off")
                    await self._flush_all(connection, outage)
            except (*AWAY, asyncpg.PostgresError) as error:
                self._lose()
                outage.note(error)
                await asyncio.sleep(0.2)

    def _tell_flushed(self) -> None:
        """Wake all who wait for this flush; who comes from now on waits for the next one."""
        self._flushed.set()
        self._flushed = asyncio.Event()

    def _lose(self, _connection: object = None) -> None:
        """The connection is gone. A crash of Postgres loses commits without fsync though pages have shown them, so
        everything is said again, and no tape counts as flushed before that.
        """
        self._must_repeat = True
        self.in_flight |= self.tapes
        self._wake.set()

    async def _flush_all(self, connection: "asyncpg.Connection[Any]", outage: Outage) -> None:
        last = 0.0
        while not self.is_fenced and not connection.is_closed():
            # Asked each time: word that the connection before was lost may come when this one is there.
            if self._must_repeat:
                self._must_repeat = False
                await self._write(connection, [(tape, tape.rows) for tape in self.tapes], is_repeated=True)
            outage.end()
            await self._wake.wait()
            # A lone reader gets each token at once; a crowd gets frames (from 100 generations on: every 40 ms).
            pause = min(0.04, 0.0004 * len(self.tapes)) - (time.monotonic() - last)
            if pause > 0:
                await asyncio.sleep(pause)
            self._wake.clear()
            if self.is_fenced or self._must_repeat:
                continue
            last = time.monotonic()
            if batch := [(tape, tape.take()) for tape in self.tapes if tape.waiting]:
                await self._write(connection, batch)

    async def _write(
        self, connection: "asyncpg.Connection[Any]", batch: list[tuple[Tape, list[Row]]], *, is_repeated: bool = False
    ) -> None:
        """Commit rows of several tapes. If Postgres refuses the batch, each tape is written on its own."""
        self.in_flight.update(tape for tape, _ in batch)
        try:
            await self._commit(connection, batch, _REPEAT if is_repeated else _INSERT)
        except asyncpg.PostgresError as error:
            if isinstance(error, AWAY):
                raise
            for tape in [tape for tape, _ in batch]:
                await self._write_alone(connection, tape)
        self.flushes += 1
        self.in_flight.difference_update(tape for tape, _ in batch)
        self._pending_chars = sum(len(body) for tape in self.tapes for _, body in tape.waiting)
        if self._pending_chars <= MOST_PENDING_CHARS:
            self._room.set()
        self._tell_flushed()

    async def _write_alone(self, connection: "asyncpg.Connection[Any]", tape: Tape) -> None:
        """Commit all rows of one tape; if refused, retry with cleaned text, then give the tape up."""
        for attempt in (1, 2):
            try:
                return await self._commit(connection, [(tape, tape.rows)], _REPEAT)
            except asyncpg.PostgresError as error:
                if isinstance(error, AWAY):
                    raise
                log.error("delta_refused", generation_id=str(tape.generation_id), error=type(error).__name__)
                if attempt == 1:
                    tape.clean()
        tape.refuse()

    async def _commit(
        self, connection: "asyncpg.Connection[Any]", batch: list[tuple[Tape, list[Row]]], statement: str
    ) -> None:
        flat = [row for _, rows in batch for row in rows]
        named = {tape.generation_id.hex for tape, _ in batch}
        count = await connection.fetchval(
            statement,
            self.worker_id,
            [tape.generation_id for tape, rows in batch for _ in rows],
            [row[0] for row in flat],
            [row[1] for row in flat],
            [row[2] for row in flat],
            f"{self.worker_id}:{','.join(named) if len(named) <= MOST_NAMED else ''}",
        )
        if count is None:
            return self.fence()
        for tape, rows in batch:
            tape.stored = max(tape.stored, rows[-1][0] if rows else 0)
        if self._hand_over is not None:
            self._hand_over(self.worker_id, [(tape.generation_id, rows) for tape, rows in batch if rows])


# The worker's row is the fence: FOR KEY SHARE lets flushes and heartbeats pass, and who declares the worker dead takes
# the row FOR UPDATE, which waits for flushes under way.
_INSERT = f"""
WITH alive AS MATERIALIZED (SELECT 1 FROM worker WHERE id = $1 AND is_alive FOR KEY SHARE),
added AS (
    INSERT INTO delta (generation_id, seq, kind, body)
    SELECT d.* FROM unnest($2::uuid[], $3::int[], $4::text[], $5::text[]) AS d, alive
)
SELECT pg_notify('{LIVE_CHANNEL}', $6)::text FROM alive
"""

# After a crash of Postgres everything is written again, and what was kept is kept. It costs half as much again as the plain one.
_REPEAT = _INSERT.replace("AS d, alive", "AS d, alive ON CONFLICT DO NOTHING")
