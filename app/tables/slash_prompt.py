"""A text that a person calls up in the composer by `/name`, with variables to fill in; one's own or shared by the owner."""

from piccolo.columns import UUID, Boolean, ForeignKey, Text, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine
from app.tables.user import User


class SlashPrompt(Table, tablename="slash_prompt", db=engine):
    """`name` is what is typed after the slash; a person has each name once (a unique index says so)."""

    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    name = Varchar(length=40)
    description = Varchar(length=200)
    text = Text()
    is_shared = Boolean(default=False)
    created_at = Timestamptz()
    updated_at = Timestamptz()
