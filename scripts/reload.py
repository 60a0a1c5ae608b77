"""`make dev`: runs `parley serve` and restarts it when a file of the program changes.

Every restart is a complete one, because code, templates, static files, translations and migrations are read at the start.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("app", "locale", "migrations", "static", "templates")
POLL_SECONDS = 0.5
#: How long Parley may take to end before a restart. Then it is killed; its database is found by the next start.
END_SECONDS = 10

#: File → time of its last change and size.
Snapshot = Mapping[str, tuple[int, int]]


class Supervisor:
    """Runs one `parley serve` at a time, until SIGINT, SIGTERM or SIGHUP."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "app", "serve", *arguments]
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ending = False

    def run(self) -> None:
        """Start Parley, and restart it once changed files stay the same for one poll."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._end)
        try:
            running = last = snapshot()
            self._start()
            while not self._is_ending:
                time.sleep(POLL_SECONDS)
                self._say_if_it_ended()
                now = snapshot()
                if now == last != running:
                    say(f"Changed: {changes(running, now)}. Restarting …")
                    self._stop(timeout_seconds=END_SECONDS)
                    self._start("--no-open")
                    running = now
                last = now
        finally:
            self._stop()

    def _start(self, *more: str) -> None:
        if self._is_ending:
            return
        # In a process group of its own: Ctrl-C reaches it through us, and once.
        self._child = subprocess.Popen([*self._command, *more], cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0)

    def _stop(self, *, timeout_seconds: float | None = None) -> None:
        if self._child is None:
            return
        self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            say("Parley does not end, and is killed.")
            self._child.kill()
            self._child.wait()
        self._child = None

    def _say_if_it_ended(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            say(f"Parley ended with exit code {self._child.returncode}. The next change starts it again.")
            self._child = None

    def _end(self, number: int, _frame: FrameType | None) -> None:
        if self._is_ending and self._child is not None:
            self._child.send_signal(signal.SIGINT)  # the second Ctrl-C: Parley finishes nothing
        self._is_ending = True


def snapshot() -> Snapshot:
    """The files of the program as they are now, without those that editors and Python make beside them."""
    found: dict[str, tuple[int, int]] = {}
    for top in FOLDERS:
        for folder, inner, names in os.walk(ROOT / top):
            inner[:] = [name for name in inner if name != "__pycache__" and not name.startswith(".")]
            for name in names:
                if name.startswith((".", "#")) or name.endswith("~"):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(os.path.join(folder, name))
                    found[os.path.relpath(os.path.join(folder, name), ROOT)] = status.st_mtime_ns, status.st_size
    return found


def changes(before: Snapshot, after: Snapshot) -> str:
    """Which files differ: the first one's name, and how many more."""
    first, *others = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return f"{first} and {len(others)} more" if others else first


def say(sentence: str) -> None:
    """One line on the console, at once, if there still is one."""
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


if __name__ == "__main__":
    Supervisor(sys.argv[1:]).run()
