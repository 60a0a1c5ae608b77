"""Workers at a fraction of the price: a process that has imported the program, and forks one for each line that it reads.

What a fork runs is the real command, `parley worker`; only the import is shared, which is most of a worker's start.
"""

import contextlib
import importlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping

import asyncpg

from tests.programs import Program
from tests.watching import PROGRAM_SECONDS, until


class Nursery(Program):
    """`start` it, then call `worker` as often as needed."""

    module = "tests.faults.nursery"
    stdin = subprocess.PIPE

    def __init__(self, *, data: pathlib.Path, environment: Mapping[str, str]) -> None:
        super().__init__(data=data, environment=environment, wait_for="nursery is ready")
        self._known: set[int] = set()

    async def worker(self, database: "asyncpg.Pool[asyncpg.Record]") -> int:
        """The pid of one more, once it has said in the database that it lives."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")

        async def fresh() -> int | None:
            for row in await database.fetch("SELECT name FROM worker ORDER BY started_at DESC LIMIT 20"):
                pid = int(row["name"].rpartition(":")[2])
                if pid not in self._known:
                    self._known.add(pid)
                    return pid
            return None

        return int(await until("another worker lives", fresh, PROGRAM_SECONDS))

    def _close(self) -> None:
        super()._close()
        assert self.process.stdin is not None
        self.process.stdin.close()


def main() -> None:
    for name in ("app.cli", "app.lifespan"):
        importlib.import_module(name)
    children: set[int] = set()
    print("The nursery is ready.", flush=True)
    while os.read(0, 1):
        children = {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0}
        if (pid := os.fork()) == 0:
            _work()
        children.add(pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _work() -> None:
    from app.cli import main as parley

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["parley", "worker"]
    parley()
    os._exit(0)


if __name__ == "__main__":
    main()
