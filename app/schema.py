"""The schema: applying Piccolo's migrations, and refusing a database that this version does not match."""

import contextlib
import io
import os
import pathlib
import re
import sys

from app.database import fetch, transaction
from app.paths import folder

#: Any number that nothing else locks: two processes that migrate at once do it one after the other.
_LOCK = 0x5061726C6579

_ID = re.compile(r"""^ID = ["']([^"']+)["']""", re.MULTILINE)


class SchemaMismatch(Exception):
    """The database is not of this version; the text is one sentence for the console."""


async def migrate() -> list[str]:
    """Apply what is missing, all or nothing, and return its ids. Raises `SchemaMismatch` if this version cannot."""
    async with transaction() as current:
        await current.connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=600)
        missing, unknown = await _difference()
        _refuse_unknown(unknown)
        if missing:
            await _run_forwards()
    return missing


async def check() -> None:
    """Raises `SchemaMismatch` unless every migration of this version, and no other, was applied."""
    missing, unknown = await _difference()
    _refuse_unknown(unknown)
    if missing:
        raise SchemaMismatch("The database is older than this Parley: run `parley migrate`.")


def known_ids(migrations: pathlib.Path | None = None) -> list[str]:
    """The ids of the migrations of this version, oldest first, read from the files without importing them."""
    files = (migrations or folder("migrations")).glob("*.py")
    return sorted(match[1] for file in files if (match := _ID.search(file.read_text(encoding="utf-8"))))


def _refuse_unknown(unknown: list[str]) -> None:
    """Ids sort by date: one from before the baseline is of a version before the first release."""
    if unknown and unknown[0] < known_ids()[0]:
        raise SchemaMismatch(
            "The database was made before Parley's first release and cannot be upgraded: use a new data folder (PARLEY_DATA)"
            " or an empty database (DATABASE_URL), or open this one with the Parley that made it."
        )
    if unknown:
        raise SchemaMismatch("The database was made by a newer Parley: upgrade this one, or restore an older backup.")


async def _difference() -> tuple[list[str], list[str]]:
    """Ids that the database lacks, and ids that only the database knows."""
    applied: set[str] = set()
    if (await fetch("SELECT to_regclass('migration') IS NOT NULL AS has"))[0]["has"]:
        applied = {row["name"] for row in await fetch("SELECT name FROM migration WHERE app_name = 'parley'")}
    known = known_ids()
    return [name for name in known if name not in applied], sorted(applied - set(known))


async def _run_forwards() -> None:
    """Piccolo's own runner: it prints, and puts the folder on `sys.path`; the rest of the program sees neither."""
    os.environ.setdefault("PICCOLO_CONF", "app.piccolo_conf")
    from piccolo.apps.migrations.commands.forwards import ForwardsMigrationManager

    before = list(sys.path)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            await ForwardsMigrationManager(app_name="parley").run()
    finally:
        sys.path[:] = before
