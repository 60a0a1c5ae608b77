"""Migrations are applied once and whole, and a database of another version is refused in one sentence."""

import asyncio
import contextlib
import hashlib
import importlib.util
import io
import sys
import uuid

import msgspec
import pytest
from piccolo.apps.migrations.commands.forwards import ForwardsMigrationManager

from app import database as app_database
from app import schema
from app.chat.requests import list_sent
from app.database import fetch, new_id
from app.paths import folder


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


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    await app_database.open_pool(database_url, size=4)
    try:
        await app_database.fetch(
            "INSERT INTO migration (name, app_name, ran_on) VALUES ('2999-01-01', 'parley', now())"
        )
        with pytest.raises(schema.SchemaMismatch, match="newer Parley"):
            await schema.check()
        with pytest.raises(schema.SchemaMismatch, match="newer Parley"):
            await schema.migrate()
    finally:
        await app_database.close_pool()


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


async def test_what_servers_had_said_of_models_outlives_the_migration_of_facts(empty_database_url: str) -> None:
    (path,) = folder("migrations").glob("*07_30_00_000000.py")
    spec = importlib.util.spec_from_file_location("facts_of_models", path)
    assert spec is not None
    assert spec.loader is not None
    migration = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(migration)
    await app_database.open_pool(empty_database_url, size=4)
    try:
        old = ", ".join(f"{name} {kind}" for name, kind in migration.FACTS.items() if name in migration.OLD)
        await app_database.fetch(f"CREATE TABLE model (name text, {old})")
        await app_database.fetch("INSERT INTO model (name, has_vision, context_window) VALUES ('m', false, 4096)")
        for statement in migration.statements():
            await app_database.fetch(statement)
        (row,) = await app_database.fetch("SELECT * FROM model")
        assert (row["has_vision"], row["context_window"], row["has_tools"]) == (False, 4096, None)
        assert row["input_price"] is None
        await app_database.fetch("""UPDATE model SET set_by_owner = '{"context_window": 1, "input_price": 0.1}'""")
        (row,) = await app_database.fetch("SELECT * FROM model")
        assert (row["context_window"], str(row["input_price"])) == (1, "0.1")
    finally:
        await app_database.close_pool()


async def test_requests_that_were_stored_before_blocks_belonged_to_threads_are_read_after(
    empty_database_url: str,
) -> None:
    await app_database.open_pool(empty_database_url, size=4)
    try:
        await migrate_until("2026-11-29T20:30:00:000000")
        user, first, second, answer, other = (new_id() for _ in range(5))
        shared, naming, orphan = [
            await old_block(text) for text in ("To be sent twice", "A title?", "Of a deleted thread")
        ]
        plain = await old_block("Only here")
        await fetch("INSERT INTO users (id, name, email) VALUES ($1, 'Alice', 'alice@example.org')", user)
        await fetch("""INSERT INTO thread (id, "user") SELECT unnest($1::uuid[]), $2""", [first, second], user)
        await old_generation(first, answer, {"1": body(shared), "2": body(shared, plain)}, {"request": body(naming)})
        await old_generation(second, other, body(shared), {})
        assert "2026-11-29T20:30:00:000000" in await schema.migrate()
        assert [texts(sent.body) for sent in await list_sent(answer)] == [
            ["To be sent twice"], ["To be sent twice", "Only here"], ["A title?"],
        ]  # fmt: skip
        assert [texts(sent.body) for sent in await list_sent(other)] == [["To be sent twice"]]
        assert await fetch("SELECT 1 FROM block WHERE hash = $1", bytes.fromhex(orphan)) == []
        await fetch("DELETE FROM thread WHERE id = $1", first)
        assert [row["thread"] for row in await fetch("SELECT thread FROM block")] == [second]
        assert [row["name"] for row in await fetch("SELECT to_regclass('block_before') AS name")] == [None]
    finally:
        await app_database.close_pool()


def body(*hashes: str) -> dict[str, object]:
    """A request as `generation.request` holds it."""
    return {"head": {"model": "m"}, "messages": list(hashes)}


def texts(sent: dict[str, list[dict[str, str]]] | None) -> list[str]:
    """What the messages of a request say."""
    return [message["content"] for message in sent["messages"]] if sent else []


async def old_block(text: str) -> str:
    """A row of `block` as it was before threads owned them; its hash."""
    encoded = msgspec.json.encode({"content": text})
    digest = hashlib.sha256(encoded)
    await fetch("INSERT INTO block (hash, body) VALUES ($1, $2)", digest.digest(), encoded.decode())
    return digest.hexdigest()


async def old_generation(thread: uuid.UUID, answer: uuid.UUID, request: object, naming: object) -> None:
    """An ended generation of an answer, with what it had sent."""
    await fetch("INSERT INTO message (id, thread, role) VALUES ($1, $2, 'assistant')", answer, thread)
    stored = [msgspec.json.encode(value).decode() for value in (request, naming)]
    columns = "id, message, thread, state, request, naming"
    await fetch(
        f"INSERT INTO generation ({columns}) VALUES ($1, $2, $3, 'ended', $4, $5)", new_id(), answer, thread, *stored
    )


async def migrate_until(migration: str) -> None:
    """Apply every migration before this one."""
    ids = schema.known_ids()
    before, path = ids[ids.index(migration) - 1], list(sys.path)
    try:
        async with app_database.transaction():
            with contextlib.redirect_stdout(io.StringIO()):
                await ForwardsMigrationManager(app_name="parley", migration_id=before).run()
    finally:
        sys.path[:] = path
