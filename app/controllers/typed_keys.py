"""A key that was typed beside an address that needs putting right: it comes along with the proposal, sealed.

It is for the session and the origin that it was typed for. Without it a proposal would connect the server without a key.
"""

import contextlib
from collections.abc import Sequence

from app.chat.address_guesses import meant_origin
from app.controllers.visit import Connection, visit_of
from app.errors import Unavailable
from app.origins import origin_of
from app.secrets import seal, unseal
from app.words import gettext as _

FIELD = "typed_key"


def has_key(connection: Connection) -> bool:
    """Whether a key was typed, now or before the proposal, which a page that is drawn again does not hold."""
    return _has(connection, "key") or _has(connection, FIELD)


def is_forgotten(connection: Connection) -> bool:
    """Whether the key came with a proposal alone: no field holds it."""
    return _has(connection, FIELD) and not _has(connection, "key")


def kept_key(connection: Connection, key: str, typed_url: str) -> str:
    """What the form holds in the place of the key that was typed beside this URL; '' for none."""
    return seal(f"{_purpose(connection)}\n{meant_origin(typed_url)}\n{key}") if key else ""


def accepted_key(connection: Connection, sealed: str, base_url: str) -> tuple[str, str]:
    """The key for a proposal that was accepted, and what is wrong: it goes to no other origin, and never gets lost unsaid."""
    if not sealed or _has(connection, "key"):
        return "", ""
    purpose, origin, key = _opened(sealed)
    if purpose != _purpose(connection):
        return "", _("The key that you typed before is not kept.")
    if origin != origin_of(base_url):
        sentence = _("The key that you typed was for %(typed)s and is not sent to %(new)s.")
        return "", sentence % {"typed": origin, "new": origin_of(base_url)}
    return key, ""


def _opened(sealed: str) -> Sequence[str]:
    """Purpose, origin and key; empty for what this instance did not seal."""
    with contextlib.suppress(Unavailable):
        parts = unseal(sealed).split("\n", 2)
        return parts if len(parts) == 3 else ("", "", "")
    return "", "", ""


def _purpose(connection: Connection) -> str:
    session = visit_of(connection).session
    return f"typed key {session.id if session else ''}"


def _has(connection: Connection, field: str) -> bool:
    return any((visit_of(connection).form or {}).get(field, []))
