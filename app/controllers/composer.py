"""What forms of threads send: their fields, closed and uncut. Unlike other forms, spaces in a question are kept."""

import uuid
from collections.abc import Collection

from app.chat.options import Options
from app.controllers.visit import Connection, visit_of
from app.errors import Invalid, Malformed
from app.words import gettext as _

OPTIONS = frozenset(Options.__struct_fields__)
KNOWN = frozenset({"text", "model", "request_id", "title", "message"}) | OPTIONS


def fields(connection: Connection, known: Collection[str] = KNOWN) -> dict[str, str]:
    """The form's fields, each once. Raises `Malformed` for fields that nobody asked for."""
    form = visit_of(connection).form
    if form is None:
        raise Malformed(_("This address takes a form."))
    if any(name not in known or len(values) != 1 for name, values in form.items()):
        raise Malformed(_("The form has fields that do not belong to it. Load the page again."))
    return {name: values[0] for name, values in form.items()}


def field(connection: Connection, name: str) -> str:
    """One field, as typed; empty if it was not sent."""
    return fields(connection).get(name, "")


def id_field(connection: Connection, name: str) -> uuid.UUID:
    """A field that holds an id. Raises `Invalid`."""
    try:
        return uuid.UUID(field(connection, name))
    except ValueError as error:
        raise Invalid(_("The form is not complete. Load the page again."), field=name) from error
