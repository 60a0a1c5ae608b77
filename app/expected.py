"""What a typed value must be like, said in a sentence: one for forms and settings, wherever they are typed."""

from typing import Any

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, ListType, LiteralType, Metadata, StrType, UnionType, UUIDType

from app.words import gettext as _


def plain(rule: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """The type without what is said about it, and without "or None"."""
    if isinstance(rule, Metadata):
        return plain(rule.type)
    if isinstance(rule, UnionType):
        return next(plain(one) for one in rule.types if not isinstance(one, msgspec.inspect.NoneType))
    return rule


def keyboard_of(rule: msgspec.inspect.Type) -> str:
    """The `inputmode` of a field for such values."""
    match rule:
        case IntType():
            return "numeric"
        case FloatType():
            return "decimal"
        case _:
            return "text"


def sentence_of(value: Any, rule: msgspec.inspect.Type) -> str:
    """What is wrong with a value that a plain type does not take."""
    if value == "":
        return _("Please fill this in.")
    match rule:
        case StrType(max_length=int(most)) if len(value) > most:
            return _("At most %(most)s characters, and this has %(count)s.") % {
                "most": f"{most:,}",
                "count": f"{len(value):,}",
            }
        case StrType(min_length=int(least)) if len(value) < least:
            return _("At least %(least)s characters.") % {"least": least}
        case StrType(pattern=str(pattern)) if "@" in pattern:
            return _("This is not an email address.")
        case IntType() | FloatType():
            return _number_sentence(rule)
        case ListType(max_length=int(most)) if len(value) > most:
            return _("At most %(most)s of these.") % {"most": most}
        case LiteralType() | BoolType() | UUIDType():
            return _("Choose one of what is offered.")
        case _:
            return _("This cannot be used here.")


def _number_sentence(rule: IntType | FloatType) -> str:
    kind = _("A whole number") if isinstance(rule, IntType) else _("A number")
    if rule.le is None or (rule.ge is None and rule.gt is None):
        return f"{kind}."
    if rule.ge is None:
        return _("%(kind)s more than %(least)s to %(most)s.") % {
            "kind": kind,
            "least": f"{rule.gt:,}",
            "most": f"{rule.le:,}",
        }
    return _("%(kind)s from %(least)s to %(most)s.") % {"kind": kind, "least": f"{rule.ge:,}", "most": f"{rule.le:,}"}
