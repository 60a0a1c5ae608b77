"""Statements of the pool are planned for all parameters at once (docs/decisions/0031)."""

from app import database as app_database
from app.database import fetch, fetch_row, new_id

PLANS = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1"


async def test_no_execution_is_planned_for_itself(database_url: str) -> None:
    await app_database.open_pool(database_url, size=1)
    try:
        statement = "SELECT id, title FROM thread WHERE id = $1"
        for _ in range(3):
            await fetch(statement, new_id())
        row = await fetch_row(PLANS, statement)
        assert row is not None
        assert (row["generic_plans"], row["custom_plans"]) == (3, 0)
    finally:
        await app_database.close_pool()
