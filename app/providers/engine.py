"""One llama.cpp process: how it is started, what it says, how it ends."""

import asyncio
import json
import os
import re
import secrets
import sys
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from app import last_words
from app.providers.engine_memory import measured_bytes
from app.providers.errors import BadAnswer, ProviderError, Unreachable
from app.providers.keeping import EngineOptions
from app.providers.model_files import name_of
from app.words import gettext as _

log = structlog.get_logger()

_SERVER = Path(__file__).with_name("llamacpp_server.py")
_LOG_BYTES = 16 * 1024
_LOG_LINES = 500
_LINE_CHARS = 300
#: What llama.cpp says last of a load, and how long it may take to say so when it serves already.
_IS_LOADED, _LOG_SECONDS = "model loaded", 2.0
_ERROR_LINE = re.compile(r"^[\d.]+ E +(?:[\w.]+ +)?[\w()]+: (.*)$", re.MULTILINE)
_SAYS_NOTHING = re.compile(r"exiting due to|failed to load model|encountered an error while trying to fit")


class EngineState(msgspec.Struct, frozen=True):
    """An engine as people see it. `memory_bytes` is an estimate until it runs; `expires_at` is None while it is used."""

    model_name: str
    state: Literal["starting", "running"]
    memory_bytes: int | None
    context_tokens: int
    slots: int
    started_at: datetime
    expires_at: datetime | None


class Engine:
    """`context_tokens` is what each of its slots holds; `users` counts those who wait for it, too.

    `started` is done once it serves, or has an error. `memory_bytes` counts against the limit from when it is known.
    """

    def __init__(self, path: Path, context_tokens: int, options: EngineOptions, slots: int) -> None:
        self.path = path
        self.context_tokens = context_tokens
        self.options = options
        self.slots = options.slots or slots
        self.key = secrets.token_urlsafe(32)
        self.address = ""
        self.process: asyncio.subprocess.Process | None = None
        self.users = 0
        self.is_retired = False
        self.is_unloaded = False
        self.is_ending = False
        self.memory_bytes: int | None = None
        self.started_at = datetime.now(UTC)
        self.rests_since = 0.0
        self.expires_at: datetime | None = None
        self.rest: asyncio.TimerHandle | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.failure: ProviderError | None = None
        self.log_tail = b""
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)
        self.line_count = 0
        self.news = asyncio.Event()
        self.started.add_done_callback(lambda _done: self._tell())
        self._reading: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return name_of(self.path)

    @property
    def is_running(self) -> bool:
        return self.started.done() and not self.started.exception() and not self.ended.is_set()

    @property
    def is_idle(self) -> bool:
        return self.is_running and not self.users and not self.is_retired

    @property
    def state(self) -> EngineState:
        return EngineState(
            self.name,
            "running" if self.is_running else "starting",
            self.memory_bytes,
            self.context_tokens,
            self.slots,
            self.started_at,
            self.expires_at,
        )

    async def start(self) -> None:
        """Start the process and wait until it has loaded the model. Raises `ProviderError`."""
        pipe = asyncio.subprocess.PIPE
        try:
            # A session of its own: Ctrl-C in the terminal is for the app, which ends its children itself.
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(_SERVER), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:  # no memory, no process or no file left
            sentence = _("The engine of the model %(model)s could not be started: %(reason)s")
            raise Unreachable(sentence % {"model": self.name, "reason": error.strerror or ""}) from None
        self._reading = asyncio.get_running_loop().create_task(self._read_log(self.process))
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(ConnectionError):  # it died at once; its end says why
            stdin.write(json.dumps(self._orders()).encode() + b"\n")
            await stdin.drain()
        line = await stdout.readline()
        if line:
            await self._hear_out()
        if not line or self.ended.is_set():
            await asyncio.wait((self._reading,))
            sentence = _("The model %(model)s could not be loaded: %(reason)s")
            words = self._error_line() or self._last_words() or last_words.end_of(self.process.returncode)
            log.warning("engine_failed", model=self.name, reason=words, advice=last_words.way_on(words))
            raise BadAnswer(sentence % {"model": self.name, "reason": self._reason()})
        self.address = str(json.loads(line)["address"])

    def kill(self) -> None:
        """It holds nothing that is worth a goodbye. What is under way there breaks off."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()

    async def outlive(self) -> None:
        """Wait until the process has ended, if there is one."""
        if self._reading is not None:
            await asyncio.wait((self._reading,))

    async def measure(self) -> bool:
        """See how much memory it takes now. Whether that is news."""
        if self.process is None or not self.is_running:
            return False
        found = await asyncio.to_thread(measured_bytes, self.process.pid)
        if not found or self.ended.is_set():
            return False
        before, self.memory_bytes = self.memory_bytes or 0, found
        return abs(before - found) >= 1024 * 1024

    def lines_after(self, count: int) -> list[str]:
        """What llama.cpp has said after its first `count` lines, as far as it is kept."""
        new = self.line_count - count
        return list(self.lines)[-new:] if new > 0 else []

    async def _hear_out(self) -> None:
        """Wait for what it said of the load: that comes by a pipe of its own, from a thread of llama.cpp's, after the address."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOG_SECONDS):
                while not self.ended.is_set() and not any(_IS_LOADED in line for line in self.lines):
                    await self.news.wait()

    def _orders(self) -> dict[str, str | int | None]:
        return {
            "parent": os.getpid(),
            "model": str(self.path),
            "alias": self.name,
            "key": self.key,
            "context_tokens": self.context_tokens,
            "slots": self.slots,
            "threads": self.options.threads,
            "gpu_layers": self.options.gpu_layers,
        }

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        """Read what it says, so that it never waits for a reader, and take note of its end."""
        assert process.stdin is not None
        assert process.stderr is not None
        rest = b""
        while piece := await process.stderr.read(65_536):
            self.log_tail = (self.log_tail + piece)[-_LOG_BYTES:]
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-_LOG_BYTES:]
            self._keep(lines)
        await process.wait()
        process.stdin.close()
        self.ended.set()
        self._tell()

    def _keep(self, lines: list[bytes]) -> None:
        for line in lines:
            text = self._shown(line.decode("utf-8", "replace"))
            if text:
                self.lines.append(text)
                self.line_count += 1
        self._tell()

    def _tell(self) -> None:
        """Wake everybody who waited for `news`; who looks next waits for the next."""
        self.news.set()
        self.news = asyncio.Event()

    def _reason(self) -> str:
        """Why it did not start, fit for a page."""
        code = self.process.returncode if self.process else None
        if line := self._error_line():
            return line
        if code is not None and code < 0:
            return _("llama.cpp ended with signal %(signal)s") % {"signal": -code}
        # It did not get so far as to keep a log: a library is missing, or it was built for another processor.
        return self._shown(self._last_words()) or _("llama.cpp gave no reason")

    def _error_line(self) -> str:
        """The last error line of llama.cpp that says something; empty if there is none."""
        lines: list[str] = _ERROR_LINE.findall(self.log_tail.decode("utf-8", "replace"))
        return self._shown(next((line for line in reversed(lines) if not _SAYS_NOTHING.search(line)), ""))

    def _last_words(self) -> str:
        return last_words.telling(self.log_tail.decode("utf-8", "replace"))

    def _shown(self, line: str) -> str:
        """A line of its log without the paths of this machine, fit for a page."""
        line = line.replace(str(self.path.parent) + os.sep, "")
        return "".join(letter if letter.isprintable() else " " for letter in line).strip()[:_LINE_CHARS]
