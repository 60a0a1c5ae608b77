"""Which models this worker has loaded itself, for everybody to see: rows that follow its engines."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from app.chat.tasks import PAGES
from app.chat.worker import Worker
from app.database import AWAY, Outage, fetch, new_id
from app.live import News
from app.providers import model_files
from app.providers.engine import EngineState
from app.providers.engines import Engines
from app.providers.errors import ProviderError

#: Memory grows and shrinks without a word: it is looked at this often.
LOOK_SECONDS = 5.0
#: Changes that come in quick succession are written together.
PAUSE_SECONDS = 0.2


class EngineRows:
    """What this worker's engines hold, written down as it changes."""

    def __init__(self, worker: Worker, engines: Engines, models_folder: Path) -> None:
        self._worker = worker
        self._models_folder = models_folder
        self._engines = engines
        self._changed = asyncio.Event()
        self._written: tuple[int, Sequence[EngineState]] = (0, [])
        self._writing = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        engines.on_change = self._changed.set

    def hear(self, news: News) -> None:
        """Unload a model when that was asked of all workers."""
        if news.key == "worker" and news.event == "unload":
            task = asyncio.get_running_loop().create_task(self._unload(news.title))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def run(self) -> None:
        """Write until cancelled; through restarts of Postgres."""
        outage = Outage("engine rows")
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self.write()
                outage.end()
            except (*AWAY, asyncpg.PostgresError) as error:
                outage.note(error)
            await asyncio.sleep(PAUSE_SECONDS)

    async def write(self) -> None:
        """Write what is not written yet."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        # One that only finishes what it is at stands before the one that took its place.
        states = list({state.model_name: state for state in self._engines.states()}.values())
        now = (self._worker.id, states)
        if now == self._written:
            return
        was = {(each.model_name, each.state) for each in self._written[1]}
        # Loaded or not is for every picker; how much memory it takes only for who looks at the models.
        is_news = was != {(each.model_name, each.state) for each in states}
        await fetch(
            _WRITE, self._worker.id, [new_id() for _each in states], [each.model_name for each in states],
            [each.state for each in states], [each.memory_bytes for each in states],
            [each.context_tokens for each in states], [each.slots for each in states],
            [each.started_at for each in states], [each.expires_at for each in states],
            [_encoded(News(key=PAGES, event="models")), *([_encoded(_CATALOG)] if is_news else [])],
        )  # fmt: skip
        self._written = now

    async def _unload(self, name: str) -> None:
        with contextlib.suppress(ProviderError):
            await self._engines.unload(model_files.path_of(self._models_folder, name))


_CATALOG = News(key="everybody", event="catalog")


def _encoded(news: News) -> str:
    return msgspec.json.encode(news).decode()


_WRITE = """
WITH now AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::int[], $8::timestamptz[],
        $9::timestamptz[]) AS n (id, model_name, state, memory_bytes, context_tokens, slots, started_at, expires_at)
), gone AS (
    DELETE FROM engine WHERE worker = $1 AND model_name <> ALL($3) OR NOT EXISTS (
        SELECT 1 FROM worker AS w WHERE w.id = engine.worker AND w.is_alive)
), written AS (
    INSERT INTO engine AS e (id, worker, model_name, state, memory_bytes, context_tokens, slots, started_at, expires_at)
    SELECT id, $1, model_name, state, memory_bytes, context_tokens, slots, started_at, expires_at FROM now
    ON CONFLICT (worker, model_name) DO UPDATE SET state = excluded.state, memory_bytes = excluded.memory_bytes,
        context_tokens = excluded.context_tokens, slots = excluded.slots, started_at = excluded.started_at,
        expires_at = excluded.expires_at
)
SELECT pg_notify('parley_news', told) FROM unnest($10::text[]) AS told
"""
