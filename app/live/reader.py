"""The reader (one per process): listens for deltas and news, and hands both to the viewers that wait for them."""

import asyncio
import contextlib
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from app import database
from app.database import AWAY, Outage
from app.live.log import LIVE_CHANNEL, NEWS_CHANNEL, News, Row, read_log

#: How often a connection that only listens is asked whether it is still there.
CHECK_SECONDS = 5.0


class Lost(msgspec.Struct, frozen=True):
    """The viewer missed something: it must begin again from its cursor."""


Item = tuple[uuid.UUID, Row] | News | Lost


class Viewer:
    """One open page, waiting: a bounded queue of deltas and news. Holds no database connection."""

    MOST_CHARS = 1_000_000

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = frozenset(keys)
        self.follows: uuid.UUID | None = None
        self._items: deque[Item] = deque()
        self._chars = 0
        self._waiting: asyncio.Future[None] | None = None

    def put(self, item: Item) -> None:
        """Hand over; a viewer that is too slow gets `Lost` instead of all that it has not taken."""
        self._chars += len(item[1][2]) if isinstance(item, tuple) else 100
        if self._chars > self.MOST_CHARS or isinstance(item, Lost):
            self._items.clear()
            item = Lost()
        self._items.append(item)
        self._wake()

    async def take(self, *, timeout_seconds: float) -> list[Item]:
        """All that waits, at least one item; nothing if none came in time."""
        if not self._items:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            # A timer of our own: `wait_for` makes a task of every wait, which costs more than drawing the frame.
            timer = loop.call_later(timeout_seconds, self._wake)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        items = list(self._items)
        self._items.clear()
        self._chars = 0
        return items

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Reader:
    """Listens for this process, reads new deltas of all followed generations in one query, and hands them out."""

    def __init__(self, url: str) -> None:
        self.viewers: set[Viewer] = set()
        self.hears: list[Callable[[News], None]] = []
        #: Called whenever it begins to listen: what was said before went unheard.
        self.begins: list[Callable[[], None]] = []
        self._url = url
        self._by_key: dict[str, set[Viewer]] = {}
        self._followers: dict[uuid.UUID, set[Viewer]] = {}
        self._cursor: dict[uuid.UUID, int] = {}
        self._changed: set[uuid.UUID] = set()
        self._own_worker = ""
        self._wake = asyncio.Event()
        self._is_ending = False
        #: Whether news reach this process now.
        self.is_listening = False

    @contextlib.contextmanager
    def view(self, keys: Iterable[str]) -> Any:
        """`with reader.view(keys) as viewer:` subscribed to news of those keys until the block ends."""
        viewer = Viewer(keys)
        self.viewers.add(viewer)
        for key in viewer.keys:
            self._by_key.setdefault(key, set()).add(viewer)
        if self._is_ending:
            viewer.put(Lost())
        try:
            yield viewer
        finally:
            self.unfollow(viewer)
            self.viewers.discard(viewer)
            for key in viewer.keys:
                self._by_key[key].discard(viewer)
                if not self._by_key[key]:
                    del self._by_key[key]

    async def follow(self, viewer: Viewer, generation_id: uuid.UUID) -> list[Row]:
        """Subscribe, then read: returns all stored rows; later ones come through the viewer, perhaps some again."""
        self.unfollow(viewer)
        viewer.follows = generation_id
        self._followers.setdefault(generation_id, set()).add(viewer)
        is_beginning = generation_id not in self._cursor
        rows = await read_log(generation_id)
        newest = rows[-1][0] if rows else 0
        if self._cursor.setdefault(generation_id, newest) > newest and is_beginning:
            # Another viewer began at the same time and read more: what lies between is handed out to nobody.
            rows += await read_log(generation_id, after=newest)
        if generation_id in self._changed:  # more came while these were read
            self._wake.set()
        return rows

    def unfollow(self, viewer: Viewer) -> None:
        """Hand this viewer no more deltas."""
        generation_id, viewer.follows = viewer.follows, None
        if generation_id is None:
            return
        followers = self._followers.get(generation_id, set())
        followers.discard(viewer)
        if not followers:
            self._followers.pop(generation_id, None)
            self._cursor.pop(generation_id, None)

    def hand_over(self, worker_id: int, stored: Sequence[tuple[uuid.UUID, list[Row]]]) -> None:
        """What this process's own writer has just committed goes to the viewers directly; notifications of it are ignored.

        Rows reach a viewer in their order and without a gap, on whichever of the two ways: what does not join on is read.
        """
        self._own_worker = str(worker_id)
        for generation_id, rows in stored:
            if generation_id not in self._followers:
                continue
            cursor = self._cursor.get(generation_id)
            if cursor is None:  # somebody is just beginning to follow it
                self._changed.add(generation_id)
            elif rows[0][0] > cursor + 1:
                self._changed.add(generation_id)
                self._wake.set()
            else:
                self._deliver(generation_id, rows)

    def end(self) -> None:
        """The process is about to end: let every stream finish by itself."""
        self._is_ending = True
        for viewer in self.viewers:
            viewer.put(Lost())

    async def run(self) -> None:
        """Listen and hand out until cancelled; through restarts of Postgres."""
        outage = Outage("live reader")
        while True:
            try:
                async with database.own_connection(self._url, name="parley live reader") as connection:
                    await self._listen(connection, outage)
            except (*AWAY, asyncpg.PostgresError) as error:
                self.is_listening = False
                outage.note(error)
                await asyncio.sleep(0.2)

    async def _listen(self, connection: "asyncpg.Connection[Any]", outage: Outage) -> None:
        connection.add_termination_listener(lambda _: self._wake.set())
        await connection.add_listener(LIVE_CHANNEL, self._hear_deltas)
        await connection.add_listener(NEWS_CHANNEL, self._hear_news)
        # News sent while nobody listened is gone: every page begins again from its cursor.
        for viewer in self.viewers:
            viewer.put(Lost())
        self._cursor.clear()  # a crash of Postgres undoes the last flushes, which are written again
        for begin in self.begins:
            begin()
        self.is_listening = True
        outage.end()
        while not connection.is_closed():
            try:
                # Not `wait_for`: on Python 3.11 it loses a cancellation that comes together with the wake-up.
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                # A connection whose other end vanished without a word would be silent for ever.
                await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
            self._wake.clear()
            wanted = [(g, self._cursor[g]) for g in self._changed if g in self._cursor]
            # Who is just beginning to follow one of the others looks for it then.
            self._changed = {g for g in self._changed if g in self._followers and g not in self._cursor}
            if wanted:
                await self._hand_out(connection, wanted)
        raise ConnectionError

    async def _hand_out(self, connection: "asyncpg.Connection[Any]", wanted: list[tuple[uuid.UUID, int]]) -> None:
        rows = await connection.fetch(_SELECT, [g for g, _ in wanted], [after for _, after in wanted])
        for generation_id, news in itertools.groupby(rows, key=lambda row: row["generation_id"]):
            self._deliver(generation_id, [(row["seq"], row["kind"], row["body"]) for row in news])

    def _deliver(self, generation_id: uuid.UUID, rows: list[Row]) -> None:
        cursor = self._cursor.get(generation_id)
        if cursor is None:
            return
        for row in rows:
            if row[0] > cursor:  # else it came on the other way meanwhile
                self._cursor[generation_id] = cursor = row[0]
                for viewer in self._followers[generation_id]:
                    viewer.put((generation_id, row))

    def _hear_deltas(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        worker, _, names = str(payload).partition(":")
        if not self._followers or worker == self._own_worker:
            return
        if names:
            self._changed.update(g for g in map(uuid.UUID, names.split(",")) if g in self._followers)
        else:
            self._changed.update(self._followers)
        if self._changed:
            self._wake.set()

    def _hear_news(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        news = msgspec.json.decode(str(payload), type=News)
        for hear in self.hears:
            hear(news)
        for viewer in self._by_key.get(news.key, ()):
            viewer.put(news)


_SELECT = """
SELECT d.generation_id, d.seq, d.kind, d.body
FROM unnest($1::uuid[], $2::int[]) AS w (generation_id, after)
JOIN delta AS d ON d.generation_id = w.generation_id AND d.seq > w.after
ORDER BY d.generation_id, d.seq
"""
