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


async def test_the_plan_for_an_empty_live_log_suits_a_full_one(database_url: str) -> None:
    """Plans are kept, and the log is emptied in each quiet hour and full a moment after the next questions."""
    await app_database.open_pool(database_url, size=1)
    try:
        await fetch(
            "INSERT INTO delta SELECT $1::uuid, n, 'text', 'a few words' FROM generate_series(1, 5000) AS n", new_id()
        )
        await fetch("DELETE FROM delta")
        await fetch("VACUUM ANALYZE delta")
        question = "SELECT seq, kind, body FROM delta WHERE generation_id = $1 AND seq > $2 ORDER BY seq"
        await fetch(f"PREPARE question (uuid, int) AS {question}")
        plan = "\n".join(row["QUERY PLAN"] for row in await fetch(f"EXPLAIN EXECUTE question ('{new_id()}', 0)"))
        assert "Index Cond: ((generation_id = $1)" in plan, plan
        assert "Seq Scan" not in plan, plan
    finally:
        await app_database.close_pool()
