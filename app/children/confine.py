"""What a child gives up before it reads its first request: memory, files, processes, privileges, its parent's life."""

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
import time
from typing import Final

import msgspec

NOBODY: Final = 65534  # the kernel's overflow uid and gid, which own nothing
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


class Limits(msgspec.Struct, frozen=True):
    """What a child may use. `allow_seconds` limits its processor time."""

    memory_bytes: int = 512_000_000  # of address space
    open_files: int = 32


def confine(limits: Limits) -> None:
    """Apply all limits. To be called after the last import: the account `NOBODY` may be unable to read our files."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_FSIZE, 0)
    _drop_root()
    _limit(resource.RLIMIT_NPROC, 0)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of account, which clears it


def allow_seconds(seconds: float) -> None:
    """Processor time from here on. The kernel ends the process (SIGXCPU) when it is used up, in whole seconds."""
    _now, most = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if most == resource.RLIM_INFINITY else min(soft, most), most))


def _drop_root() -> None:
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # in a container, root may have no other account to become
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _limit(kind: int, most: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # macOS has not all of them
        resource.setrlimit(kind, (most, most))
