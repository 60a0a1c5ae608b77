"""What a child may do, as it reports itself, and that none outlives the process that started it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from app.children.child import NICENESS
from app.children.confine import NOBODY
from app.children.pool import Pool
from tests.programs import ROOT
from tests.watching import until


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool("tests.children.reports", size=2, deadline_seconds=60)
    yield made
    await made.close()


async def report(pool: Pool) -> dict[str, Any]:
    return json.loads(await pool.ask(b""))  # type: ignore[no-any-return]


async def test_a_child_learns_no_secret_from_its_environment(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARLEY_SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "HOME"):
        monkeypatch.setenv(name, "hidden")
    environment = (await report(pool))["environment"]
    assert "hidden" not in environment.values()
    assert set(environment) <= {"LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "TZ"}


async def test_a_child_has_no_descriptors_but_its_own(pool: Pool) -> None:
    with socket.socket() as ours:
        ours.set_inheritable(True)
        assert (await report(pool))["descriptors"] == [0, 1, 2, 3, 4]


async def test_a_child_has_limits(pool: Pool) -> None:
    found = await report(pool)
    assert 0 < found["memory"] <= 512_000_000
    assert 0 < found["cpu"] < 10
    assert found["core"] == 0
    assert found["session"]
    assert {"write", "open"} <= set(found["refused"])


async def test_a_child_comes_after_those_who_answer_requests(pool: Pool) -> None:
    """Niceness alone says nothing where Linux shares a processor among sessions first."""
    found = await report(pool)
    assert found["niceness"] > 0
    assert found["autogroup"] == "" or found["autogroup"].endswith(f"nice {NICENESS}")


async def test_processor_time_is_counted_for_each_request(pool: Pool) -> None:
    """A child that has answered for long may go on answering."""
    first = (await report(pool))["cpu"]
    for _ in range(200):
        await report(pool)
    assert first <= (await report(pool))["cpu"] < first + 10


async def test_a_child_gains_no_privileges_and_dies_with_its_parent(pool: Pool) -> None:
    found = await report(pool)
    assert found["no_new_privileges"] == 1
    assert found["death_signal"] == signal.SIGKILL


async def test_a_child_of_root_is_nobody(pool: Pool) -> None:
    found = await report(pool)
    is_root = os.geteuid() == 0
    usual = [*os.getresuid(), *os.getresgid(), *os.getgroups()]
    assert found["accounts"] == ([NOBODY] * 6 if is_root else usual)
    assert "fork" in found["refused"]


@pytest.mark.parametrize("doing", ["fine", "[[hang]]", "[[hold]]"])
def test_no_child_outlives_a_process_that_was_killed(doing: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.children.asks", doing], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asked\n"
        children = psutil.Process(process.pid).children()
        process.kill()
    assert children
    asyncio.run(until("no child is left", lambda: not any(map(is_alive, children)), shows=lambda: children))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
