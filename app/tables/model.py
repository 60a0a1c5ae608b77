"""A model that some provider offers, and what is known of it."""

from piccolo.columns import JSONB, UUID, BigInt, Boolean, ForeignKey, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine
from app.tables.provider import ProviderRow


class ModelRow(Table, tablename="model", db=engine):
    """None means that nobody knows. A model that vanished keeps its row, with `gone_at`. `fallbacks`: the ids of the models
    to try next when it fails, in order.

    Postgres generates the facts (`context_window` to `is_embedding`, and the prices) from three columns of JSON:
    `set_by_owner` before `said` (by the server) before `known` (`chat/facts.py`). They and the prices stand in SQL alone, in
    the baseline.

    `refused`: the parameters that its server would not take, and that are not sent therefore, by name.

    `allowed_users`: the ids of those who may use it beside the owner; null: everybody. `engine`: how our own engine runs it
    (`providers/engines.py`). `seen_since`: from when on its server has listed it without a gap; `memory_bytes`: what it
    takes while it is loaded, until `expires_at` at most.

    `is_by_hand`: the owner added it by name; it stays whether its server lists it or not, and has no `seen_since` while
    it does not.

    `failures` to `error` are its circuit, which `chat/circuit.py` explains; `down_since` is null while it is closed.

    `is_bundled`: it came with Parley; it can be hidden, not deleted. `is_hidden`: the owner took it off every list of models
    to choose from.
    """

    id = UUID(primary_key=True, default=None)
    provider = ForeignKey(references=ProviderRow, null=False)
    name = Text()
    context_window = Integer(default=None, null=True)
    max_output_tokens = Integer(default=None, null=True)
    size_bytes = BigInt(default=None, null=True)
    family = Varchar(length=100, default=None, null=True)
    quantisation = Varchar(length=50, default=None, null=True)
    is_loaded = Boolean(default=None, null=True)
    has_vision = Boolean(default=None, null=True)
    has_tools = Boolean(default=None, null=True)
    has_reasoning = Boolean(default=None, null=True)
    is_embedding = Boolean(default=None, null=True)
    fallbacks = JSONB(default="[]")
    refused = JSONB(default="[]")
    allowed_users = JSONB(default=None, null=True)
    engine = JSONB(default="{}")
    memory_bytes = BigInt(default=None, null=True)
    is_bundled = Boolean(default=False)
    is_hidden = Boolean(default=False)
    expires_at = Timestamptz(default=None, null=True)
    seen_since = Timestamptz(default=None, null=True)
    seen_at = Timestamptz()
    gone_at = Timestamptz(default=None, null=True)
    is_by_hand = Boolean(default=False)
    failures = Integer(default=0)
    failing_since = Timestamptz(default=None, null=True)
    down_since = Timestamptz(default=None, null=True)
    trial_at = Timestamptz(default=None, null=True)
    error = Text()
