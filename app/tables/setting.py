"""What the owner set on the pages of settings: it wins over a setting's default, and the environment wins over it."""

from piccolo.columns import JSONB, ForeignKey, Timestamptz, Varchar
from piccolo.columns.base import OnDelete
from piccolo.table import Table

from app.database import engine
from app.tables.user import User


class Setting(Table, tablename="setting", db=engine):
    """`value` is JSON of the setting's type; of a secret one it is a sealed text (see `secrets.py`)."""

    name = Varchar(length=100, primary_key=True, default=None)
    value = JSONB(default="null")
    changed_by = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    changed_at = Timestamptz()
