"""A program that answers every request with what it is allowed to do."""

import contextlib
import ctypes
import json
import os
import pathlib
import resource

from app.children.serve import serve

_PR_GET_NO_NEW_PRIVS = 39
_PR_GET_PDEATHSIG = 2


def answer(_request: bytes) -> bytes:
    return json.dumps(
        {
            "environment": dict(os.environ),
            "accounts": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
            "session": os.getsid(0) == os.getpid(),
            "descriptors": descriptors(),
            "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
            "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
            "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
            "no_new_privileges": ctypes.CDLL(None).prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
            "death_signal": death_signal(),
            "niceness": os.nice(0),
            "autogroup": autogroup(),
            "refused": [name for name, attempt in ATTEMPTS.items() if is_refused(attempt)],
        }
    ).encode()


def descriptors() -> list[int]:
    found = []
    for descriptor in range(1024):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            found.append(descriptor)
    return found


def autogroup() -> str:
    """As the kernel says it: `/autogroup-77 nice 10`; '' where it has none."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path("/proc/self/autogroup").read_text().strip()
    return ""


def death_signal() -> int:
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(found))
    return found.value


def is_refused(attempt: object) -> bool:
    try:
        attempt()  # type: ignore[operator]
    except OSError:
        return True
    return False


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def write_file() -> None:
    path = f"/tmp/parley-test-{os.getpid()}"
    try:
        with open(path, "wb") as file:
            file.write(b"x")
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def open_many_files() -> None:
    held: list[int] = []
    try:
        while len(held) < 100:
            held.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in held:
            os.close(descriptor)


ATTEMPTS = {"fork": fork, "write": write_file, "open": open_many_files}


if __name__ == "__main__":
    serve(answer)
