"""The real program in a process of its own, as a person would start it."""

import collections
import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

import psutil

ROOT = pathlib.Path(__file__).parent.parent

#: Ten times what a busy machine needs for anything that a program does.
SECONDS = 120.0
_READY = re.compile(r"Parley is ready: (http://\S+)")


class Program:
    """`python -m app …`. After `start`: `base_url` (of `serve`), `process`, `log_path` (all that it printed)."""

    python = sys.executable
    module = "app"
    stdin = subprocess.DEVNULL

    def __init__(
        self,
        *arguments: str,
        data: pathlib.Path,
        environment: Mapping[str, str] | None = None,
        wait_for: str | None = None,
        cwd: pathlib.Path = ROOT,
    ) -> None:
        self.cwd = cwd
        self.arguments = arguments
        self.data = data
        self.log_path = data.parent / f"{data.name}.log"
        self.base_url = ""
        self.environment = {**_clean_environment(), "PARLEY_DATA": str(data), **(environment or {})}
        self.process: subprocess.Popen[str]
        self._wait_for = re.compile(wait_for) if wait_for else _READY
        self._seen = threading.Event()
        self._is_ready = False
        self._descendants: set[psutil.Process] = set()
        self._lines: collections.deque[str] = collections.deque(maxlen=20_000)

    def start(self, timeout_seconds: float = SECONDS) -> "Program":
        """Start it, and return when it says that it is ready. Raises `RuntimeError` with its last lines."""
        self.process = subprocess.Popen(
            [self.python, "-m", self.module, *self.arguments],
            cwd=self.cwd,
            env=self.environment,
            stdin=self.stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._seen.wait(timeout_seconds) or not self._is_ready:
            code = self.process.poll()
            self.kill()
            what = f"within {timeout_seconds:.0f} s" if code is None else f"and ended with the code {code}"
            raise RuntimeError(f"The program did not become ready {what}:\n" + self._last_lines())
        return self

    def stop(self, timeout_seconds: float = SECONDS) -> int:
        """Ask it to end as a service manager would; returns the exit code. Asserts that no child is left."""
        if self.process.poll() is None:
            self._note_descendants()
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"The program did not end within {timeout_seconds:.0f} s:\n" + self._last_lines()
            ) from None
        self._close()
        left = self.living_descendants()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not left, f"left behind: {left}"
        return code

    def kill(self, *, with_children: bool = True) -> None:
        """`kill -9`, of its children too unless they are the point."""
        self._note_descendants()
        for process in [self.process, *(self._descendants if with_children else ())]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        self.process.wait(SECONDS)
        self._close()

    def living_descendants(self) -> list[psutil.Process]:
        """Processes that it had started and that still run."""
        return [process for process in self._descendants if lives(process)]

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return hasattr(self, "process") and self.process.poll() is None

    def text(self) -> str:
        """Everything that it printed so far."""
        return self.log_path.read_text()

    @property
    def owner_link(self) -> str:
        """The address that creates the owner, as the console of `serve` shows it."""
        return self.wait_for_line("Create the owner account: ").partition("Create the owner account: ")[2]

    def wait_for_line(self, pattern: str, timeout_seconds: float = SECONDS) -> str:
        """The first printed line that matches, waited for."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if found := next((line for line in list(self._lines) if re.search(pattern, line)), None):
                return found
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not printed within {timeout_seconds:.0f} s:\n" + self._last_lines())

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.log_path.open("a") as copy:
            for line in self.process.stdout:
                copy.write(line)
                copy.flush()
                self._lines.append(line.rstrip("\n"))
                if match := self._wait_for.search(line):
                    self.base_url = match[1] if match.groups() else ""
                    self._is_ready = True
                    self._seen.set()
        self._seen.set()

    def _last_lines(self) -> str:
        return "\n".join(list(self._lines)[-200:])

    def _close(self) -> None:
        self._reader.join(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _note_descendants(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self._descendants.update(psutil.Process(self.process.pid).children(recursive=True))


def free_port() -> int:
    """A port that nobody has, for a program that must be told one: below those that the system gives to connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that ends while it is looked at does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _clean_environment() -> dict[str, str]:
    """Ours without what would configure the program, or lead it to model servers of this machine."""
    foreign = ("PARLEY_", "OLLAMA_", "OPENAI_", "DATABASE_URL", "COV_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    kept["PARLEY_BUNDLED_MODELS"] = "false"  # tests that want the real starter model say so: it takes a while to load
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default"}
