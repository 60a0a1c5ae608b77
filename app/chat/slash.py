"""The language of slash-prompts: text with typed variables, read into pieces and filled in. Pure, and nothing is evaluated.

    {{name}}                      one line of text, the same as {{name:text}}
    {{body:long}}                 text of several lines
    {{count:number=3}}            a number; what follows the "=" stands in the field at first
    {{day:date}}                  a day
    {{tone:choice=formal|casual}} one of these

A variable may stand in a text more than once; then it is described once, or each time in the same way. Nothing behind an
"=" makes it optional.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Literal, get_args

import msgspec

from app.errors import Invalid
from app.parts import clean
from app.words import gettext as _

MOST_TEXT_CHARS = 50_000
MOST_VARIABLES = 20
MOST_CHOICES = 50
MOST_VALUE_CHARS = 100_000

Kind = Literal["text", "long", "number", "date", "choice"]
KINDS: tuple[str, ...] = get_args(Kind)


class Variable(msgspec.Struct, frozen=True):
    """One variable. `default` is what stands in its field at first; `is_optional`: it may stay empty."""

    name: str
    kind: Kind = "text"
    default: str = ""
    is_optional: bool = False
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as a person reads it."""
        return self.name.replace("_", " ")


class SlashText(msgspec.Struct, frozen=True):
    """A text that was read: plain pieces and the names of variables, in order; and each variable once."""

    pieces: tuple[str | Variable, ...]
    variables: tuple[Variable, ...]


def read_slash_text(text: str) -> SlashText:
    """What a person wrote → its pieces. Raises `Invalid` with a sentence about the text."""
    cleaned = clean(text.replace("\r\n", "\n"))
    if len(cleaned) > MOST_TEXT_CHARS:
        raise _wrong(_("At most %(most)s characters."), most=f"{MOST_TEXT_CHARS:,}")
    pieces: list[str | Variable] = []
    known: dict[str, Variable] = {}
    end = 0
    while (start := cleaned.find("{{", end)) >= 0:
        pieces.append(cleaned[end:start])
        end = cleaned.find("}}", start)
        if end < 0:
            raise _wrong(_("“%(piece)s” is opened and not closed: a variable ends with }}."), piece=cleaned[start:])
        variable = _variable(cleaned[start + 2 : end], known)
        known[variable.name] = variable
        pieces.append(variable)
        end += 2
    pieces.append(cleaned[end:])
    if len(known) > MOST_VARIABLES:
        raise _wrong(_("At most %(most)s variables."), most=MOST_VARIABLES)
    return SlashText(tuple(piece for piece in pieces if piece), tuple(known.values()))


def fill(text: SlashText, values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The finished text, and a sentence for each variable whose value cannot be taken (then the text is empty).

    Values are put in as they are: what looks like a variable in one stays what it is.
    """
    taken: dict[str, str] = {}
    errors: dict[str, str] = {}
    for variable in text.variables:
        value = clean(values.get(variable.name, "").replace("\r\n", "\n")).strip()
        if sentence := _value_fault(variable, value):
            errors[variable.name] = sentence
        taken[variable.name] = value
    if errors:
        return "", errors
    return "".join(piece if isinstance(piece, str) else taken[piece.name] for piece in text.pieces), {}


def _variable(inside: str, known: Mapping[str, Variable]) -> Variable:
    """What stands between the braces → a variable, which was seen before or not."""
    head, equals, tail = inside.partition("=")
    name, colon, kind = (unicodedata.normalize("NFC", part.strip()) for part in head.partition(":"))
    if not _NAME.fullmatch(name):
        raise _wrong(
            _("“%(piece)s” is no name of a variable: use letters, digits and _, at most 40, the first one a letter."),
            piece=name,
        )
    kind = kind if colon else "text"
    if kind not in KINDS:
        raise _wrong(_("“%(piece)s” is no kind of variable. There are: %(kinds)s."), piece=kind, kinds=", ".join(KINDS))
    found = _described(name, kind, tail.strip(), is_given=bool(equals))
    before = known.get(name)
    if before is None or before == found:
        return found
    if not colon and not equals:
        return before
    raise _wrong(
        _("“%(name)s” stands here twice, and not in the same way. Describe it once, the first time."), name=name
    )


def _described(name: str, kind: str, tail: str, *, is_given: bool) -> Variable:
    if kind == "choice":
        choices = tuple(dict.fromkeys(part.strip() for part in tail.split("|") if part.strip()))
        if not 1 < len(choices) <= MOST_CHOICES:
            raise _wrong(
                _("“%(name)s” needs 2 to %(most)s choices: {{%(name)s:choice=one|another}}."),
                name=name,
                most=MOST_CHOICES,
            )
        return Variable(name, "choice", choices[0], choices=choices)
    found = msgspec.convert(
        {"name": name, "kind": kind, "default": tail, "is_optional": is_given and not tail}, Variable
    )
    if tail and (sentence := _value_fault(found, tail)):
        raise _wrong(_("“%(name)s” begins with a value that it does not take. %(why)s"), name=name, why=sentence)
    return found


def _value_fault(variable: Variable, value: str) -> str:
    """What is wrong with a value, '' if nothing is."""
    if not value:
        return "" if variable.is_optional else _("Please fill this in.")
    if len(value) > MOST_VALUE_CHARS:
        return _("At most %(most)s characters.") % {"most": f"{MOST_VALUE_CHARS:,}"}
    match variable.kind:
        case "number" if not _NUMBER.fullmatch(value):
            return _("This is not a number.")
        case "date" if not _is_date(value):
            return _("This is not a day, written like 2026-03-14.")
        case "choice" if value not in variable.choices:
            return _("Choose one of what is offered.")
        case "text" if "\n" in value:
            return _("One line is enough here.")
        case _:
            return ""


def _is_date(value: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII)) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _wrong(sentence: str, **values: object) -> Invalid:
    shown = {name: value[:60] if isinstance(value, str) else value for name, value in values.items()}
    return Invalid(sentence % shown, field="text")


_NAME = re.compile(r"[^\W\d_]\w{0,39}")
_NUMBER = re.compile(r"[+-]?\d{1,30}([.,]\d{1,30})?", re.ASCII)
