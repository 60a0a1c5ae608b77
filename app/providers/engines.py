"""The llama.cpp processes of this app: one a model, started on first use, ended when nobody needed it for a while.

Together they take no more memory than a limit: who needs room ends those that are idle, the least recently used first.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from app.providers.engine import Engine, EngineState
from app.providers.engine_memory import default_limit_bytes, estimated_bytes, size_text
from app.providers.errors import NoMemory, ProviderError, StreamCut, TimedOut, Unreachable
from app.providers.keeping import EngineOptions
from app.words import gettext as _

_NEWS_SECONDS = 0.5
_AS_IT_COMES = EngineOptions()

log = structlog.get_logger()


class Engines:
    """Owns every child: whoever makes one of these closes it. Needs a running loop from the first `use` on.

    `on_change` is called whenever what `states` says has changed. `room_seconds`: how long a model waits for others to
    become idle, where there is no room for it.
    """

    def __init__(
        self,
        *,
        idle_seconds: float = 300.0,
        start_seconds: float = 300.0,
        room_seconds: float = 60.0,
        slots: int = 2,
        limit_bytes: int | None = None,
    ) -> None:
        self.idle_seconds = idle_seconds
        self.start_seconds = start_seconds
        self.room_seconds = room_seconds
        self.slots = slots
        self.limit_bytes = limit_bytes or default_limit_bytes()
        self.on_change: Callable[[], None] | None = None
        self._current: dict[Path, Engine] = {}
        self._tasks: dict[Engine, asyncio.Task[None]] = {}
        self._measuring: set[asyncio.Task[None]] = set()
        self._making_room = asyncio.Lock()
        self._news = asyncio.Event()

    def configure(self, *, idle_seconds: float, limit_bytes: int | None) -> None:
        """Change how long engines stay unused, and the memory of all of them; None: three quarters of the machine's."""
        self.idle_seconds = idle_seconds
        self.limit_bytes = limit_bytes or default_limit_bytes()
        for engine in [engine for engine in self._tasks if engine.is_idle]:
            self._let_rest(engine)
        self._trim()

    def is_running(self, path: Path) -> bool:
        return self.find(path) is not None

    def find(self, path: Path) -> EngineState | None:
        """The engine that runs this file, once it is ready."""
        engine = self._current.get(path)
        return engine.state if engine and engine.is_running else None

    def states(self) -> list[EngineState]:
        """Every engine, by age: those that are starting too, and those that only finish what they are at."""
        return [engine.state for engine in self._tasks]

    @asynccontextmanager
    async def use(
        self, path: Path, context_tokens: int, options: EngineOptions = _AS_IT_COMES
    ) -> AsyncGenerator[Engine, None]:
        """An engine with this model and at least this context window, kept alive meanwhile. Raises `ProviderError`.

        Everybody who asks while it starts waits for the same start. One that is too small, or runs with other options,
        is replaced; those who are still using it finish first.
        """
        with self._held(path, context_tokens, options) as engine:
            await asyncio.shield(engine.started)  # one of several who wait may go away without ending the start
            try:
                yield engine
            except (StreamCut, Unreachable):
                # If its end is the reason, the next use must find it gone: the news of it may come a little later.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_NEWS_SECONDS):  # `wait_for` may lose a cancellation on Python 3.11
                        await engine.ended.wait()
                raise

    async def load(
        self, path: Path, context_tokens: int, options: EngineOptions = _AS_IT_COMES
    ) -> AsyncGenerator[str, None]:
        """Start an engine, unless there is one: what llama.cpp says until it is ready. Raises `ProviderError`."""
        with self._held(path, context_tokens, options) as engine:
            told, is_over = 0, False
            while not is_over:
                news, is_over = engine.news, engine.started.done()
                new, told = engine.lines_after(told), engine.line_count
                for line in new:
                    yield line
                if not is_over:
                    await news.wait()
            await asyncio.shield(engine.started)

    async def unload(self, path: Path) -> None:
        """End the engines of a model, also those that are still starting. What they are writing breaks off."""
        found = [engine for engine in self._tasks if engine.path == path]
        for engine in found:
            engine.is_unloaded = True
        await self._end(*found)

    async def close(self) -> None:
        """End every child, also those that are still starting."""
        await self._end(*self._tasks)
        await asyncio.gather(*self._measuring)
        self._making_room = asyncio.Lock()  # the next user may have another loop

    @contextmanager
    def _held(self, path: Path, context_tokens: int, options: EngineOptions) -> Generator[Engine, None, None]:
        engine = self._engine_for(path, context_tokens, options)
        engine.users += 1
        if engine.rest:
            engine.rest.cancel()
        engine.expires_at = None
        self._changed()
        try:
            yield engine
        finally:
            engine.users -= 1
            self._let_rest(engine)
            self._measure_later(engine)

    def _engine_for(self, path: Path, context_tokens: int, options: EngineOptions) -> Engine:
        """The engine that is there or starting, if it will do, or else a new one."""
        engine = self._current.get(path)
        if engine and not engine.ended.is_set():
            if engine.context_tokens >= context_tokens and engine.options == options:
                return engine
            self._retire(engine)
        engine = self._current[path] = Engine(path, context_tokens, options, self.slots)
        task = self._tasks[engine] = asyncio.get_running_loop().create_task(self._run(engine))
        task.add_done_callback(lambda _task: self._forget(engine))  # also where it was cancelled before it began
        return engine

    async def _run(self, engine: Engine) -> None:
        """The life of an engine, from the search for room to its end."""
        try:
            await self._make_room(engine)
            await self._start(engine)
            engine.started.set_result(None)
            self._changed()
            self._let_rest(engine)
            self._measure_later(engine)
            await engine.outlive()
        except ProviderError as error:
            engine.failure = error
        finally:
            engine.kill()
            await engine.outlive()

    async def _start(self, engine: Engine) -> None:
        try:
            async with asyncio.timeout(self.start_seconds):
                await engine.start()
        except TimeoutError:
            sentence = _("The model %(model)s was not loaded within %(seconds)s seconds.")
            raise TimedOut(sentence % {"model": engine.name, "seconds": f"{self.start_seconds:g}"}) from None
        assert engine.process is not None
        log.info("engine_started", model=engine.name, process=engine.process.pid, context_tokens=engine.context_tokens)

    def _forget(self, engine: Engine) -> None:
        engine.ended.set()
        del self._tasks[engine]
        if self._current.get(engine.path) is engine:
            del self._current[engine.path]
        if engine.rest:
            engine.rest.cancel()
        if engine.process is not None:
            code = engine.process.returncode
            log.info("engine_ended", model=engine.name, process=engine.process.pid, exit_code=code)
        if not engine.started.done():
            engine.started.set_exception(engine.failure or _ended_early(engine))
        engine.started.exception()  # perhaps nobody waited for it
        self._changed()

    async def _make_room(self, engine: Engine) -> None:
        """Wait until the model fits beside the others, and count it among them. One model after the other."""
        needed = await asyncio.to_thread(estimated_bytes, engine.path, engine.context_tokens, engine.slots)
        named = {"model": engine.name, "needed": size_text(needed), "limit": size_text(self.limit_bytes)}
        try:
            async with asyncio.timeout(self.room_seconds), self._making_room:
                while not await self._has_room(needed):
                    if needed > self.limit_bytes:
                        sentence = _("The model %(model)s needs about %(needed)s of memory. Models may take %(limit)s.")
                        raise NoMemory(sentence % named)
                    if (idle := self._least_recently_used()) is not None:
                        log.info("engine_made_room", model=idle.name, for_model=engine.name)
                        await self._end(idle)
                    else:
                        await self._news.wait()
                engine.memory_bytes = needed
        except TimeoutError:
            sentence = _(
                "The model %(model)s needs about %(needed)s of memory, and others are using too much of the %(limit)s"
                " that models may take. Try again when they have finished."
            )
            raise NoMemory(sentence % named) from None
        self._changed()

    async def _has_room(self, needed: int) -> bool:
        self._news = asyncio.Event()
        for engine in list(self._tasks):
            await engine.measure()
        return self._taken_bytes() + needed <= self.limit_bytes

    def _taken_bytes(self) -> int:
        return sum(engine.memory_bytes or 0 for engine in self._tasks)

    def _least_recently_used(self) -> Engine | None:
        idle = [engine for engine in self._tasks if engine.is_idle]
        return min(idle, key=lambda engine: engine.rests_since, default=None)

    def _trim(self) -> None:
        """End idle engines that do not fit any more; the one that was used last may be alone in being too large."""
        idle = sorted((engine for engine in self._tasks if engine.is_idle), key=lambda engine: engine.rests_since)
        taken = self._taken_bytes()
        for engine in idle if len(self._tasks) > len(idle) else idle[:-1]:
            if taken > self.limit_bytes:
                taken -= engine.memory_bytes or 0
                self._retire(engine)

    def _let_rest(self, engine: Engine) -> None:
        """Nobody needs it, perhaps: then it ends after a while, or at once if it was replaced."""
        if engine.users or engine.ended.is_set():
            return
        if engine.is_retired:
            self._cancel(engine)
        elif engine.is_running:
            if engine.rest:
                engine.rest.cancel()
            engine.rest = asyncio.get_running_loop().call_later(self.idle_seconds, self._retire, engine)
            engine.rests_since = time.monotonic()
            engine.expires_at = datetime.now(UTC) + timedelta(seconds=self.idle_seconds)
        self._changed()

    def _retire(self, engine: Engine) -> None:
        engine.is_retired = True
        if self._current.get(engine.path) is engine:
            del self._current[engine.path]
        self._let_rest(engine)

    async def _end(self, *engines: Engine) -> None:
        tasks = [self._tasks[engine] for engine in engines]
        for engine in engines:
            engine.is_retired = True
            if self._current.get(engine.path) is engine:
                del self._current[engine.path]
            self._cancel(engine)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cancel(self, engine: Engine) -> None:
        """Once: another time would break off the wait for its end."""
        if not engine.is_ending:
            engine.is_ending = True
            self._tasks[engine].cancel()

    def _measure_later(self, engine: Engine) -> None:
        async def measure() -> None:
            if await engine.measure():
                self._trim()
                self._changed()

        if engine.is_running:
            task = asyncio.get_running_loop().create_task(measure())
            self._measuring.add(task)
            task.add_done_callback(self._measuring.discard)

    def _changed(self) -> None:
        self._news.set()
        if self.on_change:
            self.on_change()


ENGINES = Engines()
"""Those of this process. `close` it when the process ends."""


def _ended_early(engine: Engine) -> ProviderError:
    if engine.is_unloaded:
        return StreamCut(_("The model %(model)s was unloaded before it was ready.") % {"model": engine.name})
    sentence = _("The model %(model)s is not available: its engine is being ended.")
    return Unreachable(sentence % {"model": engine.name})
