"""One run of a model writing one answer."""

from piccolo.columns import JSONB, UUID, BigInt, Boolean, ForeignKey, Integer, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine
from app.tables.message import Message
from app.tables.thread import Thread


class Generation(Table, tablename="generation", db=engine):
    """`state` is queued, running or ended; at most one of a thread is not ended (a unique index says so).

    `attempt` grows with every claim: the fencing number. `worker` is who holds it. `language` is that of the page which asked.
    `request` names the blocks that were sent, in order, by the number of the first call that they were sent with;
    `provider_attempts` says what was tried, with what outcome and usage. `naming` is the same of the call that asked for a
    title after it.
    """

    id = UUID(primary_key=True, default=None)
    message = ForeignKey(references=Message, null=False)
    thread = ForeignKey(references=Thread, null=False)
    attempt = Integer(default=0)
    worker = BigInt(default=None, null=True)
    state = Varchar(length=20, default="queued")
    is_continuation = Boolean(default=False)
    is_stop_requested = Boolean(default=False)
    language = Varchar(length=10, default="")
    request = JSONB(default="{}")
    provider_attempts = JSONB(default="[]")
    naming = JSONB(default="{}")
    queued_at = Timestamptz()
    started_at = Timestamptz(default=None, null=True)
    ended_at = Timestamptz(default=None, null=True)
