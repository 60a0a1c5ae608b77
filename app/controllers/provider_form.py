"""The forms of a provider: their fields, and every check before its server is asked."""

from typing import Annotated, Any, TypeVar

import asyncpg
import httpx
import msgspec
from litestar import Request
from msgspec import Meta

from app.chat.address_guesses import Guess
from app.chat.found import SOURCES, key_from
from app.controllers.addresses import address_fault
from app.controllers.forms import Filled, Name, OptionalName, read_form, wrong
from app.controllers.logins import given_login, kept_login
from app.database import fetch
from app.errors import Unavailable
from app.providers import PROVIDERS
from app.providers.credentials import split_credentials
from app.providers.errors import AddressRefused, BadAnswer, KeyRejected, ProviderError, WrongKind
from app.secrets import unseal
from app.words import gettext as _

Key = Annotated[str, Meta(max_length=2000, extra={"is_secret": True})]
Url = Annotated[str, Meta(max_length=2000)]
Sealed = Annotated[str, Meta(max_length=10_000)]

#: The kinds that a person connects; the others come with Parley.
CONNECTABLE = tuple(kind for kind, provider in PROVIDERS.items() if not provider.is_builtin)

#: Characters at either end of an address that are never part of it.
_AROUND = " \t\"'`<>"


class NewProvider(msgspec.Struct):
    """`source` names a variable of the environment that holds the key. No address: the one of the kind's service.

    `proposal`: a kind and an address that we proposed and that is taken in the place of what was typed. `login`: user and
    password of an earlier address of this form, sealed (`logins.py`).
    """

    kind: str
    base_url: Url
    name: OptionalName = ""
    key: Key = ""
    source: str = ""
    allows_private: bool = False
    proposal: Url = ""
    login: Sealed = ""


class ProviderChange(msgspec.Struct):
    """An empty key leaves the key as it is. `proposal` and `login` are those of `NewProvider`."""

    name: Name
    base_url: Url = ""
    key: Key = ""
    allows_private: bool = False
    proposal: Url = ""
    login: Sealed = ""


P = TypeVar("P", NewProvider, ProviderChange)


def read_provider(request: Request[Any, Any, Any], form: type[P]) -> Filled[P]:
    """The form. A proposal has taken its place in it, and no user or password stands in an address that is shown again."""
    filled = read_form(request, form)
    typed, values = filled.typed, filled.values
    address, login = split_credentials(typed["base_url"])
    kind, _space, proposed = typed["proposal"].partition(" ")
    typed["base_url"] = _trimmed(proposed or address)
    typed["login"] = kept_login(login or given_login(typed["login"], typed["base_url"]), typed["base_url"])
    if proposed and "kind" in typed:
        typed["kind"] = kind
    if values is not None:
        values.base_url, values.login = typed["base_url"], typed["login"]
        if isinstance(values, NewProvider):
            values.kind = typed["kind"]
    return filled


async def checked_new(request: Request[Any, Any, Any], filled: Filled[NewProvider]) -> Filled[NewProvider]:
    """The form of a new provider, with its address as it will be stored, or with what is wrong."""
    new = filled.values
    if new is None:
        return filled
    if new.kind not in CONNECTABLE:
        return wrong(filled, "kind", _("Choose one of what is offered."))
    if new.source not in ("", *SOURCES):
        return wrong(filled, "key", _("That variable is not one that a key is taken from."))
    return await checked(request, filled, new.kind)


async def checked(
    request: Request[Any, Any, Any], filled: Filled[P], kind: str, of: asyncpg.Record | None = None
) -> Filled[P]:
    """Address and key of a provider of this kind, new or changed (`of`), as they will be stored, or with what is wrong."""
    form = filled.values
    if form is None:
        return filled
    form.base_url = form.base_url or PROVIDERS[kind].usual_url.rstrip("/")
    key, login = form.key.strip(), given_login(form.login, form.base_url)
    form.key = login or key
    if fault := await address_fault(request, form.base_url, allows_private=form.allows_private):
        return wrong(filled, "base_url", fault)
    if not (key.isprintable() and key.isascii()) or " " in key:
        return wrong(filled, "key", _("A key has no spaces, line breaks or special letters."))
    if login and key:
        sentence = _("The address contains a user name and a password. Enter either those or a key, not both.")
        return wrong(filled, "key", sentence)
    if isinstance(form, NewProvider) and form.source:
        form.key = key_from(form.source)
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


def typed_guess(filled: Filled[Any], kind: str) -> Guess:
    """Kind and address of a form, whether the address is one or not."""
    return Guess(kind, filled.typed["base_url"])


def _trimmed(url: str) -> str:
    """An address without a meaningless ending: slashes, an empty fragment."""
    return url.strip(_AROUND).rstrip("/#?")


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
        case WrongKind():
            return "kind"
        case BadAnswer() | AddressRefused() | ProviderError(status=404):
            return "base_url"
        case _:
            return ""
