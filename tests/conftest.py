"""What every test may ask for: a migrated database, emptied before each test, and the real program."""

import os
import tempfile

# Before anything imports `app`: the settings of the tests' own process.
for _name in [name for name in os.environ if name.startswith(("PARLEY_", "OLLAMA_", "OPENAI_"))]:
    del os.environ[_name]
os.environ.pop("DATABASE_URL", None)
os.environ["PARLEY_BUNDLED_MODELS"] = "false"  # tests that want the real starter model say so: it takes a while to load
os.environ["PARLEY_DATA"] = tempfile.mkdtemp(prefix="parley-test-data-")
# By itself pytest keeps the folders of all runs in one, and whoever starts closes that to other accounts: where we are root,
# the Postgres of a run that is under way, which has an account of its own, would lose its files.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", os.environ["PARLEY_DATA"])

import asyncio
import contextlib
import functools
import gc
import itertools
import pathlib
import shutil
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Protocol

import asyncpg
import pytest

from app import database as app_database
from app.embedded import EmbeddedPostgres
from app.settings import take_stored
from tests import patience
from tests.clusters import fresh_database, running_cluster
from tests.programs import Program

pytest_plugins = ["tests.browsers", "tests.people", "tests.renderers"]


class StartProgram(Protocol):
    """What the fixtures `program` and `server` give."""

    async def __call__(
        self,
        *arguments: str,
        data: pathlib.Path | None = None,
        embedded: bool = False,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        wait_for: str | None = None,
    ) -> Program: ...


#: What takes long and waits a lot: in each test process one of them begins, beside three others, and short tests end it.
FIRST = ("tests/faults/", "tests/e2e/", "tests/chat/", "tests/test_")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: none of it is garbage to be looked for, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)  # of those that were selected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these at the beginnings of the parts that xdist gives to its processes."""
    size = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    others = [item for item in items if not item.nodeid.startswith(FIRST)]
    ordered: list[pytest.Item] = []
    for one in FIRST:
        first = [item for item in items if item.nodeid.startswith(one)]
        room = max(0, size - len(first))
        ordered += first + others[:room]
        del others[:room]
    items[:] = ordered + others


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["PARLEY_DATA"], ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The cluster of this test session."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database for this worker, shared by its tests one after the other."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database for one test alone."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database without any table, for one test alone."""
    with fresh_database(postgres, template="template1") as url:
        yield url


@pytest.fixture(scope="session")
def _empty_all(postgres_url: str) -> Iterator[Callable[[], None]]:
    """Empties all tables. The connection stays: a new one takes ten times as long, because it knows no table yet."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(postgres_url))
    names = [row["name"] for row in loop.run_until_complete(connection.fetch(_TABLES))]
    without_triggers = "SET LOCAL session_replication_role = replica"  # all go, so nothing refers to anything
    delete = "; ".join([without_triggers, *(f"DELETE FROM {name}" for name in names)])
    truncate = f"TRUNCATE {', '.join(names)} CASCADE"
    emptied = itertools.count()

    def empty() -> None:
        # To delete takes a thousandth of the time of truncating; now and then what that leaves is cleared away.
        loop.run_until_complete(connection.execute(delete if next(emptied) % 100 else truncate))

    yield empty
    loop.run_until_complete(connection.close())
    loop.close()


@pytest.fixture
def empty_tables(postgres_url: str, _empty_all: Callable[[], None]) -> Iterator[str]:
    """The address of a migrated database without a row, and no setting stored."""
    _empty_all()
    take_stored({})
    yield postgres_url
    take_stored({})


@pytest.fixture(autouse=True)
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for such a limit sets its own."""
    for owner, name in patience.LIMITS:
        monkeypatch.setattr(owner, name, patience.SECONDS)


@pytest.fixture
async def database(empty_tables: str) -> AsyncIterator[str]:
    """`app.database` open on empty tables; its address."""
    await app_database.open_pool(empty_tables, size=12, name="tests")
    yield empty_tables
    await app_database.close_pool()


@pytest.fixture
async def program(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> AsyncIterator[StartProgram]:
    """Starts `python -m app …` as often as asked, and stops all of them.

    `await program("worker", data=…, database_url=…, environment=…, wait_for=…)`: `wait_for` is a pattern of the line
    that says it is ready; `database_url` is a new migrated database unless given; `embedded=True` takes the embedded
    Postgres of its data folder. A program that the test has ended itself is left alone.
    """
    started: list[Program] = []
    with contextlib.ExitStack() as databases:

        async def start(
            *arguments: str,
            data: pathlib.Path | None = None,
            embedded: bool = False,
            database_url: str | None = None,
            environment: Mapping[str, str] | None = None,
            wait_for: str | None = None,
        ) -> Program:
            if database_url is None and not embedded:
                database_url = databases.enter_context(fresh_database(request.getfixturevalue("postgres")))
            new = Program(
                *arguments,
                data=data or tmp_path / f"data-{len(started)}",
                environment={"DATABASE_URL": database_url or "", "PARLEY_DRAIN_SECONDS": "1", **(environment or {})},
                wait_for=wait_for,
            )
            started.append(new)
            await asyncio.to_thread(new.start)
            return new

        yield start
        for one in reversed(started):
            if one.is_running:
                await asyncio.to_thread(one.stop)


@pytest.fixture
def server(program: StartProgram) -> StartProgram:
    """Starts `parley serve` on a free port: `(await server("--demo")).base_url`. Options as `program`'s."""
    return functools.partial(program, "serve", "--port", "0")


_TABLES = """
SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'migration'
"""
