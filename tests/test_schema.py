"""Migrations are applied once and whole, and a database of another version is refused in one sentence."""

import asyncio
import importlib.util

import pytest

from app import database as app_database
from app import schema
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
