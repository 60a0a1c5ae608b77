"""The database: the engine that tables use, its pool, transactions that survive a lost connection, ids and locks."""

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar

import asyncpg
import structlog
from piccolo.engine.postgres import PostgresEngine, PostgresTransaction
from piccolo.table import Table

log = structlog.get_logger()

T = TypeVar("T")
R = TypeVar("R", bound=Table)

#: What asyncpg and the socket layer raise when Postgres is away, restarting, out of room for connections, too slow, or
#: had to give up a transaction for another's sake: the same statement may succeed a moment later.
GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its state machine, when the connection goes between two messages
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresSystemError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    TimeoutError,
)

#: What it raises when it is there but cannot write: the disk is full, or it is a read-only standby.
UNWRITABLE = (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)

#: Either: what work that nobody waits for outlasts.
AWAY = (*GONE, *UNWRITABLE)

#: Everything that a question to the database may come to instead of an answer: for who can do without one.
NO_ANSWER = (*AWAY, asyncpg.PostgresError, RuntimeError)

#: A connection beside the pool whose statement takes longer than this is taken for dead, and made anew.
OWN_STATEMENT_SECONDS = 15.0


class _Transaction(PostgresTransaction):
    """Piccolo's transaction, but one that always gives its connection back.

    Piccolo 1.38 returns the connection only if COMMIT or ROLLBACK succeeds; after a Postgres restart each cut
    transaction would keep one connection of the pool for ever, and leave itself as the current one.
    """

    __slots__ = ()

    async def get_connection(self) -> Any:
        return await pool().acquire(timeout=_patience())

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if self._parent is not None:
            return False
        pool = self.engine.pool
        try:
            if exception is not None:
                with contextlib.suppress(*GONE):
                    await self.rollback()
            else:
                await self.commit()
        finally:
            self.engine.current_transaction.reset(self.context)
            if pool is not None:
                await asyncio.shield(pool.release(self.connection))
        return False

    async def __aenter__(self) -> "PostgresTransaction":
        if self._parent is not None:
            return self._parent
        self.connection = await self.get_connection()
        try:
            self.transaction = self.connection.transaction()
            await self.begin()
        except BaseException:
            if self.engine.pool is not None:
                await asyncio.shield(self.engine.pool.release(self.connection))
            raise
        self.context = self.engine.current_transaction.set(self)
        return self


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """A connection of the pool. Nothing of ours changes a session beyond a transaction (locks that outlast one stand on
    connections of their own), so nothing is to be reset when it is given back; asyncpg would ask Postgres to, each time.
    """

    def get_reset_query(self) -> str:
        """None. A transaction left open is rolled back nevertheless."""
        return ""


class _Engine(PostgresEngine):
    #: How long a request waits for a connection of the pool while all are in use.
    acquire_seconds = 10.0
    #: How long a connection may take to be made.
    connect_seconds = 5.0
    #: How long a Postgres that accepts connections and says nothing is tried again at the start.
    opening_seconds = 10.0

    async def check_version(self) -> None:
        """Nothing: Piccolo would connect to a default address while modules are imported. `doctor` looks instead."""

    def transaction(self, allow_nested: bool = True) -> _Transaction:
        return _Transaction(engine=self, allow_nested=allow_nested)


engine = _Engine(config={}, extensions=())


async def open_pool(
    url: str, *, size: int, name: str = "parley", statement_timeout_seconds: float | None = 60.0
) -> None:
    """Connect the engine. `name` shows in `pg_stat_activity`. Raises what asyncpg raises when Postgres is not there.

    One that accepts the connection and stays silent is tried again for some seconds: a machine may stand still for as long.
    """
    engine.config = {
        "dsn": url,
        "min_size": 1,
        "max_size": size,
        "max_inactive_connection_lifetime": 300.0,
        "timeout": engine.connect_seconds,
        "command_timeout": statement_timeout_seconds,
        "server_settings": {"application_name": name, "timezone": "UTC"},
    }
    deadline, opened = time.monotonic() + engine.opening_seconds, None
    while opened is None:
        try:
            opened = await asyncpg.create_pool(**engine.config, connection_class=_Connection, init=_plan_once)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
    engine.pool = opened


async def _plan_once(connection: "asyncpg.Connection[Any]") -> None:
    """Let Postgres plan each prepared statement for all parameters: see docs/decisions/0031. Not among the settings that
    a connection begins with: poolers between us and Postgres refuse those that they don't know.
    """
    await connection.execute("SET plan_cache_mode = force_generic_plan")


async def close_pool() -> None:
    """Disconnect the engine, waiting at most two seconds for statements under way."""
    pool, engine.pool = engine.pool, None
    if pool is not None:
        try:
            async with asyncio.timeout(2):
                await pool.close()
        except TimeoutError:
            pool.terminate()


def pool() -> "asyncpg.Pool[Any]":
    """The pool, for statements that no table class has a word for. Raises `RuntimeError` before `open_pool`."""
    if engine.pool is None:
        raise RuntimeError("The database is not open.")
    return engine.pool


def transaction() -> _Transaction:
    """`async with transaction():` everything inside commits together or not at all; nested ones join the outer one."""
    return engine.transaction()


async def fetch(statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """Rows of one statement, inside the current transaction if there is one."""
    if current := engine.current_transaction.get():
        return list(await current.connection.fetch(statement, *arguments))
    async with pool().acquire(timeout=_patience()) as connection:
        return list(await connection.fetch(statement, *arguments))


def as_row(table: type[R], columns: Mapping[str, Any]) -> R:
    """What Piccolo makes of a record that has all columns, without looking at each: 0.3 µs instead of 20."""
    row = table.__new__(table)
    row.__dict__.update(columns)
    row._exists_in_db, row._was_created = True, None
    return row


def _patience() -> float | None:
    """How long to wait for a connection. None where one is free: asyncpg makes a task of every wait that has a limit."""
    return None if pool().get_idle_size() else engine.acquire_seconds


async def fetch_row(statement: str, *arguments: Any) -> asyncpg.Record | None:
    """The first row of one statement, or None."""
    rows = await fetch(statement, *arguments)
    return rows[0] if rows else None


async def outlast(action: Callable[[], Awaitable[T]], part: str) -> T:
    """Do it, and again while Postgres is away or cannot write, however long. It must bear being done twice."""
    outage = Outage(part)
    while True:
        try:
            outcome = await action()
        except AWAY as error:
            outage.note(error)
            await asyncio.sleep(0.3)
        else:
            outage.end()
            return outcome


class Outage:
    """What a part of ours logs of a database that is away: once that it went, once that it is back."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._since: float | None = None

    def note(self, error: Exception) -> None:
        """It is away, or still is."""
        if self._since is None:
            self._since = time.monotonic()
            log.warning("database_lost", part=self._part, error=type(error).__name__)

    def end(self) -> None:
        """It is there."""
        if self._since is not None:
            log.info("database_found", part=self._part, duration_ms=round((time.monotonic() - self._since) * 1000))
            self._since = None


async def is_ready() -> bool:
    """Whether Postgres answers within two seconds."""
    try:
        async with asyncio.timeout(2):
            await pool().fetchval("SELECT 1")
    except (*GONE, asyncpg.PostgresError):
        return False
    return True


@contextlib.asynccontextmanager
async def own_connection(url: str, *, name: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection beside the pool, for LISTEN and for locks that live as long as the connection."""
    connection = await asyncpg.connect(
        url,
        timeout=engine.connect_seconds,
        command_timeout=OWN_STATEMENT_SECONDS,
        server_settings={"application_name": name, "timezone": "UTC"},
    )
    try:
        yield connection
    finally:
        # Two limits: asyncpg's own begins only when a statement that was broken off has ended.
        with contextlib.suppress(*GONE):
            async with asyncio.timeout(2):
                await connection.close(timeout=1)


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562 §5.7): milliseconds, then their fraction in 12 bits (§6.2, method 3), then randomness.

    Ids sort by time of birth, those of one millisecond too: siblings are told apart by it.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)
