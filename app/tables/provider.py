"""An account at a model server."""

from piccolo.columns import UUID, Boolean, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine


class ProviderRow(Table, tablename="provider", db=engine):
    """`key_sealed` is encrypted (see `secrets.py`); empty: no key. `state` is ok, stale, failing, down or unknown.

    `lists_models` is false where the server has no list: its models are added by hand. `version`: of the server's program,
    where it says.

    `chat/reachability.py` explains it, and the columns from `failures` on. `answered_at`: when one of its models last did.
    """

    id = UUID(primary_key=True, default=None)
    kind = Varchar(length=30)
    name = Varchar(length=100)
    base_url = Text()
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
