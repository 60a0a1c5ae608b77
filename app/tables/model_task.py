"""Something that is done with a model and takes a while: it is pulled, loaded, unloaded or deleted."""

from piccolo.columns import (
    JSONB,
    UUID,
    BigInt,
    Boolean,
    DoublePrecision,
    ForeignKey,
    Integer,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.columns.base import OnDelete
from piccolo.table import Table

from app.database import engine
from app.tables.provider import ProviderRow
from app.tables.user import User


class ModelTask(Table, tablename="model_task", db=engine):
    """`kind` is pull, load, unload or delete; `state` is queued, running, done, failed or cancelled.

    `model_name` is the name that the model has, or will have, at its provider; at most one task of a name is queued or
    running (a unique index says so). `source` is what a pull was asked for, `options` what goes with it. `attempt` grows
    with every claim: the fencing number. `phase` says in a word what goes on; `done_bytes` of `total_bytes` are there, at
    `bytes_per_second`. `log` is the end of what the model server said meanwhile, `error` a sentence.
    """

    id = UUID(primary_key=True, default=None)
    kind = Varchar(length=20)
    provider = ForeignKey(references=ProviderRow, null=False)
    model_name = Text()
    source = Text()
    options = JSONB(default="{}")
    state = Varchar(length=20, default="queued")
    is_cancel_requested = Boolean(default=False)
    attempt = Integer(default=0)
    worker = BigInt(default=None, null=True)
    phase = Varchar(length=30)
    done_bytes = BigInt(default=0)
    total_bytes = BigInt(default=None, null=True)
    bytes_per_second = DoublePrecision(default=None, null=True)
    log = Text()
    error = Text()
    user = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    created_at = Timestamptz()
    started_at = Timestamptz(default=None, null=True)
    ended_at = Timestamptz(default=None, null=True)
