"""An account at a model server: its row, and the address and the key that are sealed in it (docs/decisions/0060)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from piccolo.columns import UUID, Boolean, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine
from app.origins import origin_of, shown_url
from app.secrets import seal, unseal


class ProviderRow(Table, tablename="provider", db=engine):
    """`base_url_sealed` and `key_sealed` are encrypted (see `secrets.py`); empty: no key. `shown_url` is what may be seen of the
    address. `base_url` is empty but in a row that an older version wrote: then it counts, and is sealed at the next start.

    `state` is ok, stale, failing, down or unknown.

    `lists_models` is false where the server has no list: its models are added by hand. `version`: of the server's program,
    where it says.

    `chat/reachability.py` explains it, and the columns from `failures` on. `answered_at`: when one of its models last did.
    """

    id = UUID(primary_key=True, default=None)
    kind = Varchar(length=30)
    name = Varchar(length=100)
    base_url = Text()
    base_url_sealed = Text(default="")
    shown_url = Text(default="")
    key_sealed = Text()
    is_enabled = Boolean(default=True)
    allows_private = Boolean(default=True)
    state = Varchar(length=20, default="unknown")
    error = Text()
    latency_ms = Integer(default=None, null=True)
    refreshed_at = Timestamptz(default=None, null=True)
    created_at = Timestamptz()
    failures = Integer(default=0)
    failing_since = Timestamptz(default=None, null=True)
    probes = Integer(default=0)
    down_since = Timestamptz(default=None, null=True)
    probe_at = Timestamptz(default=None, null=True)
    lists_models = Boolean(default=True)
    version = Varchar(length=50)
    answered_at = Timestamptz(default=None, null=True)


class Address(msgspec.Struct, frozen=True):
    """Where a server is, its key, and the origin that the key is for. In the clear: never log or show one."""

    base_url: str
    key: str = ""
    key_origin: str = ""


def open_address(row: Mapping[str, Any]) -> Address:
    """What a row with `base_url`, `base_url_sealed` and `key_sealed` holds. Raises `Unavailable` if it cannot be read."""
    base_url = open_base_url(row)
    text = unseal(row["key_sealed"]) if row["key_sealed"] else ""
    origin, line, key = text.partition("\n")
    if not line:  # sealed by an older version, for the address beside it
        return Address(base_url, text, origin_of(base_url) if text else "")
    return Address(base_url, key, origin)


def open_base_url(row: Mapping[str, Any]) -> str:
    """The address alone. Raises `Unavailable`."""
    if row["base_url"] or not row["base_url_sealed"]:
        return str(row["base_url"])
    return unseal(row["base_url_sealed"])


def seal_base_url(base_url: str) -> tuple[str, str]:
    """The columns `base_url_sealed` and `shown_url`."""
    return seal(base_url), shown_url(base_url)


def seal_key(key: str, origin: str) -> str:
    """The column `key_sealed`: a key and the origin that it is for."""
    return seal(f"{origin}\n{key}") if key else ""


def shown_address(row: Mapping[str, Any]) -> str:
    """What may be seen of the address, by the columns `base_url` and `shown_url`."""
    return shown_url(row["base_url"]) if row["base_url"] else str(row["shown_url"])
