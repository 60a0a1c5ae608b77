"""One conversation with its messages."""

from piccolo.columns import JSONB, UUID, Boolean, ForeignKey, Integer, Text, Timestamptz, Varchar
from piccolo.columns.base import OnDelete
from piccolo.table import Table

from app.database import engine
from app.tables.model import ModelRow
from app.tables.user import User


class Thread(Table, tablename="thread", db=engine):
    """`leaf` is the last message of the active branch; `version` grows by one with every change that an open page shows."""

    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    title = Varchar(length=200)
    is_named = Boolean(default=False)
    status = Varchar(length=20, default="active")
    summary = Text()
    metadata = JSONB(default="{}")
    is_pinned = Boolean(default=False)
    model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    system_prompt = Text()
    options = JSONB(default="{}")
    draft = Text()
    leaf = UUID(default=None, null=True)
    version = Integer(default=1)
    created_at = Timestamptz()
    updated_at = Timestamptz()

    #: Whether an answer is being written; known where threads are listed.
    is_busy = False
