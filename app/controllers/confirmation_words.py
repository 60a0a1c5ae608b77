"""What the question for the password says will be done: in the words of the button that was pressed, with the thing's name."""

from typing import Literal

from app.controllers.visit import Connection, visit_of
from app.database import fetch_row
from app.tables.user import User
from app.words import gettext as _

Action = Literal["connect", "test", "change-provider", "disconnect", "settings", "export", "import", "invite", "users"]

MOST_NAME_CHARS = 100


async def words_of(action: Action, connection: Connection) -> str:
    """The sentence. The form was not looked at yet: what it names may not exist."""
    if action == "users":
        action_words = _change_of_person(_typed(connection, "is_active"))
        person = await User.find(connection.path_params["user_id"])
        return _named(action_words, person.name if person else "")
    return _named(_actions()[action], await _name_of(action, connection))


async def _name_of(action: Action, connection: Connection) -> str:
    if action in ("connect", "test"):
        return _typed(connection, "name")
    if action == "invite":
        return _typed(connection, "email")
    if action in ("change-provider", "disconnect"):
        row = await fetch_row("SELECT name FROM provider WHERE id = $1", connection.path_params["provider_id"])
        return row["name"] if row else ""
    return ""


def _typed(connection: Connection, field: str) -> str:
    values = (visit_of(connection).form or {}).get(field, [])
    return "".join(values[:1]).strip()[:MOST_NAME_CHARS]


def _named(words: tuple[str, str], name: str) -> str:
    plain, with_name = words
    return with_name % {"name": name} if name else plain


def _change_of_person(is_active: str) -> tuple[str, str]:
    if is_active == "false":
        return _("Deactivate a person"), _("Deactivate %(name)s")
    return _("Activate a person"), _("Activate %(name)s")


def _actions() -> dict[Action, tuple[str, str]]:
    """Without a name, and with one. What never has one says the same twice."""
    settings, export, taken = (
        _("Save security settings"),
        _("Download settings with their secrets"),
        _("Import settings"),
    )
    return {
        "connect": (_("Connect a model server"), _("Connect %(name)s")),
        "test": (_("Test a model server"), _("Test %(name)s")),
        "change-provider": (_("Save changes to a model server"), _("Save changes to %(name)s")),
        "disconnect": (_("Disconnect a model server"), _("Disconnect %(name)s")),
        "settings": (settings, settings),
        "export": (export, export),
        "import": (taken, taken),
        "invite": (_("Make an invitation"), _("Make an invitation for %(name)s")),
    }
