"""The Postgres of a test session: one embedded cluster for everybody who tests on this machine, a database for each."""

import asyncio
import contextlib
import fcntl
import getpass
import hashlib
import os
import pathlib
import shutil
import tempfile
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg

from app import database, schema
from app.embedded import EmbeddedPostgres
from app.paths import folder

#: Tests need many connections and no durability.
TUNING = {"max_connections": "400", "fsync": "off", "full_page_writes": "off", "autovacuum": "off"}

ROOT = pathlib.Path(tempfile.gettempdir()) / f"parley-tests-{getpass.getuser()}"


@contextlib.contextmanager
def running_cluster() -> Iterator[EmbeddedPostgres]:
    """Join the cluster, or start it; the last to leave stops and removes it.

    Who uses it holds a shared lock on a file, which the system releases when a run is killed: a cluster that was left
    running is found and used by the next run, and ended by it.
    """
    ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(ROOT / "cluster", TUNING)
    users = os.open(ROOT / "users.lock", os.O_RDWR | os.O_CREAT)
    try:
        with _door():
            fcntl.flock(users, fcntl.LOCK_SH)
            in_thread(postgres.start)
        yield postgres
    finally:
        with _door():
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                postgres.leave()
            else:
                in_thread(postgres.stop)
                shutil.rmtree(ROOT / "cluster", ignore_errors=True)
        os.close(users)


@contextlib.contextmanager
def fresh_database(postgres: EmbeddedPostgres, *, template: str | None = None) -> Iterator[str]:
    """A database of our own, migrated unless another template is named; its address."""
    source = template or _migrated_template(postgres)
    name = f"test_{uuid.uuid4().hex}"
    in_thread(lambda: run_sql(postgres.url, f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
    try:
        yield url_of(postgres, name)
    finally:
        in_thread(lambda: _drop(postgres.url, name))


def url_of(postgres: EmbeddedPostgres, name: str) -> str:
    """The address of another database of the same cluster."""
    return postgres.url.replace("/postgres?", f"/{name}?")


def in_thread(make: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine to its end on a loop of its own, whatever loops this thread has."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(_await(make)))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


async def run_sql(url: str, statement: str) -> list[Any]:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def _drop(url: str, name: str) -> None:
    """A cluster that a test has restarted may still be busy with that: it is asked again for a minute."""
    for _ in range(120):
        try:
            await run_sql(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            return
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError):
            await asyncio.sleep(0.5)


async def _await(make: Callable[[], Awaitable[Any]]) -> Any:
    return await make()


@contextlib.contextmanager
def _door() -> Iterator[None]:
    """One process at a time comes in, leaves, or makes a template."""
    descriptor = os.open(ROOT / "door.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _migrated_template(postgres: EmbeddedPostgres) -> str:
    """A database with this checkout's migrations, made once; named by what is in them."""
    files = sorted(folder("migrations").glob("*.py"))
    name = "template_" + hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:20]

    async def make() -> None:
        if await run_sql(postgres.url, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            return
        await run_sql(postgres.url, 'DROP DATABASE IF EXISTS "template_new" WITH (FORCE)')
        await run_sql(postgres.url, 'CREATE DATABASE "template_new"')
        await database.open_pool(url_of(postgres, "template_new"), size=4)
        try:
            await schema.migrate()
        finally:
            await database.close_pool()
        await run_sql(postgres.url, f'ALTER DATABASE "template_new" RENAME TO "{name}"')

    with _door():
        in_thread(make)
    return name
