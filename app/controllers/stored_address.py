"""The stored address in the form of a provider: parts of it are not shown, and its key stays with its origin."""

from collections.abc import Mapping
from typing import Any, Protocol

from app.errors import Unavailable
from app.origins import MASK, origin_of, shown_url
from app.tables.provider import Address, open_address, seal_key
from app.words import gettext as _


class Form(Protocol):
    """What is read of a form here."""

    base_url: str
    key: str


class Change(Form, Protocol):
    """The same of a change; `keyless` is the origin for which the person chose to save without a key."""

    keyless: str


def find_stored(row: Mapping[str, Any] | None) -> Address | None:
    """Address and key of a row; None where there is no row, and for what cannot be read any more."""
    try:
        return open_address(row) if row is not None else None
    except Unavailable:
        return None


def completed_url(form: Form, own: Address | None) -> str:
    """Puts the whole address into a form that has what is shown of it. Returns what is wrong, or ''."""
    if own is not None and form.base_url == shown_url(own.base_url):
        form.base_url = own.base_url
    if MASK in form.base_url:
        return _("Parts of the stored address are not shown (%(mask)s). Enter the whole address.") % {"mask": MASK}
    return ""


def lost_key(form: Change, row: Mapping[str, Any]) -> str:
    """Says that the stored key does not go to the form's address, where that is another origin; '' if there is nothing to say."""
    stored = find_stored(row)
    if form.key or stored is None or not stored.key:
        return ""
    origin = origin_of(form.base_url)
    if origin in (stored.key_origin, form.keyless):
        return ""
    sentence = _(
        "The stored key is for %(stored)s and is not sent to %(new)s. Enter a key for this address, or choose "
        "“Save without a key”; the stored key is then deleted."
    )
    return sentence % {"stored": stored.key_origin or _("another address"), "new": origin}


def key_for(row: Mapping[str, Any], base_url: str) -> tuple[str, str]:
    """The stored key and its origin, if it is for this address; '' and '' if there is none. Raises `Unavailable`."""
    stored = open_address(row) if row["key_sealed"] else Address("")
    is_for_it = bool(stored.key) and stored.key_origin == origin_of(base_url)
    return (stored.key, stored.key_origin) if is_for_it else ("", "")


def sealed_key(row: Mapping[str, Any], base_url: str, typed: str) -> str:
    """The column `key_sealed` after a change: the typed key, else the stored one if it is for this address."""
    return seal_key(typed, origin_of(base_url)) if typed else seal_key(*key_for(row, base_url))
