"""The forms of a provider: what they hold, and all that is asked of it before anything is stored, the server included."""

import os
from typing import Annotated, Any, TypeVar

import asyncpg
import httpx
import msgspec
from litestar import Request
from msgspec import Meta

from app.chat.found import KEY_VARIABLES
from app.controllers.addresses import address_fault
from app.controllers.forms import Filled, Name, OptionalName, wrong
from app.database import fetch
from app.errors import Unavailable
from app.providers import PROVIDERS
from app.providers.errors import AddressRefused, BadAnswer, KeyRejected, ProviderError
from app.secrets import unseal
from app.words import gettext as _

Key = Annotated[str, Meta(max_length=2000, extra={"is_secret": True})]
Url = Annotated[str, Meta(max_length=2000)]

#: The kinds that a person connects; the others come with Parley.
CONNECTABLE = tuple(kind for kind, provider in PROVIDERS.items() if not provider.is_builtin)


class NewProvider(msgspec.Struct):
    """`source` names a variable of the environment whose value is the key. No address: the one of the kind's service."""

    kind: str
    base_url: Url
    name: OptionalName = ""
    key: Key = ""
    source: str = ""
    allows_private: bool = False


class ProviderChange(msgspec.Struct):
    """An empty key leaves the key as it is."""

    name: Name
    base_url: Url = ""
    key: Key = ""
    allows_private: bool = False


P = TypeVar("P", NewProvider, ProviderChange)


async def checked_new(request: Request[Any, Any, Any], filled: Filled[NewProvider]) -> Filled[NewProvider]:
    """The form of a new provider, with its address as it will be stored, or with what is wrong."""
    new = filled.values
    if new is None:
        return filled
    if new.kind not in CONNECTABLE:
        return wrong(filled, "kind", _("Choose one of what is offered."))
    if new.source not in ("", *KEY_VARIABLES):
        return wrong(filled, "key", _("That variable is not one that a key is taken from."))
    new.key = os.environ.get(new.source, "") if new.source else new.key
    return await checked(request, filled, new.kind)


async def checked(
    request: Request[Any, Any, Any], filled: Filled[P], kind: str, of: asyncpg.Record | None = None
) -> Filled[P]:
    """Address and key of a provider of this kind, new or changed (`of`), as they will be stored, or with what is wrong."""
    form = filled.values
    if form is None:
        return filled
    form.base_url = (form.base_url or PROVIDERS[kind].usual_url).rstrip("/")
    form.key = form.key.strip()
    if fault := await address_fault(request, form.base_url, allows_private=form.allows_private):
        return wrong(filled, "base_url", fault)
    if not (form.key.isprintable() and form.key.isascii()) or " " in form.key:
        return wrong(filled, "key", _("A key has no spaces, line breaks or special letters."))
    return await alone(filled, kind, of)


async def alone(filled: Filled[P], kind: str, of: asyncpg.Record | None = None) -> Filled[P]:
    """The form, or with a fault if another provider of this kind is at its address with its key.

    Who has two keys there may connect both. A change that leaves address and key as they are is nobody's twin.
    """
    form = filled.values
    if form is None or (of is not None and form.base_url == of["base_url"] and not form.key):
        return filled
    key = form.key or (_key_of(of) if of is not None else "")
    for row in await fetch("SELECT id, name, base_url, key_sealed FROM provider WHERE kind = $1", kind):
        is_other = of is None or row["id"] != of["id"]
        if is_other and _is_same_url(row["base_url"], form.base_url) and _key_of(row) == key:
            sentence = _("%(name)s is connected to this address already.")
            return wrong(filled, "base_url", sentence % {"name": row["name"]})
    return filled


def _key_of(row: asyncpg.Record) -> str | None:
    """None for one that cannot be read any more: it is no key of today."""
    try:
        return unseal(row["key_sealed"]) if row["key_sealed"] else ""
    except Unavailable:
        return None


def _is_same_url(one: str, other: str) -> bool:
    return httpx.URL(one.rstrip("/")) == httpx.URL(other)


def field_of(error: ProviderError | None) -> str:
    """The field that is wrong if asking for models failed like this. '' where the server may only be away."""
    match error:
        case KeyRejected():
            return "key"
        case BadAnswer() | AddressRefused() | ProviderError(status=404):
            return "base_url"
        case _:
            return ""
