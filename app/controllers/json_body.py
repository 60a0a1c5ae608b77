"""Decodes the JSON of programs into closed structs."""

import re
from typing import TypeVar

import msgspec

from app.controllers.visit import Connection, visit_of
from app.errors import Invalid, Malformed
from app.words import gettext as _

S = TypeVar("S", bound=msgspec.Struct)

#: An escaped NUL, which Postgres does not store. A backslash that is itself escaped does not start one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_json(connection: Connection, kind: type[S]) -> S:
    """The request's JSON as a `kind`, which forbids unknown fields. Raises `Malformed` and `Invalid`."""
    if not kind.__struct_config__.forbid_unknown_fields:
        raise TypeError(f"{kind.__name__} must forbid unknown fields")
    if (sent := visit_of(connection).json) is None:
        raise Malformed(_("This address takes JSON."))
    if _NUL.search(sent):
        raise Malformed(_("The JSON contains a NUL character, which cannot be stored."))
    try:
        return msgspec.json.decode(sent, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(_("The JSON is not valid: %(reason)s") % {"reason": error}) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(_("The JSON cannot be read.")) from error
