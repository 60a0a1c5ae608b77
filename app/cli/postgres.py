"""Checks a Postgres given by DATABASE_URL before anything uses it: address, version, encoding, and poolers in front of it."""

import asyncio
import time
from typing import Any

import asyncpg

from app import __version__
from app.cli.opening import CannotStart
from app.database_url import BadAddress, to_dsn, without_secret
from app.settings import BadSetting

OLDEST_POSTGRES = 15

#: Errors from a pooler that does not track prepared statements.
_LOST_STATEMENT = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


async def open_address(given: str) -> str:
    """The address as asyncpg reads it, of a Postgres that answers and suits us. Raises `CannotStart`, `BadSetting`.

    Patient for some seconds with one that is only just starting.
    """
    try:
        dsn = to_dsn(given)
    except BadAddress as error:
        raise BadSetting(f"DATABASE_URL cannot be used: {error}") from error
    where = without_secret(dsn)
    deadline = time.monotonic() + 5
    while True:
        try:
            await _check(dsn, where)
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
            if time.monotonic() > deadline:
                raise CannotStart(f"The database at {where} does not answer: {plain(error)}.") from error
            await asyncio.sleep(0.25)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
            raise CannotStart(f"The database at {where} cannot be used: {plain(error)}.") from error
        else:
            return dsn


def plain(error: Exception) -> str:
    """What went wrong as the end of a sentence."""
    if isinstance(error, TimeoutError):
        return "it accepts the connection but sends nothing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.removesuffix(".")
    return (str(error).splitlines() or [type(error).__name__])[0].removesuffix(".")


async def _check(dsn: str, where: str) -> None:
    first = await _connect(dsn)
    try:
        version = first.get_server_version()
        if version.major < OLDEST_POSTGRES:
            raise CannotStart(
                f"Parley {__version__} needs Postgres {OLDEST_POSTGRES} or newer, this is {version.major}."
            )
        encoding = first.get_settings().server_encoding
        if encoding != "UTF8":
            raise CannotStart(
                f"The database at {where} has the encoding {encoding}, and Parley needs UTF8. Create one with "
                "CREATE DATABASE parley ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0."
            )
        await _check_session(dsn, where, first)
    finally:
        first.terminate()


async def _check_session(dsn: str, where: str, first: "asyncpg.Connection[Any]") -> None:
    """Refuse a pooler that shares a session between connections: LISTEN and the workers' locks need one of their own."""
    second = await _connect(dsn)
    try:
        # In this order, any pooler gives both connections one session, or one connection two: see docs/decisions/0048.
        pids = [await _pid(connection) for connection in (first, second, second, first)]
    except _LOST_STATEMENT:
        pids = []
    finally:
        second.terminate()
    if not (pids and pids[0] == pids[3] != pids[1] == pids[2]):
        raise CannotStart(
            f"A pooler in transaction mode stands in front of the database at {where}. Parley needs sessions of its own: "
            "use the database's direct address, or a pooler in session mode (Supabase: port 5432 instead of 6543; "
            "Neon: the host without -pooler; PgBouncer: pool_mode = session)."
        )


async def _pid(connection: "asyncpg.Connection[Any]") -> int:
    """The process of Postgres that serves this transaction."""
    async with connection.transaction():
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def _connect(dsn: str) -> "asyncpg.Connection[Any]":
    """Connect without named statements: a pooler that does not track them would mix up those of several connections."""
    return await asyncpg.connect(dsn, timeout=5, command_timeout=5, statement_cache_size=0)
