"""The embedded Postgres is made, started, found again after a kill, watched, and leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import psutil
import pytest

from app import postmaster
from app.embedded import EmbeddedFailed, EmbeddedPostgres, FolderLocked, hold
from tests.programs import lives
from tests.watching import PROGRAM_SECONDS, within


@pytest.fixture
async def embedded(tmp_path: pathlib.Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path / "data")
    yield postgres
    if not postgres.pid:
        postgres.pid = postmaster.pid_of(postgres.folder)
    await postgres.stop()


async def ask(postgres: EmbeddedPostgres, statement: str) -> object:
    connection = await asyncpg.connect(postgres.url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def ask_until_it_answers(postgres: EmbeddedPostgres, statement: str) -> object:
    async with within("Postgres that answers again", PROGRAM_SECONDS):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return await ask(postgres, statement)
            await asyncio.sleep(0.02)


async def test_it_is_made_and_started_on_a_socket_only(embedded: EmbeddedPostgres) -> None:
    assert not embedded.is_made
    assert await embedded.find() is None
    url = await embedded.start()
    assert embedded.is_made
    assert await EmbeddedPostgres(embedded.data).find() == url
    assert await ask(embedded, "SELECT current_setting('server_version_num')::int / 10000") == 18
    assert await ask(embedded, "SELECT current_setting('listen_addresses')") == ""
    assert embedded.pid
    assert [one for one in psutil.Process(embedded.pid).net_connections("inet") if one.status == "LISTEN"] == []
    assert embedded.folder.stat().st_mode & 0o077 == 0


async def test_it_knows_the_letters_of_every_language(embedded: EmbeddedPostgres) -> None:
    await embedded.start()
    found = await ask(embedded, "SELECT to_tsvector('simple', 'ÜBER Привет') @@ to_tsquery('simple', 'über & привет')")
    assert found is True
    assert await ask(embedded, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 1


async def test_a_stopped_one_leaves_no_process_and_keeps_its_rows(embedded: EmbeddedPostgres) -> None:
    await embedded.start()
    await ask(embedded, "CREATE TABLE kept AS SELECT 42 AS number")
    assert embedded.pid
    family = [psutil.Process(embedded.pid), *psutil.Process(embedded.pid).children(recursive=True)]
    await embedded.stop()
    assert [one for one in family if lives(one)] == []
    assert await EmbeddedPostgres(embedded.data).find() is None
    await embedded.start()
    assert await ask(embedded, "SELECT number FROM kept") == 42


async def test_one_that_was_left_running_is_found_and_used(embedded: EmbeddedPostgres) -> None:
    await embedded.start()
    again = EmbeddedPostgres(embedded.data)
    assert await again.start() == embedded.url
    assert again.pid == embedded.pid


async def test_it_is_started_again_when_it_dies(embedded: EmbeddedPostgres) -> None:
    await embedded.start()
    await ask(embedded, "CREATE TABLE kept AS SELECT 42 AS number")
    watching = asyncio.create_task(embedded.supervise())
    try:
        for _ in range(3):
            assert embedded.pid
            died = embedded.pid
            os.kill(died, signal.SIGKILL)
            assert await ask_until_it_answers(embedded, "SELECT number FROM kept") == 42
            assert postmaster.pid_of(embedded.folder) not in (died, None)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_a_pid_file_that_names_a_stranger_is_no_obstacle(embedded: EmbeddedPostgres) -> None:
    await embedded.start()
    assert embedded.pid
    lines = (embedded.folder / "postmaster.pid").read_text().splitlines()
    socket_lock = (postmaster.socket_folder(embedded.folder) / ".s.PGSQL.5432.lock").read_text()
    os.kill(embedded.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(embedded._until_ended(), PROGRAM_SECONDS)
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    try:
        (embedded.folder / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (postmaster.socket_folder(embedded.folder) / ".s.PGSQL.5432.lock").write_text(
            socket_lock.replace(lines[0], str(stranger.pid), 1)
        )
        await embedded.start()
        assert await ask(embedded, "SELECT 1") == 1
    finally:
        await stranger.communicate(b"\n")


async def test_a_start_that_was_killed_half_way_is_begun_anew(embedded: EmbeddedPostgres) -> None:
    half_made = embedded.data / "postgres.new-1"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    await embedded.start()
    assert not half_made.exists()


async def test_a_deep_folder_gets_a_short_socket_nobody_else_can_reach(tmp_path: pathlib.Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / ("deep" * 30))
    try:
        await postgres.start()
        assert await ask(postgres, "SELECT 1") == 1
        sockets = postmaster.socket_folder(postgres.folder)
        assert sockets != postgres.folder
        assert sockets.stat().st_mode & 0o077 == 0
    finally:
        await postgres.stop()
    assert not sockets.exists()


async def test_a_cluster_of_another_version_is_refused_in_one_sentence(tmp_path: pathlib.Path) -> None:
    postgres = EmbeddedPostgres(tmp_path)
    postgres.folder.mkdir()
    (postgres.folder / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedFailed, match=r"made by Postgres 16.*brings Postgres 18"):
        await postgres.start()


async def test_a_cluster_that_cannot_start_says_why(embedded: EmbeddedPostgres) -> None:
    await embedded.start()
    await embedded.stop()
    (embedded.folder / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedFailed, match=r"ended while it started: .*pg_control"):
        await embedded.start()


def test_a_data_folder_has_one_holder_at_a_time(tmp_path: pathlib.Path) -> None:
    with hold(tmp_path / "new"), pytest.raises(FolderLocked, match=rf"\(process {os.getpid()}\)\.$"):
        hold(tmp_path / "new").__enter__()
    with hold(tmp_path / "new"):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedFailed, match=r"cannot be written: Not a directory\.$"):
        hold(tmp_path / "file" / "data").__enter__()


async def test_a_server_that_is_left_to_others_runs_on_and_nobody_complains(embedded: EmbeddedPostgres) -> None:
    starter = EmbeddedPostgres(embedded.data)
    await starter.start()
    pid = starter.pid
    starter.leave()
    del starter
    gc.collect()  # a child that was forgotten would be complained of here
    assert await embedded.find() == embedded.url
    assert await ask(embedded, "SELECT 1") == 1
    await embedded.stop()
    assert pid
    await asyncio.to_thread(os.waitpid, pid, 0)
