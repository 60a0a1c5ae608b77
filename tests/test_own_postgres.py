"""A Postgres of the owner's own is looked at before it is used: what cannot work is said in one sentence."""

import asyncio
import contextlib
import pathlib
import urllib.parse
import uuid
from collections.abc import AsyncIterator
from typing import Never

import asyncpg
import pytest

from app import cli, database
from app.cli.opening import CannotStart
from app.cli.postgres import open_address
from app.embedded import EmbeddedPostgres
from app.settings import BadSetting
from tests.clusters import run_sql, url_of
from tests.faults.relay import Relay, to_socket
from tests.pooler import Pooler
from tests.test_cli import parley


@contextlib.asynccontextmanager
async def encoded(postgres: EmbeddedPostgres, encoding: str) -> AsyncIterator[str]:
    """A database with another encoding; its address."""
    name = f"test_{uuid.uuid4().hex}"
    await run_sql(
        postgres.url,
        f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
    )
    try:
        yield url_of(postgres, name)
    finally:
        await run_sql(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


def pooler(url: str, **options: object) -> Pooler:
    """A pooler in front of a database of the tests' cluster."""
    parts = urllib.parse.urlsplit(url)
    folder = dict(urllib.parse.parse_qsl(parts.query))["host"]
    return Pooler(f"{folder}/.s.PGSQL.5432", parts.path[1:], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_letter_is_refused(postgres: EmbeddedPostgres, encoding: str) -> None:
    async with encoded(postgres, encoding) as url:
        with pytest.raises(CannotStart, match=rf"has the encoding {encoding}, and Parley needs UTF8.*ENCODING 'UTF8'"):
            await open_address(url)


async def test_the_sentence_reaches_the_console(postgres: EmbeddedPostgres, tmp_path: pathlib.Path) -> None:
    async with encoded(postgres, "LATIN1") as url:
        for command in ("migrate", "worker", "serve"):
            ended = await parley(command, data=tmp_path, DATABASE_URL=url, PARLEY_PORT="0")
            assert (ended.code, "Traceback" in ended.err) == (1, False)
            assert "Parley needs UTF8" in ended.sentence
        examined = await parley("doctor", data=tmp_path, DATABASE_URL=url, PARLEY_PORT="0")
        assert "needs UTF8" in " ".join(examined.out.split())


@pytest.mark.parametrize("sessions", [1, 2, 3])
async def test_a_pooler_that_shares_sessions_is_found_out(database_url: str, sessions: int) -> None:
    async with pooler(database_url, sessions=sessions).listen() as port:
        with pytest.raises(CannotStart, match=r"A pooler in transaction mode.*direct address.*pool_mode = session"):
            await open_address(f"postgres://postgres@127.0.0.1:{port}/x")


async def test_one_that_was_silent_for_a_moment_is_asked_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Postgres is on a machine that stands still just as the pool is opened."""
    monkeypatch.setattr(database.engine, "connect_seconds", 0.5)
    parts = urllib.parse.urlsplit(database_url)
    folder = dict(urllib.parse.parse_qsl(parts.query))["host"]

    async def be_silent() -> Never:
        await asyncio.Event().wait()
        raise AssertionError

    async with Relay(be_silent, to_socket(f"{folder}/.s.PGSQL.5432")) as relay:
        await database.open_pool(f"postgresql://postgres@127.0.0.1:{relay.port}{parts.path}", size=1)
        try:
            assert [tuple(row) for row in await database.fetch("SELECT 1")] == [(1,)]
        finally:
            await database.close_pool()


def test_a_silent_one_is_a_sentence_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli._end(TimeoutError())
    assert capsys.readouterr().err == (
        "parley: The database does not answer: it accepts the connection but sends nothing.\n"
    )


async def test_postgres_itself_is_taken_for_none(database_url: str) -> None:
    for _ in range(5):
        connection = await asyncpg.connect(await open_address(database_url))
        await connection.close()


@pytest.mark.parametrize(("version", "is_taken"), [("14.9", False), ("15.0", True), ("15.18 (Debian)", True)])
async def test_postgres_fifteen_is_old_enough(database_url: str, version: str, is_taken: bool) -> None:
    async with pooler(database_url, server_version=version).listen() as port:
        sentence = "A pooler" if is_taken else "needs Postgres 15 or newer, this is 14"
        with pytest.raises(CannotStart, match=sentence):
            await open_address(f"postgres://postgres@127.0.0.1:{port}/x")


async def test_options_of_the_address_take_effect(database_url: str) -> None:
    dsn = await open_address(f"{database_url}&options=-c%20statement_timeout%3D7s&channel_binding=require")
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("SHOW statement_timeout") == "7s"
    finally:
        await connection.close()


async def test_a_parameter_that_postgres_does_not_know_is_named(database_url: str) -> None:
    with pytest.raises(CannotStart, match=r'cannot be used: unrecognized configuration parameter "colour"\.$'):
        await open_address(f"{database_url}&colour=blue")


async def test_what_is_no_address_is_a_fault_of_the_setting(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadSetting, match="not the address of a Postgres"):
        await open_address("mysql://olive:hunter2@127.0.0.1/parley")
    ended = await parley("migrate", data=tmp_path, DATABASE_URL="mysql://olive:hunter2@127.0.0.1/parley")
    assert (ended.code, "hunter2" in ended.err) == (2, False)
