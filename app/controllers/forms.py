"""Forms: decoded once, into closed structs; what is wrong stands beside its field, and what was typed is kept."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta
from msgspec.inspect import FloatType, ListType, Metadata, UnionType

from app.controllers.visit import Connection, visit_of
from app.errors import Malformed
from app.expected import plain, sentence_of
from app.words import gettext as _

LEAST_PASSWORD_CHARS = 10
MOST_PASSWORD_CHARS = 1_000

#: Fields that are never put back into a form.
_SECRET = {"is_secret": True}

#: No control characters, no separators of lines, and none of the marks that turn what stands around them (Trojan Source).
_SHOWN = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=_SHOWN)]
OptionalName = Annotated[str, Meta(max_length=100, pattern=_SHOWN)]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
OptionalEmail = Annotated[str, Meta(max_length=254, pattern=r"^([^@\s]+@[^@\s]+)?$")]
GivenPassword = Annotated[str, Meta(min_length=1, max_length=MOST_PASSWORD_CHARS, extra=_SECRET)]
NewPassword = Annotated[str, Meta(min_length=LEAST_PASSWORD_CHARS, max_length=MOST_PASSWORD_CHARS, extra=_SECRET)]

F = TypeVar("F", bound=msgspec.Struct)


class Fields(dict[str, str]):
    """Field → what was typed there, or what is wrong with it; '' for the others, so that templates may ask for any."""

    def __missing__(self, field: str) -> str:
        return ""


class Filled(msgspec.Struct, Generic[F], frozen=True):
    """A form as it came. `values` is None if anything is wrong; `typed` is what to show again."""

    values: F | None
    typed: Fields
    errors: Fields


def read_form(connection: Connection, kind: type[F]) -> Filled[F]:
    """The request's form as a `kind`. Raises `Malformed` if it is none, or has fields that nobody asked for.

    Texts lose the space around them; passwords do not. A field of a list type takes all values of that name.
    """
    if (sent := visit_of(connection).form) is None:
        raise Malformed(_("This address takes a form."))
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    _refuse_unknown(sent, fields)
    values: dict[str, Any] = {}
    typed = Fields()
    errors = Fields()
    for name, field in fields.items():
        rule = msgspec.inspect.type_info(field.type)
        given = sent.get(name)
        if not _is_secret(rule):
            typed[name] = "\n".join(given or [])
        if given is None and not field.required:
            continue
        value = given or [] if isinstance(plain(rule), ListType) else _single(name, given or [""], rule)
        try:
            values[field.name] = msgspec.convert(_empty_as_none(value, rule), field.type, strict=False)
        except msgspec.ValidationError:
            errors[name] = sentence_of(value, plain(rule))
    return Filled(None if errors else kind(**values), typed, errors)


def wrong(filled: Filled[F], field: str, sentence: str) -> Filled[F]:
    """The same form with something wrong that only the database or another field could tell."""
    return Filled(None, filled.typed, Fields(filled.errors | {field: sentence}))


def password_fault(password: str, *, email: str) -> str:
    """What is wrong with a new password, beyond its length; '' if nothing is."""
    folded = password.casefold()
    if email and folded in (email.casefold(), email.casefold().partition("@")[0]):
        return _("Choose something else than the email address.")
    if len(set(folded)) < 4:
        return _("Use more different characters.")
    return ""


def normalised(password: str) -> str:
    """NFC: one password, however the keyboard composes its letters."""
    return unicodedata.normalize("NFC", password)


def _refuse_unknown(sent: Mapping[str, list[str]], known: Mapping[str, object]) -> None:
    if any(name not in known for name in sent):
        raise Malformed(_("The form has fields that do not belong to it. Load the page again."))


def _single(name: str, given: list[str], rule: msgspec.inspect.Type) -> str:
    if len(given) > 1:
        raise Malformed(_("The form has a field twice. Load the page again."))
    if isinstance(plain(rule), FloatType) and "." not in given[0]:
        return given[0].strip().replace(",", ".", 1)  # as half of the world writes it
    return normalised(given[0]) if _is_secret(rule) else given[0].strip()


def _is_secret(rule: msgspec.inspect.Type) -> bool:
    return isinstance(rule, Metadata) and bool((rule.extra or {}).get("is_secret"))


def _empty_as_none(value: Any, rule: msgspec.inspect.Type) -> Any:
    """An empty field means None where None is allowed: forms cannot say it otherwise."""
    return None if value == "" and isinstance(rule, UnionType) and rule.includes_none else value
