"""What processes cost: processor time and memory of process trees, Postgres included."""

import contextlib
import pathlib
from collections.abc import Sequence

import psutil


def cpu_seconds(roots: Sequence[psutil.Process]) -> float:
    """Of the whole trees so far, with children that have ended and were waited for."""
    total = 0.0
    for process in _all(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def share_of_postgres(roots: Sequence[psutil.Process]) -> float:
    """Processor seconds of Postgres alone."""
    total = 0.0
    for process in _all(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("postgres"):
                total += sum(process.cpu_times()[:4])
    return total


def memory_bytes(roots: Sequence[psutil.Process]) -> int:
    """Proportional set size: a page that n processes share counts 1/n for each, so that the sum is what is used."""
    return sum(_pss(process.pid) for process in _all(roots))


def open_files(roots: Sequence[psutil.Process]) -> int:
    """File descriptors of the trees."""
    total = 0
    for process in _all(roots):
        with contextlib.suppress(psutil.Error):
            total += process.num_fds()
    return total


def _all(roots: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [process for root in roots for process in (root, *root.children(recursive=True))]


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
