"""A Postgres of an experiment's own: it may be crashed, restarted, frozen and made read-only."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator

import asyncpg
import psutil

from app import postmaster
from app.embedded import EmbeddedPostgres
from tests.clusters import TUNING, run_sql
from tests.watching import until


class Cluster(EmbeddedPostgres):
    """The embedded Postgres, mistreated."""

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return str(postmaster.socket_folder(self.folder) / ".s.PGSQL.5432")

    async def restart(self, number: int, *, away_seconds: float = 0.0) -> None:
        """As `pg_ctl restart`: SIGQUIT is `-m immediate` (a crash), SIGINT is `-m fast`."""
        assert self.pid is not None
        os.kill(self.pid, number)
        await self._until_ended()
        await asyncio.sleep(away_seconds)
        await self.start()

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """All its processes stand still until the end of the block."""
        assert self.pid is not None
        parent = psutil.Process(self.pid)
        parent.send_signal(signal.SIGSTOP)  # first, so that it starts no other
        stopped = [parent, *parent.children(recursive=True)]
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """It takes no writes until the end of the block, in sessions that are open too."""
        await run_sql(self.url, "ALTER SYSTEM SET default_transaction_read_only = on")
        await run_sql(self.url, "SELECT pg_reload_conf()")

        async def is_known() -> bool:
            """Whether a new session is told; by then all others are, too."""
            [row] = await run_sql(self.url, "SHOW default_transaction_read_only")
            return row[0] == "on"

        await until("Postgres reads its configuration", is_known)
        try:
            yield
        finally:
            connection = await asyncpg.connect(self.url, server_settings={"default_transaction_read_only": "off"})
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()


@contextlib.asynccontextmanager
async def own_cluster() -> AsyncIterator[Cluster]:
    """A cluster that is removed afterwards.

    Not below pytest's own folder: another run's start closes that for all but its owner, and Postgres, which will not
    run as root, may be another account.
    """
    with tempfile.TemporaryDirectory(prefix="parley-cluster-") as folder:
        cluster = Cluster(pathlib.Path(folder), TUNING)
        await cluster.start()
        try:
            yield cluster
        finally:
            await cluster.stop()


@contextlib.asynccontextmanager
async def small_cluster() -> AsyncIterator[Cluster]:
    """A cluster on a disk of its own of 200 MB; an ordinary one for who may not mount any."""
    with tempfile.TemporaryDirectory(prefix="parley-cluster-") as folder:
        options = ("-o", "size=200m,mode=755")
        mounted = await asyncio.to_thread(
            subprocess.run, ["mount", "-t", "tmpfs", *options, "tmpfs", folder], check=False, capture_output=True
        )
        # As little as goes: segments of the log of one megabyte would need an initdb of our own.
        cluster = Cluster(pathlib.Path(folder), TUNING | {"max_wal_size": "64MB", "min_wal_size": "32MB"})
        await cluster.start()
        try:
            yield cluster
        finally:
            await cluster.stop()
            if not mounted.returncode:
                await asyncio.to_thread(subprocess.run, ["umount", folder], check=True)


@contextlib.asynccontextmanager
async def full_disk(url: str) -> AsyncIterator[None]:
    """Every table that grows says that the disk is full, until the end of the block.

    A really full disk needs a file system of its own (see `small_cluster`), which not everybody may mount. Postgres
    raises this very error where a table cannot be extended, so to us it is the same.
    """
    await run_sql(
        url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$",
    )
    for table in ("message", "generation", "delta", "thread"):
        await run_sql(url, f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION full_disk()")
    try:
        yield
    finally:
        await run_sql(url, "DROP FUNCTION full_disk() CASCADE")
