"""A model that a worker of ours runs itself, as its process last said."""

from piccolo.columns import UUID, BigInt, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine as postgres


class EngineRow(Table, tablename="engine", db=postgres):
    """One llama.cpp process. It counts while its worker is alive (`worker.is_alive`).

    `state` is starting or running; `memory_bytes` what it takes; `expires_at` when it ends unless it is used, null while it
    is in use.
    """

    id = UUID(primary_key=True, default=None)
    worker = BigInt()
    model_name = Text()
    state = Varchar(length=20, default="starting")
    memory_bytes = BigInt(default=None, null=True)
    context_tokens = Integer(default=0)
    slots = Integer(default=1)
    started_at = Timestamptz()
    expires_at = Timestamptz(default=None, null=True)
