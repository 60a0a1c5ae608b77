"""What is stored of providers, with their addresses and keys unsealed."""

from typing import Any

from app.database import fetch
from app.tables.provider import open_address


async def accounts(where: str = "", *values: Any) -> list[dict[str, Any]]:
    """Their rows, oldest first, with `base_url`, `key` and `key_origin` as they are."""
    rows = await fetch(f"SELECT * FROM provider {where} ORDER BY created_at, id", *values)
    opened = [(row, open_address(row)) for row in rows]
    return [dict(row) | {"base_url": at.base_url, "key": at.key, "key_origin": at.key_origin} for row, at in opened]
