"""How many SQL statements a turn takes, from Postgres's own log."""

import asyncio
import collections
import pathlib
import re

import msgspec

from app.embedded import EmbeddedPostgres
from tests.bench.instance import Instance
from tests.bench.turns import People, open_all, run_round

_LOGGED = re.compile(r"LOG: +(?:statement|execute [^:]*): (.*)")
_DELTAS = re.compile(r"INSERT INTO delta|JOIN delta AS d|FROM delta WHERE")
IDLE_SECONDS = 5.0


class Statements(msgspec.Struct, frozen=True):
    """Of a turn in an open page, and of opening one. BEGIN and COMMIT count as statements, what carries deltas does not.
    `by_statement`: most frequent first, per turn.
    """

    per_turn: float
    opening: float
    idle_per_second: float
    by_statement: list[tuple[str, float]]


async def count_statements(instance: Instance, people: People, turns: int, tokens: int) -> Statements:
    """A short run of its own: writing the log costs time."""
    log = EmbeddedPostgres(instance.program.data).log_file
    await people.fill(turns)
    await _set_logging(instance, "all")
    try:
        start = log.stat().st_size
        await asyncio.sleep(IDLE_SECONDS)
        idle = _read(log, start).total()
        start = log.stat().st_size
        tabs = people.pages(turns)
        await open_all(tabs)
        opening = _read(log, start).total()
        start = log.stat().st_size
        await run_round(instance, tabs, tokens)
        seen = _read(log, start)
    finally:
        await _set_logging(instance, "none")
    return Statements(
        per_turn=seen.total() / turns,
        opening=opening / turns,
        idle_per_second=idle / IDLE_SECONDS,
        by_statement=[(statement, count / turns) for statement, count in seen.most_common(60)],
    )


async def _set_logging(instance: Instance, which: str) -> None:
    await instance.database.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
    await instance.database.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.5)


def _read(log: pathlib.Path, start: int) -> collections.Counter[str]:
    """Statements with how often each was run, from this place of the log on."""
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    entries = (" ".join(entry.split()) for entry in re.split(r"\n(?=\S)", text))
    statements = (match[1] for entry in entries if (match := _LOGGED.search(entry)))
    return collections.Counter(statement for statement in statements if not _DELTAS.search(statement))
