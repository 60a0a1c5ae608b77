"""The schema is made once and whole, equals `app/tables`, and a database of another version is refused in one sentence."""

import asyncio
import re
import subprocess
from typing import Any

import asyncpg
import pytest
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from piccolo.table import create_db_tables

from app import database as app_database
from app import postmaster, schema
from app.database import fetch, new_id
from app.tables import TABLES
from tests.dump import dump

#: The columns of `model` that stand in SQL alone: sources of facts, and prices (docs/decisions/0019).
IN_SQL = {("model", name) for name in ("known", "said", "set_by_owner", "input_price", "output_price", "cached_price")}


async def test_an_empty_database_is_migrated_and_then_matches(empty_database_url: str) -> None:
    await app_database.open_pool(empty_database_url, size=4)
    try:
        with pytest.raises(schema.SchemaMismatch, match=r"run `parley migrate`\.$"):
            await schema.check()
        assert await schema.migrate() == schema.known_ids()
        await schema.check()
        assert await schema.migrate() == []
    finally:
        await app_database.close_pool()


async def test_two_that_migrate_at_once_do_it_once(empty_database_url: str) -> None:
    await app_database.open_pool(empty_database_url, size=4)
    try:
        done = await asyncio.gather(schema.migrate(), schema.migrate(), schema.migrate())
        assert sorted(done, key=len) == [[], [], schema.known_ids()]
    finally:
        await app_database.close_pool()


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        (["2999-01-01T00:00:00:000000"], "newer Parley"),
        (["2026-11-21T02:04:49:487777"], "before Parley's first release"),
        (["2026-11-21T02:04:49:487777", "2026-11-30T05:00:00:000000"], "before Parley's first release"),
    ],
)
async def test_a_database_of_another_line_is_refused_and_left_as_it_is(
    empty_database_url: str, ids: list[str], sentence: str
) -> None:
    await app_database.open_pool(empty_database_url, size=4)
    try:
        await fetch("CREATE TABLE migration (name text, app_name text)")
        await fetch("INSERT INTO migration SELECT unnest($1::text[]), 'parley'", ids)
        before = structure(empty_database_url), await dump(empty_database_url)
        for open_it in (schema.check, schema.migrate):
            with pytest.raises(schema.SchemaMismatch, match=sentence):
                await open_it()
        assert (structure(empty_database_url), await dump(empty_database_url)) == before
    finally:
        await app_database.close_pool()


async def test_a_migrated_database_that_a_newer_version_changed_is_refused(database_url: str) -> None:
    await app_database.open_pool(database_url, size=4)
    try:
        await fetch("INSERT INTO migration (name, app_name, ran_on) VALUES ('2999-01-01', 'parley', now())")
        with pytest.raises(schema.SchemaMismatch, match="newer Parley"):
            await schema.check()
    finally:
        await app_database.close_pool()


async def test_migrations_make_what_the_tables_say(database_url: str, empty_database_url: str) -> None:
    """Column by column and constraint by constraint, as Postgres itself describes them."""
    await app_database.open_pool(empty_database_url, size=4)
    try:
        await create_db_tables(*TABLES)
    finally:
        await app_database.close_pool()
    (columns, constraints, indexes), migrated = await catalog(empty_database_url), await catalog(database_url)
    assert columns == {key: value for key, value in migrated[0].items() if key not in IN_SQL}
    assert set(migrated[0]) & IN_SQL == IN_SQL
    assert constraints == migrated[1]
    assert indexes <= migrated[2]


def test_the_queue_is_what_pgqueuer_installs(database_url: str, empty_database_url: str) -> None:
    """If this fails after an update of PgQueuer: its changes of the schema are a migration of ours."""
    asyncio.run(_execute(empty_database_url, QueryBuilderEnvironment().build_install_query()))
    ours, theirs = (
        {name: text for name, text in structure(url).items() if "pgqueuer" in name}
        for url in (database_url, empty_database_url)
    )
    assert ours == theirs
    assert len(ours) > 30


async def test_tables_start_empty(database: str) -> None:
    rows = await app_database.fetch("SELECT count(*) AS n FROM users")
    assert rows[0]["n"] == 0


async def test_postgres_parses_no_text_that_people_write(database: str) -> None:
    """Its text parser takes seconds for some: see docs/decisions/0063-no-text-parser-of-postgres.md."""
    generated = "SELECT generation_expression FROM information_schema.columns WHERE is_generated = 'ALWAYS'"
    indexed = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    expressions = [row[0] for row in await fetch(f"{generated} UNION ALL {indexed}")]
    assert expressions
    assert not [expression for expression in expressions if "to_tsvector" in expression]


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
async def test_a_message_has_a_role_of_the_four(database: str, role: str) -> None:
    thread = await add_thread(new_id())
    await fetch("INSERT INTO message (id, thread, role) VALUES ($1, $2, $3)", new_id(), thread, role)
    for wrong in ("", role.upper(), f"{role} "):
        with pytest.raises(asyncpg.CheckViolationError, match="message_role_check"):
            await fetch("INSERT INTO message (id, thread, role) VALUES ($1, $2, $3)", new_id(), thread, wrong)
        with pytest.raises(asyncpg.CheckViolationError, match="message_role_check"):
            await fetch("UPDATE message SET role = $1", wrong)


async def test_a_message_outlives_its_sender(database: str) -> None:
    """A question that somebody else asked in a person's thread carries the answers below it."""
    alice, bob, message = new_id(), new_id(), new_id()
    thread = await add_thread(alice)
    await fetch("INSERT INTO users (id, name, email) VALUES ($1, 'Bob', 'bob@example.org')", bob)
    await fetch("INSERT INTO message (id, thread, role, sender) VALUES ($1, $2, 'user', $3)", message, thread, bob)
    await fetch("DELETE FROM users WHERE id = $1", bob)
    (row,) = await fetch("SELECT sender, metadata FROM message")
    assert tuple(row) == (None, "{}")


async def add_thread(user: Any) -> Any:
    """A thread of Alice."""
    thread = new_id()
    await fetch("INSERT INTO users (id, name, email) VALUES ($1, 'Alice', 'alice@example.org')", user)
    await fetch("""INSERT INTO thread (id, "user") VALUES ($1, $2)""", thread, user)
    return thread


async def catalog(url: str) -> tuple[dict[tuple[str, str], tuple[Any, ...]], set[tuple[Any, ...]], set[str]]:
    """Columns of our tables with their types, whether null is allowed, and defaults; constraints; indexes."""
    names = [table._meta.tablename for table in TABLES]
    columns, constraints, indexes = await asyncio.gather(
        *(_execute(url, statement, names) for statement in (_COLUMNS, _CONSTRAINTS, _INDEXES))
    )
    return (
        {(row[0], row[1]): tuple(row)[2:] for row in columns},
        set(map(tuple, constraints)),
        {row[0] for row in indexes},
    )


def structure(url: str) -> dict[str, str]:
    """What `pg_dump -s` says of each object, by its name and type."""
    done = subprocess.run(
        [str(postmaster.programs() / "pg_dump"), "--schema-only", "--restrict-key=none", url],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    objects, _, _ = done.stdout.partition("--\n-- PostgreSQL database dump complete")
    found = re.split(r"^--\n-- Name: (.+); Schema: .*\n--\n", objects, flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(found[::2], found[1::2], strict=True)}


async def _execute(url: str, statement: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        if not arguments:
            return [await connection.execute(statement)]  # of several statements
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


_COLUMNS = """
SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull,
    CASE attgenerated WHEN '' THEN pg_get_expr(adbin, adrelid) END
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relname = ANY($1) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""

_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid::regclass::text = ANY($1) AND contype <> 'n'
"""

_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY($1)"
