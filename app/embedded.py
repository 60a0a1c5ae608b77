"""The embedded Postgres: made, started, watched and stopped in `<data>/postgres`; reached through a Unix socket only.

It outlives a killed Parley on purpose (it is no part of our session): the next start finds it and goes on with it.
"""

import asyncio
import contextlib
import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import asyncpg
import structlog

from app import last_words, postmaster
from app.postmaster import EmbeddedFailed

__all__ = ["EmbeddedFailed", "EmbeddedPostgres", "FolderLocked", "hold"]

log = structlog.get_logger()

VERSION = "18"
LEAST_FREE_BYTES = 200_000_000
INITDB_SECONDS = 120

#: For one app on one machine: little memory, few background processes, nothing of a question in Postgres' own log.
TUNING = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "jit": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


#: The built-in locale sorts by code point on every system and knows the letters of every language.
INITDB = (
    *("--username=postgres", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    *("--auth-local=trust", "--auth-host=reject"),
)


class FolderLocked(EmbeddedFailed):
    """Another Parley holds this data folder."""


@contextlib.contextmanager
def hold(data: pathlib.Path) -> Iterator[None]:
    """Own the data folder until the end of the block, or of the process. Raises `FolderLocked`, `EmbeddedFailed`."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedFailed(f"The data folder {data} cannot be written: {error.strerror}.") from error
    try:
        _lock(descriptor, data)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data: pathlib.Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
        raise FolderLocked(f"Parley already runs in {data} (process {holder}).") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


class EmbeddedPostgres:
    """One cluster. Whoever calls `start` must `hold` the data folder; others `find` the running one, never stop it."""

    def __init__(self, data: pathlib.Path, tuning: Mapping[str, str] | None = None) -> None:
        self.data = data.resolve()
        self.folder = self.data / "postgres"
        self.log_file = self.data / "postgres.log"
        self.pid: int | None = None
        self._tuning = {**TUNING, **(tuning or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._account: pwd.struct_passwd | None = None

    @property
    def is_made(self) -> bool:
        """Whether there is a cluster on disk."""
        return (self.folder / "PG_VERSION").is_file()

    @property
    def url(self) -> str:
        """Where the server of this folder is reached, running or not."""
        return f"postgresql://postgres@/postgres?host={quote(str(postmaster.socket_folder(self.folder)))}"

    async def find(self) -> str | None:
        """The address of the server that somebody else's `start` runs here, or None."""
        self.pid = postmaster.pid_of(self.folder)
        if self.pid is None:
            return None
        await self._until_ready()
        return self.url

    async def start(self) -> str:
        """Make the cluster if there is none, start it if it does not run; its address. Raises `EmbeddedFailed`."""
        deadline = time.monotonic() + 10
        while True:
            await _to_the_end(self._launch)
            try:
                await self._until_ready()
            except EmbeddedFailed:
                # Processes of a killed postmaster hold its memory until they notice, a fraction of a second later.
                if (
                    "still in use" not in postmaster.log_after(self.log_file, self._log_start)
                    or time.monotonic() > deadline
                ):
                    raise
                await asyncio.sleep(0.05)
            else:
                return self.url

    async def supervise(self) -> None:
        """Start Postgres again whenever it ends, until cancelled."""
        pause_seconds = 0.1
        while True:
            pid = self.pid
            await self._until_ended()
            log.warning("postgres_ended", pid=pid)
            started = time.monotonic()
            try:
                await self.start()
            except EmbeddedFailed as error:
                log.error("postgres_restart_failed", reason=str(error))
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, 2.0)
            else:
                log.info("postgres_restarted", pid=self.pid, duration_ms=round((time.monotonic() - started) * 1000))
                pause_seconds = 0.1

    async def stop(self) -> None:
        """End the server: a fast shutdown, after eight seconds an immediate one, then a kill."""
        for number, patience_seconds in ((signal.SIGINT, 8.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0)):
            if self.pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_seconds):
                    await self._until_ended()
        if (sockets := postmaster.socket_folder(self.folder)) != self.folder:
            with contextlib.suppress(OSError):
                sockets.rmdir()

    def leave(self) -> None:
        """Let the server run on without us: others use it, and Python is not to complain of a child that has not ended."""
        if self._child is not None:
            self._child.returncode = 0

    def _launch(self) -> None:
        try:
            self._account = postmaster.account()
            self._make_room()
            while (pid := postmaster.pid_of(self.folder)) and postmaster.status_of(self.folder) == "stopping":
                time.sleep(0.02)  # in a thread: whoever stopped it was killed before it had ended
            self.pid = pid
            if pid is None:
                if not self.is_made:
                    self._make_cluster()
                self._spawn()
        except OSError as error:
            words = error.strerror or type(error).__name__
            what = f"The embedded Postgres could not start in {self.data}"
            raise EmbeddedFailed(last_words.sentence(what, words, None, self.data)) from error

    def _make_room(self) -> None:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._account:
            opened = [*postmaster.let_through(self.data), *postmaster.let_through(postmaster.programs())]
            if opened:
                log.info("folders_opened", to=postmaster.ACCOUNT, folders=[str(place) for place in opened])
        if self.is_made:
            if (version := (self.folder / "PG_VERSION").read_text().strip()) != VERSION:
                raise EmbeddedFailed(
                    f"{self.folder} was made by Postgres {version}, and this Parley brings Postgres {VERSION}: "
                    "dump it with the Parley that made it, and load the dump into a new data folder."
                )
        elif (free := shutil.disk_usage(self.data).free) < LEAST_FREE_BYTES:
            raise EmbeddedFailed(
                f"The disk of {self.data} has {free // 1_000_000} MB left; a new database needs 200 MB."
            )

    def _make_cluster(self) -> None:
        """In a folder beside, renamed when it is whole: a start that was killed half-way leaves nothing half-made."""
        for left_over in self.data.glob("postgres.new-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        new = self.data / f"postgres.new-{os.getpid()}"
        new.mkdir(mode=0o700)
        if self._account:
            os.chown(new, self._account.pw_uid, self._account.pw_gid)
        try:
            done = subprocess.run(
                [str(postmaster.programs() / "initdb"), f"--pgdata={new}", *INITDB],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=INITDB_SECONDS,
                check=False,
                **self._as_account(),
            )
        except subprocess.TimeoutExpired as error:
            shutil.rmtree(new, ignore_errors=True)
            raise EmbeddedFailed(
                f"The database could not be made in {self.data}: initdb took longer than {INITDB_SECONDS} seconds."
            ) from error
        if done.returncode:
            shutil.rmtree(new, ignore_errors=True)
            what = f"The database could not be made in {self.data}"
            raise EmbeddedFailed(last_words.sentence(what, done.stderr, done.returncode, self.data))
        new.rename(self.folder)

    def _spawn(self) -> None:
        postmaster.clear_stale_pid_file(self.folder)
        sockets = postmaster.socket_folder(self.folder)
        if sockets != self.folder:
            postmaster.make_socket_folder(sockets, self._account)
        settings = [word for name, value in self._tuning.items() for word in ("-c", f"{name}={value}")]
        with postmaster.open_log(self.log_file) as output:
            self._log_start = output.tell()
            self._child = subprocess.Popen(
                [postmaster.programs() / "postgres", "-D", self.folder, "-k", sockets, *settings],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal is for Parley, which stops Postgres last
                **self._as_account(),
            )
        self.pid = self._child.pid

    def _as_account(self) -> dict[str, Any]:
        """How every program of Postgres is run: as root's stand-in, and with nothing of our environment."""
        options: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if self._account:
            options |= {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return options

    async def _until_ready(self) -> None:
        """By the postmaster's own word, then by one connection. Recovery after a crash may take a while."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if self._has_ended():
                words = postmaster.log_after(self.log_file, self._log_start)
                code = self._child.returncode if self._child else None
                said = last_words.sentence("The embedded Postgres ended while it started", words, code, self.data)
                raise EmbeddedFailed(f"{said} Its log: {self.log_file}.")
            if postmaster.status_of(self.folder) == "ready":
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    await (await asyncpg.connect(self.url, timeout=5)).close()
                    return
            await asyncio.sleep(0.01)
        raise EmbeddedFailed(f"The embedded Postgres was not ready within five minutes; see {self.log_file}.")

    def _has_ended(self) -> bool:
        if self._child is not None:
            return self._child.poll() is not None
        return self.pid is None or not postmaster.runs(self.pid, self.folder)

    async def _until_ended(self) -> None:
        while not self._has_ended():
            await postmaster.exit_or_pause(self.pid, pause_seconds=0.5)
        self.pid = self._child = None


async def _to_the_end(blocking: Callable[[], None]) -> None:
    """Run it in a thread. A cancelled caller waits for it too: nobody else would know of the process that it starts."""
    running = asyncio.ensure_future(asyncio.to_thread(blocking))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
