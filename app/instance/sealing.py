"""Seals what an older version left in the clear: addresses of providers, and keys that do not say which address they are for."""

import structlog

from app.database import fetch, transaction
from app.errors import Unavailable
from app.instance.changing import bind_secrets
from app.tables.provider import open_address, seal_base_url, seal_key
from app.tables.setting import Setting

log = structlog.get_logger()


async def seal_addresses() -> None:
    """Seal every address that is in the clear. Done at each start: of several processes the first does it.

    A key that cannot be read is left as it is: whoever brings back the former secret key can still use it.
    """
    async with transaction():
        rows = await fetch(_OPEN)
        for row in rows:
            try:
                address = open_address(row)
                key_sealed = seal_key(address.key, address.key_origin)
            except Unavailable:
                key_sealed = row["key_sealed"]
            await fetch(_SEAL, row["id"], *seal_base_url(row["base_url"]), key_sealed)
    if rows:
        log.info("addresses_sealed", count=len(rows))


async def bind_settings() -> None:
    """Say of stored secrets which address they are for. Each start does it, as a change of settings does."""
    async with transaction():
        await Setting.lock()
        await bind_secrets(await Setting.list_all())


_OPEN = "SELECT id, base_url, base_url_sealed, key_sealed FROM provider WHERE base_url <> '' ORDER BY id FOR UPDATE"

_SEAL = "UPDATE provider SET base_url = '', base_url_sealed = $2, shown_url = $3, key_sealed = $4 WHERE id = $1"
