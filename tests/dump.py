"""Everything that a database holds, as text: what a backup would carry away."""

import asyncpg


async def dump(url: str) -> str:
    """Every row of every table, those of the queue included; JSON and bytes as Postgres writes them."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(_TABLES)
        lines = [f"{table['name']}: {row['text']}" for table in tables for row in await connection.fetch(_rows(table))]
    finally:
        await connection.close()
    return "\n".join(lines)


def _rows(table: asyncpg.Record) -> str:
    return f"SELECT t::text AS text FROM {table['name']} AS t"


_TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
