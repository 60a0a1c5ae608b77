"""The llama.cpp processes of this app: one a model, started on first use, ended when nobody needed it for a while."""

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog

from app.providers.errors import BadAnswer, StreamCut, TimedOut, Unreachable
from app.words import gettext as _

_SERVER = Path(__file__).with_name("llamacpp_server.py")
_LOG_BYTES = 16 * 1024
_NEWS_SECONDS = 0.5
_ERROR_LINE = re.compile(r"^[\d.]+ E +(?:[\w.]+ +)?[\w()]+: (.*)$", re.MULTILINE)
_SAYS_NOTHING = re.compile(r"exiting due to|failed to load model|encountered an error while trying to fit")

log = structlog.get_logger(__name__)


class Engine:
    """One running child. `context_tokens` is what each of its slots holds."""

    def __init__(self, path: Path, context_tokens: int, process: asyncio.subprocess.Process) -> None:
        self.path = path
        self.context_tokens = context_tokens
        self.process = process
        self.key = secrets.token_urlsafe(32)
        self.address = ""
        self.users = 0
        self.is_retired = False
        self.log_tail = b""
        self.rest: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()

    def kill(self) -> None:
        """It holds nothing that is worth a goodbye. What is under way there breaks off."""
        with suppress(ProcessLookupError):
            self.process.kill()


class Engines:
    """Owns every child: whoever makes one of these closes it. Needs a running loop from the first `use` on."""

    def __init__(self, *, idle_seconds: float = 300.0, start_seconds: float = 300.0, slots: int = 2) -> None:
        self.idle_seconds = idle_seconds
        self.start_seconds = start_seconds
        self.slots = slots
        self._current: dict[Path, asyncio.Task[Engine]] = {}
        self._alive: dict[Engine, asyncio.Task[None]] = {}

    def is_running(self, path: Path) -> bool:
        task = self._current.get(path)
        return task is not None and task.done() and not task.cancelled() and not task.exception()

    @asynccontextmanager
    async def use(self, path: Path, context_tokens: int) -> AsyncGenerator[Engine, None]:
        """An engine with this model and at least this context window, kept alive meanwhile. Raises `ProviderError`.

        Everybody who asks while it starts waits for the same start. One that is too small is replaced; those who are
        still using it finish first.
        """
        engine = await self._running(path, context_tokens)
        engine.users += 1
        if engine.rest:
            engine.rest.cancel()
        try:
            yield engine
        except (StreamCut, Unreachable):
            # If its end is the reason, the next use must find it gone: the news of it may come a little later.
            with suppress(TimeoutError):
                async with asyncio.timeout(_NEWS_SECONDS):  # `wait_for` may lose a cancellation on Python 3.11
                    await engine.ended.wait()
            raise
        finally:
            engine.users -= 1
            self._let_rest(engine)

    async def close(self) -> None:
        """End every child, also those that are still starting."""
        starting = list(self._current.values())
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        for engine in self._alive:
            engine.kill()
        await asyncio.gather(*self._alive.values())
        self._current.clear()

    async def _running(self, path: Path, context_tokens: int) -> Engine:
        while True:
            task = self._current.get(path)
            if task is None:
                task = asyncio.get_running_loop().create_task(self._start(path, context_tokens))
                self._current[path] = task
                task.add_done_callback(partial(self._forget_failed, path))
            try:
                engine = await asyncio.shield(task)  # one of several who wait may go away without ending the start
            except asyncio.CancelledError:
                if task.cancelled() and not _is_cancelled():
                    sentence = _("The model %(model)s is not available: its engine is being ended.")
                    raise Unreachable(sentence % {"model": path.stem}) from None
                raise
            if not engine.ended.is_set() and engine.context_tokens >= context_tokens:
                return engine
            if self._current.get(path) is task:
                del self._current[path]
            self._retire(engine)

    def _forget_failed(self, path: Path, task: "asyncio.Task[Engine]") -> None:
        """The next use tries again; also when everybody who waited has gone meanwhile."""
        if (task.cancelled() or task.exception()) and self._current.get(path) is task:
            del self._current[path]

    async def _start(self, path: Path, context_tokens: int) -> Engine:
        pipe = asyncio.subprocess.PIPE
        # A session of its own: Ctrl-C in the terminal is for the app, which ends its children itself.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(_SERVER), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        engine = Engine(path, context_tokens, process)
        self._alive[engine] = asyncio.get_running_loop().create_task(self._watch(engine))
        try:
            async with asyncio.timeout(self.start_seconds):
                engine.address = await self._announced(engine)
        except TimeoutError:
            engine.kill()
            sentence = _("The model %(model)s was not loaded within %(seconds)s seconds.")
            raise TimedOut(sentence % {"model": path.stem, "seconds": f"{self.start_seconds:g}"}) from None
        except BaseException:
            engine.kill()
            raise
        log.info("engine_started", model=path.stem, process=process.pid, context_tokens=context_tokens)
        self._let_rest(engine)
        return engine

    async def _announced(self, engine: Engine) -> str:
        orders = {
            "parent": os.getpid(),
            "model": str(engine.path),
            "alias": engine.path.stem,
            "key": engine.key,
            "context_tokens": engine.context_tokens,
            "slots": self.slots,
        }
        stdin, stdout = engine.process.stdin, engine.process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(ConnectionError):  # it died at once; its end says why
            stdin.write(json.dumps(orders).encode() + b"\n")
            await stdin.drain()
        line = await stdout.readline()
        if line:
            return str(json.loads(line)["address"])
        await engine.ended.wait()
        sentence = _("The model %(model)s could not be loaded: %(reason)s")
        raise BadAnswer(sentence % {"model": engine.path.stem, "reason": _reason(engine)})

    async def _watch(self, engine: Engine) -> None:
        """Read the child's log, so that it never waits for a reader, and take note of its end."""
        stdin, stderr = engine.process.stdin, engine.process.stderr
        assert stdin is not None
        assert stderr is not None
        while piece := await stderr.read(65_536):
            engine.log_tail = (engine.log_tail + piece)[-_LOG_BYTES:]
        code = await engine.process.wait()
        stdin.close()
        engine.ended.set()
        del self._alive[engine]
        if engine.rest:
            engine.rest.cancel()
        task = self._current.get(engine.path)
        if task and task.done() and not task.cancelled() and not task.exception() and task.result() is engine:
            del self._current[engine.path]
        log.info("engine_ended", model=engine.path.stem, process=engine.process.pid, exit_code=code)

    def _let_rest(self, engine: Engine) -> None:
        if engine.users or engine.ended.is_set():
            return
        if engine.is_retired:
            engine.kill()
            return
        engine.rest = asyncio.get_running_loop().call_later(self.idle_seconds, engine.kill)

    def _retire(self, engine: Engine) -> None:
        engine.is_retired = True
        if engine.rest:
            engine.rest.cancel()
        self._let_rest(engine)


ENGINES = Engines()
"""Those of this process. `close` it when the process ends."""


def _is_cancelled() -> bool:
    """Whether it is the caller that is to end, and not what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reason(engine: Engine) -> str:
    """The last error line of llama.cpp that says something, without the paths in it."""
    lines = _ERROR_LINE.findall(engine.log_tail.decode("utf-8", "replace"))
    telling = [line for line in lines if not _SAYS_NOTHING.search(line)]
    code = engine.process.returncode
    if telling:
        reason = str(telling[-1])
    elif code is not None and code < 0:
        reason = _("llama.cpp ended with signal %(signal)s") % {"signal": -code}
    else:
        reason = _("llama.cpp gave no reason")
    return reason.replace(str(engine.path.parent) + os.sep, "").strip()[:300]
