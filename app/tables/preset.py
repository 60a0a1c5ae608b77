"""A named start for threads: a model, a system prompt and parameters, one's own or shared by the owner."""

from piccolo.columns import JSONB, UUID, Boolean, ForeignKey, Text, Timestamptz, Varchar
from piccolo.columns.base import OnDelete
from piccolo.table import Table

from app.database import engine
from app.tables.model import ModelRow
from app.tables.user import User


class Preset(Table, tablename="preset", db=engine):
    """`options` are parameters as a thread has them. A thread that is begun with a preset copies what it holds.

    `model_name` is how the model was called when it was chosen; empty if none was.
    """

    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    name = Varchar(length=100)
    is_shared = Boolean(default=False)
    model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    model_name = Text()
    system_prompt = Text()
    options = JSONB(default="{}")
    created_at = Timestamptz()
    updated_at = Timestamptz()
