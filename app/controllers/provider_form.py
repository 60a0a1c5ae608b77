"""The forms of a provider: their fields, and every check before its server is asked."""

from typing import Annotated, Any, TypeVar

import asyncpg
import msgspec
from litestar import Request
from msgspec import Meta

from app.chat.address_guesses import Guess
from app.chat.found import SOURCES, address_of
from app.controllers.addresses import address_fault
from app.controllers.forms import Filled, Name, OptionalName, read_form, wrong
from app.controllers.logins import given_login, kept_login, moved_login
from app.controllers.stored_address import completed_url, find_stored, lost_key
from app.controllers.typed_keys import accepted_key, has_key
from app.database import fetch
from app.origins import is_same_url, origin_of
from app.providers import PROVIDERS
from app.providers.credentials import split_credentials
from app.providers.errors import AddressRefused, BadAnswer, KeyRejected, ProviderError, WrongKind, WrongOrigin
from app.words import gettext as _

Key = Annotated[str, Meta(max_length=2000, extra={"is_secret": True})]
Url = Annotated[str, Meta(max_length=2000)]
Sealed = Annotated[str, Meta(max_length=10_000)]

#: The kinds that a person connects; the others come with Parley.
CONNECTABLE = tuple(kind for kind, provider in PROVIDERS.items() if not provider.is_builtin)

#: Characters at either end of an address that are never part of it.
_AROUND = " \t\"'`<>"


class NewProvider(msgspec.Struct):
    """`source` names a variable of the environment: its own address is connected, with the key that it holds.

    No address: the one of the kind's service.

    `proposal`: a kind and an address that we proposed and that is taken in the place of what was typed. `login`: user and
    password of an earlier address of this form, sealed (`logins.py`). `typed_key`: the key that was typed before the
    proposal, sealed (`typed_keys.py`).
    """

    kind: str
    base_url: Url
    name: OptionalName = ""
    key: Key = ""
    source: str = ""
    allows_private: bool = False
    proposal: Url = ""
    login: Sealed = ""
    typed_key: Sealed = ""


class ProviderChange(msgspec.Struct):
    """An empty key leaves the key as it is, at its own origin. `proposal`, `login` and `typed_key` are those of
    `NewProvider`.

    `keyless`: another origin, for which the person chose to save without a key.
    """

    name: Name
    base_url: Url = ""
    key: Key = ""
    allows_private: bool = False
    proposal: Url = ""
    login: Sealed = ""
    typed_key: Sealed = ""
    keyless: Url = ""


P = TypeVar("P", NewProvider, ProviderChange)


def read_provider(request: Request[Any, Any, Any], form: type[P]) -> Filled[P]:
    """The form. A proposal has taken its place in it, and no user or password stands in an address that is shown again."""
    filled = read_form(request, form)
    typed, values = filled.typed, filled.values
    address, login = split_credentials(typed["base_url"])
    kind, _space, proposed = typed["proposal"].partition(" ")
    typed["base_url"], kept = _trimmed(proposed or address), typed["login"]
    login = login or (moved_login(kept, address, proposed) if proposed else given_login(kept, typed["base_url"]))
    typed["login"] = kept_login(login, typed["base_url"])
    if "keyless" in typed and has_key(request):
        typed["keyless"] = ""  # the key that was typed is lost with this form: without it nothing is agreed any more
    if proposed and "kind" in typed:
        typed["kind"] = kind
    if values is not None:
        values.base_url, values.login = typed["base_url"], typed["login"]
        if isinstance(values, NewProvider):
            values.kind = typed["kind"]
        if proposed:
            key, fault = accepted_key(request, values.typed_key, values.base_url)
            values.key = values.key or key
            return wrong(filled, "key", fault) if fault else filled
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
    own = address_of(form.source) if isinstance(form, NewProvider) and form.source else find_stored(of)
    if fault := completed_url(form, own):
        return wrong(filled, "base_url", fault)
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
    if isinstance(form, NewProvider):
        return await _from_environment(filled, form)
    if of is not None and (fault := lost_key(form, of)):
        filled.typed["keyless"] = origin_of(form.base_url)
        return wrong(filled, "key", fault)
    return await alone(filled, kind, of)


async def _from_environment(filled: Filled[P], form: NewProvider) -> Filled[P]:
    """The form with the key of its variable, which goes nowhere but to the variable's own address."""
    if form.source:
        own = address_of(form.source)
        if origin_of(form.base_url) != origin_of(own.base_url):
            sentence = _("%(source)s is used at %(origin)s only. For this address enter a key below.")
            named = {"source": form.source, "origin": origin_of(own.base_url) or _("the address in the environment")}
            return wrong(filled, "base_url", sentence % named)
        form.key = own.key
    return await alone(filled, form.kind)


async def alone(filled: Filled[P], kind: str, of: asyncpg.Record | None = None) -> Filled[P]:
    """The form, or with a fault if another provider of this kind is at its address with its key.

    Who has two keys there may connect both. A change that leaves address and key as they are is nobody's twin.
    """
    form, stored = filled.values, find_stored(of)
    if form is None or (stored is not None and is_same_url(form.base_url, stored.base_url) and not form.key):
        return filled
    key = form.key or (stored.key if stored is not None and stored.key_origin == origin_of(form.base_url) else "")
    for row in await fetch(
        "SELECT id, name, base_url, base_url_sealed, key_sealed FROM provider WHERE kind = $1", kind
    ):
        other = find_stored(row) if of is None or row["id"] != of["id"] else None
        if other is not None and is_same_url(other.base_url, form.base_url) and other.key == key:
            sentence = _("%(name)s is connected to this address already.")
            return wrong(filled, "base_url", sentence % {"name": row["name"]})
    return filled


def typed_guess(filled: Filled[Any], kind: str) -> Guess:
    """Kind and address of a form, whether the address is one or not."""
    return Guess(kind, filled.typed["base_url"])


def _trimmed(url: str) -> str:
    """An address without a meaningless ending: slashes, an empty fragment."""
    return url.strip(_AROUND).rstrip("/#?")


def field_of(error: ProviderError | None) -> str:
    """The field that is wrong if asking for models failed like this. '' where the server may only be away."""
    match error:
        case KeyRejected() | WrongOrigin():
            return "key"
        case WrongKind():
            return "kind"
        case BadAnswer() | AddressRefused() | ProviderError(status=404):
            return "base_url"
        case _:
            return ""
