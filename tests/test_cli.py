"""The `parley` command: starts, says what it does, ends without a trace, and puts what is wrong into one sentence."""

import asyncio
import contextlib
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from app.embedded import EmbeddedPostgres, hold
from tests.clusters import run_sql
from tests.conftest import StartProgram
from tests.dump import dump
from tests.programs import ROOT, SECONDS, Program, free_port
from tests.watching import until

PASSWORD = "a quiet reading room"

#: What a version from before the baseline left, in short.
OLD_DATABASE = """
CREATE TABLE migration AS SELECT '2026-11-30T05:00:00:000000' AS name, 'parley' AS app_name
"""
FROM_BEFORE = (
    "The database was made before Parley's first release and cannot be upgraded: use a new data folder (PARLEY_DATA)"
    " or an empty database (DATABASE_URL), or open this one with the Parley that made it."
)


class Ended:
    """A command that ran to its end."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def sentence(self) -> str:
        """The one thing that it said on standard error."""
        lines = [line for line in self.err.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("parley: ")
        assert lines[0].endswith(".")
        return lines[0].removeprefix("parley: ")


async def parley(*arguments: str, data: pathlib.Path, stdin: str = "", **environment: str) -> Ended:
    known = Program(data=data).environment
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        cwd=ROOT,
        env={**known, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), SECONDS)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def status_of(program: Program) -> int:
    return httpx.get(f"{program.base_url}/health", timeout=SECONDS).status_code


def is_soon_healthy(program: Program) -> bool:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if status_of(program) == 200:
            return True
        time.sleep(0.05)
    return False


async def test_help_names_every_command(tmp_path: pathlib.Path) -> None:
    ended = await parley("--help", data=tmp_path)
    assert ended.code == 0
    assert all(f"  {name} " in ended.out for name in ("serve", "worker", "migrate", "doctor", "owner", "config"))
    assert (await parley("--version", data=tmp_path)).out.strip().count(".") == 2


async def test_serve_says_what_it_does_and_its_last_line_is_the_address(server: StartProgram) -> None:
    running = await server(embedded=True)
    assert status_of(running) == 200
    said = [line for line in running.text().splitlines() if not line.startswith("{")]
    assert said[0].startswith("Parley 0.")
    assert said[1] == f"Data folder: {running.data}"
    assert said[2].startswith("Making a database in")
    assert said[-1] == f"Parley is ready: {running.base_url}"
    assert (running.data / "postgres.log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_ends_with_everything_that_it_started(server: StartProgram, number: signal.Signals) -> None:
    running = await server(embedded=True)
    postgres = EmbeddedPostgres(running.data)
    assert await postgres.find()
    running._note_descendants()
    running.process.send_signal(number)
    assert await asyncio.to_thread(running.process.wait, SECONDS) == 0
    assert await asyncio.to_thread(running.stop) == 0
    assert await postgres.find() is None
    assert running.text().splitlines()[-1] == "Parley has ended."


async def test_serve_ends_in_order_when_nobody_reads_its_output_any_more(tmp_path: pathlib.Path) -> None:
    def start_and_look_away() -> int:
        with subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", "0"],
            cwd=ROOT,
            env=Program(data=tmp_path).environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Parley is ready"):
                    break
            process.stdout.close()
            process.terminate()
            return process.wait(SECONDS)

    # 120 is Python's own word for "standard output was closed before I could flush it".
    assert await asyncio.to_thread(start_and_look_away) in (0, 120)
    assert await EmbeddedPostgres(tmp_path).find() is None


@pytest.mark.parametrize("module", ["app", "scripts.reload"])
async def test_serve_ends_in_order_when_its_terminal_was_closed(tmp_path: pathlib.Path, module: str) -> None:
    command = [sys.executable, "-m", module, *(["serve"] if module == "app" else []), "--port", "0", "--no-open"]

    def start_and_close_the_terminal() -> int:
        terminal, inner = os.openpty()
        environment = Program(data=tmp_path).environment
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=inner, stderr=inner)
        os.close(inner)
        try:
            read_until(terminal, "Parley is ready")
            os.close(terminal)
            process.terminate()
            return process.wait(100)
        finally:
            end_with_children(process)

    assert await asyncio.to_thread(start_and_close_the_terminal) in (0, 120)
    assert await EmbeddedPostgres(tmp_path).find() is None


def read_until(terminal: int, text: str) -> None:
    """Raises `AssertionError` with what was said instead."""
    said = ""
    while text not in said:
        assert select.select([terminal], [], [], 100)[0], f"no {text!r} in {said!r}"
        try:
            said += os.read(terminal, 4096).decode(errors="replace")
        except OSError as error:  # Linux, when the program has ended
            raise AssertionError(f"no {text!r} in {said!r}") from error


def end_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a program, so that a failed test leaves nothing behind."""
    if process.poll() is None:
        for one in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.kill()
        process.wait()


async def test_a_killed_serve_is_simply_started_again(server: StartProgram) -> None:
    killed = await server(embedded=True)
    await asyncio.to_thread(killed.kill, with_children=False)
    left = await EmbeddedPostgres(killed.data).find()
    assert left
    await run_sql(left, "CREATE TABLE kept AS SELECT 42 AS number")
    again = await server(embedded=True, data=killed.data)
    assert status_of(again) == 200
    rows = await run_sql(left, "SELECT number FROM kept")
    assert rows[0]["number"] == 42
    await asyncio.to_thread(again.stop)
    assert await EmbeddedPostgres(killed.data).find() is None


async def test_a_second_serve_in_one_folder_says_so(server: StartProgram) -> None:
    running = await server(embedded=True)
    for port in ("0", running.base_url.rpartition(":")[2]):
        ended = await parley("serve", "--port", port, data=running.data)
        assert ended.code == 1
        assert ended.sentence == f"Parley already runs in {running.data} (process {running.process.pid})."
    assert status_of(running) == 200


async def test_other_commands_join_the_running_database_and_leave_it(
    server: StartProgram, program: StartProgram
) -> None:
    running = await server("--no-worker", embedded=True)
    worker = await program("worker", embedded=True, data=running.data, wait_for="Parley's worker is ready")
    migrated = await parley("migrate", data=running.data)
    assert (migrated.code, migrated.out) == (0, "The database matches this version.\n")
    await asyncio.to_thread(worker.stop)
    assert status_of(running) == 200


async def test_a_worker_without_a_running_parley_says_what_to_do(tmp_path: pathlib.Path) -> None:
    ended = await parley("worker", data=tmp_path)
    assert ended.code == 1
    assert ended.sentence == f"No Parley runs in {tmp_path}: start `parley serve` there first, or set DATABASE_URL."


async def test_serve_goes_on_when_its_database_dies(server: StartProgram) -> None:
    running = await server(embedded=True)
    postgres = EmbeddedPostgres(running.data)
    assert await postgres.find()
    assert postgres.pid
    os.kill(postgres.pid, signal.SIGKILL)
    await asyncio.to_thread(running.wait_for_line, "postgres_restarted")
    assert await asyncio.to_thread(is_soon_healthy, running)


async def test_a_foreign_database_is_only_migrated_when_told_to(
    empty_database_url: str, tmp_path: pathlib.Path
) -> None:
    refused = await parley("serve", "--port", "0", data=tmp_path, DATABASE_URL=empty_database_url)
    assert refused.code == 1
    assert refused.sentence == "The database is older than this Parley: run `parley migrate`."
    migrated = await parley("migrate", data=tmp_path, DATABASE_URL=empty_database_url)
    assert migrated.code == 0
    assert migrated.out.startswith("Migrated the database: 2026-")
    again = await parley("migrate", data=tmp_path, DATABASE_URL=empty_database_url)
    assert again.out == "The database matches this version.\n"
    await run_sql(empty_database_url, "INSERT INTO migration (name, app_name) VALUES ('2999', 'parley')")
    newer = await parley("worker", data=tmp_path, DATABASE_URL=empty_database_url)
    assert newer.sentence.startswith("The database was made by a newer Parley")


async def test_a_database_from_before_the_first_release_is_refused_and_left_as_it_is(
    empty_database_url: str, tmp_path: pathlib.Path
) -> None:
    own = EmbeddedPostgres(tmp_path / "old")
    url = await own.start()
    for old in (url, empty_database_url):
        await run_sql(old, OLD_DATABASE)
    before = [await dump(old) for old in (url, empty_database_url)]
    await own.stop()
    refused = [
        *[
            await parley(*command, data=own.data)
            for command in (["serve", "--port", "0"], ["migrate"], ["owner", "--link"])
        ],
        *[
            await parley(*command, data=tmp_path, DATABASE_URL=empty_database_url)
            for command in (["serve", "--port", "0"], ["worker"], ["migrate"], ["owner", "--link"])
        ],
    ]
    assert {(ended.code, ended.sentence) for ended in refused} == {(1, FROM_BEFORE)}
    checked = await parley("doctor", data=tmp_path, DATABASE_URL=empty_database_url, PARLEY_PORT="0")
    failed = [line for line in checked.out.splitlines() if " fail " in line]
    assert (checked.code, [line.split("  ")[0] for line in failed]) == (1, ["schema"])
    assert "before Parley's first release" in failed[0]
    await own.start()
    try:
        assert [await dump(old) for old in (url, empty_database_url)] == before
    finally:
        await own.stop()


async def test_a_taken_port_is_one_sentence(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await parley("serve", "--port", str(port), data=tmp_path / "data")
    assert ended.code == 1
    assert ended.sentence == (
        f"127.0.0.1:{port} cannot be listened on: address already in use. Choose another with --port."
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("variable", "value", "code", "part"),
    [
        ("PARLEY_PORT", "eighty", 2, "PARLEY_PORT='eighty' cannot be used"),
        ("PARLEY_LOG_FORMAT", "xml", 2, "PARLEY_LOG_FORMAT='xml' cannot be used"),
        ("PARLEY_SECRET_KEY", "short", 2, "PARLEY_SECRET_KEY does not hold a secret key"),
        (
            "PARLEY_CA_FILE",
            "/no/file.pem",
            2,
            "PARLEY_CA_FILE='/no/file.pem' cannot be used: no such file or directory.",
        ),
        ("PARLEY_HOST", "no.such.host.invalid", 1, "is no address of this machine"),
        ("PARLEY_DATA", "/proc/no/folder", 1, "The data folder /proc/no/folder cannot be written"),
        ("PARLEY_LOG_FILE", "/proc/no/folder/log", 1, "/proc/no"),
        ("DATABASE_URL", "nonsense", 2, "is not the address of a Postgres"),
    ],
)
async def test_a_bad_environment_is_one_sentence(
    tmp_path: pathlib.Path, variable: str, value: str, code: int, part: str
) -> None:
    ended = await parley("serve", data=tmp_path, **{"PARLEY_PORT": "0", variable: value})
    assert part in ended.sentence
    assert ended.code == code
    assert "Traceback" not in ended.err


async def test_a_database_that_does_not_answer_is_one_sentence_without_its_password(tmp_path: pathlib.Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        port = closed.getsockname()[1]
        url = f"postgres://olive:hunter2@127.0.0.1:{port}/parley"
        ended = await parley("migrate", data=tmp_path, DATABASE_URL=url)
    assert ended.code == 1
    assert ended.sentence.startswith(f"The database at postgres://127.0.0.1:{port}/parley does not answer")
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_the_address_that_creates_the_owner_is_shown(
    server: StartProgram, database_url: str, tmp_path: pathlib.Path, host: str
) -> None:
    running = await server("--host", host, data=tmp_path / "data", database_url=database_url)
    assert running.owner_link.startswith(f"{running.base_url}/first-run?token=")
    assert not (tmp_path / "data" / "first-run.html").exists(), "no terminal: no browser"
    given = {"data": tmp_path / "data", "DATABASE_URL": database_url}
    again = await parley("owner", "--link", **given, PARLEY_PORT=running.base_url.rpartition(":")[2], PARLEY_HOST=host)
    assert (again.code, again.out) == (0, f"Create the owner account: {running.owner_link}\n")


async def test_the_link_that_creates_the_owner_is_made_of_the_public_address_until_there_is_one(
    server: StartProgram, database_url: str, tmp_path: pathlib.Path
) -> None:
    given = {"data": tmp_path / "data", "DATABASE_URL": database_url}
    public = await parley("owner", "--link", **given, PARLEY_PUBLIC_URL="https://chat.example.org/")
    assert public.out.startswith("Create the owner account: https://chat.example.org/first-run?token=")
    assert (await parley("config", "set", "public_url", "https://stored.example.org", **given)).code == 0
    stored = await parley("owner", "--link", **given)
    assert stored.out.startswith("Create the owner account: https://stored.example.org/first-run?token=")
    await run_sql(database_url, "INSERT INTO users (id, name, email, password_hash, is_owner, created_at)"
                                " VALUES (gen_random_uuid(), 'Olive', 'olive@example.org', 'x', true, now())")  # fmt: skip
    late = await parley("owner", "--link", **given)
    assert (late.code, late.sentence[:27]) == (1, "This instance has an owner.")
    second = await server(data=tmp_path / "data-2", database_url=database_url)
    assert "first-run" not in second.text()


async def until_it_lives(worker: httpx.AsyncClient) -> None:
    """It says that it is ready before its first sign of life is stored."""
    figures = ""
    for _look in range(20 * int(SECONDS)):
        figures = (await worker.get("/metrics", headers={"authorization": "Bearer a-token-of-monitoring"})).text
        if "\nparley_workers 1\n" in figures:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(figures)


async def test_a_worker_answers_on_a_port_of_its_own_where_one_is_set(
    program: StartProgram, database_url: str, tmp_path: pathlib.Path
) -> None:
    port = free_port()
    given = {"PARLEY_WORKER_PORT": str(port), "PARLEY_METRICS_TOKEN": "a-token-of-monitoring"}
    running = await program("worker", database_url=database_url, environment=given, wait_for="worker is ready")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:

        async def is_healthy() -> bool:
            return (await client.get("/health")).status_code == 200

        await until("its health", is_healthy)
        assert (await client.get("/metrics")).status_code == 401
        await until_it_lives(client)
        assert (await client.get("/sign-in")).status_code == 404
    second = await parley("worker", data=tmp_path / "second", DATABASE_URL=database_url, **given)
    assert (second.code, second.sentence) == (
        1, f"127.0.0.1:{port} cannot be listened on: address already in use. Choose another PARLEY_WORKER_PORT."
    )  # fmt: skip
    assert await asyncio.to_thread(running.stop) == 0


async def test_the_owner_is_made_and_made_anew(database_url: str, tmp_path: pathlib.Path) -> None:
    async def owner(email: str, password: str) -> Ended:
        return await parley(
            *("owner", "--email", email, "--name", "Olive", "--password-stdin"),
            data=tmp_path,
            stdin=password + "\n",
            DATABASE_URL=database_url,
        )

    made = await owner("Olive@parley.example", PASSWORD)
    assert (made.code, made.out) == (0, "Olive <olive@parley.example> is the owner.\n")
    before = (await run_sql(database_url, "SELECT * FROM users"))[0]
    await run_sql(
        database_url,
        'INSERT INTO session (id, "user", token_hash, user_agent, created_at, seen_at, expires_at)'
        " SELECT gen_random_uuid(), id, 'x', '', now(), now(), now() + interval '1 day' FROM users",
    )
    again = await owner("olive@parley.example", PASSWORD + "!")
    assert (again.code, again.out) == (0, "Olive <olive@parley.example> can sign in with the new password.\n")
    (after,) = await run_sql(database_url, "SELECT * FROM users")
    assert after["id"] == before["id"]
    assert after["is_owner"]
    assert after["password_hash"] != before["password_hash"]
    assert PASSWORD not in after["password_hash"]
    assert await run_sql(database_url, "SELECT 1 FROM session") == []
    assert "at least 10 characters" in (await owner("olive@parley.example", "short")).sentence
    assert "is no email address" in (await owner("nobody", PASSWORD)).sentence


async def test_the_doctor_looks_at_every_part(database_url: str, tmp_path: pathlib.Path) -> None:
    ended = await parley("doctor", data=tmp_path, DATABASE_URL=database_url, PARLEY_PORT="0")
    assert ended.code == 0, ended.out
    parts = (
        "data folder",
        "disk space",
        "secret key",
        "certificates",
        "models folder",
        "starter model",
        "embedded engine",
        "address",
        "database",
    )
    for part in (*parts, "pgvector", "schema", "owner", "model servers", "queue"):
        assert any(line.startswith(part) for line in ended.out.splitlines()), part


async def test_the_doctor_fails_when_a_part_does(empty_database_url: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret.key").write_text("A" * 43 + "=")
    (tmp_path / "secret.key").chmod(0o644)
    ended = await parley("doctor", data=tmp_path, DATABASE_URL=empty_database_url, PARLEY_PORT="0")
    assert ended.code == 1
    failed = [line for line in ended.out.splitlines() if " fail " in line]
    assert [line.split("  ")[0] for line in failed] == ["secret key", "schema"]
    assert "chmod 600" in failed[0]
    assert "run `parley migrate`" in failed[1]


async def test_the_doctor_starts_a_stopped_database_and_stops_it_again(
    server: StartProgram, tmp_path: pathlib.Path
) -> None:
    fresh = await parley("doctor", data=tmp_path / "fresh", PARLEY_PORT="0")
    assert "embedded, not made yet" in fresh.out
    running = await server(embedded=True)
    joined = await parley("doctor", data=running.data, PARLEY_PORT="0")
    assert "matches this version" in joined.out
    await asyncio.to_thread(running.stop)
    alone = await parley("doctor", data=running.data, PARLEY_PORT="0")
    assert "matches this version" in alone.out
    assert await EmbeddedPostgres(running.data).find() is None
    with hold(running.data):
        pass
