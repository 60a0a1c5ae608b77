"""What is known of each setting, and how its values come from text and from JSON."""

import ipaddress
import math
import pathlib
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.inspect import BoolType, LiteralType

from app import expected
from app.settings.schema import Group, Settings
from app.words import gettext as _

ENVIRONMENT_NAMES = {"database_url": "DATABASE_URL", "data": "PARLEY_DATA", "secret_key": "PARLEY_SECRET_KEY"}

#: Settings that `parley serve` takes as options, too.
OPTIONS = {"host": "--host", "port": "--port", "demo": "--demo"}

_hints = get_type_hints(Settings, include_extras=True)

_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class BadSetting(Exception):
    """A value that a setting does not take; the text is one sentence for the console."""


class Field(msgspec.Struct, frozen=True):
    """One setting. `is_live`: it can be set while Parley runs, and takes effect at once; others are read at the start.
    `is_sensitive`: to change it on the pages takes the password again, as it decides whom Parley trusts or where secrets go.

    `choices` is empty where a text or a number is typed; `is_long`: the text has lines. `address`: the setting with the
    address that a secret is for, if it is for one.
    """

    name: str
    group: Group
    help: str
    type: Any
    default: Any
    is_live: bool
    is_secret: bool
    is_sensitive: bool
    is_long: bool
    choices: tuple[str, ...] = ()
    keyboard: str = "text"
    address: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return environment_name(self.name)


def environment_name(name: str) -> str:
    """The environment variable that sets this setting."""
    return ENVIRONMENT_NAMES.get(name, f"PARLEY_{name.upper()}")


def help_of(name: str) -> str:
    """The help text of a setting."""
    return FIELDS[name].help


def from_text(name: str, text: str) -> Any:
    """The value that a text means. Raises `ValueError` with what is wrong with it, as msgspec says it."""
    kind = get_args(_hints[name])[0]
    if kind is pathlib.Path:
        return pathlib.Path(text).expanduser().resolve()
    raw: Any = text
    if kind == tuple[str, ...]:
        raw = tuple(part.strip() for part in text.split(",") if part.strip())
        for part in raw:
            ipaddress.ip_network(part, strict=False)
    elif kind is bool:
        raw = _TRUTHS.get(text.lower(), text)
    elif FIELDS[name].keyboard == "decimal" and "." not in text:
        raw = text.replace(",", ".", 1)  # as half of the world writes it
    return _checked(msgspec.convert(raw, _hints[name], strict=False))


def from_json(name: str, value: Any) -> Any:
    """The value of a setting as JSON has it. Raises `ValueError`."""
    return _checked(msgspec.convert(value, _hints[name]))


def to_text(value: Any) -> str:
    """A value as it is typed: true, 4096, 0.15; '' for none."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.12g}"
        case tuple():
            return ", ".join(value)
        case _:
            return str(value)


def sentence_of(name: str, value: Any) -> str:
    """What is wrong with a value that `from_text` or `from_json` does not take."""
    if FIELDS[name].type == _hints["trusted_proxies"]:
        return _("Addresses or networks, separated by commas: 10.0.0.1, 10.1.0.0/16.")
    text = value if isinstance(value, str) else to_text(value)
    return expected.sentence_of(text, expected.plain(msgspec.inspect.type_info(_hints[name])))


def _checked(value: Any) -> Any:
    """Raises `ValueError` for what passes msgspec's limits and is no value: NaN, infinity, "null"."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("Expected a number")
    return value


def _field(info: msgspec.structs.FieldInfo) -> Field:
    meta = next(one for one in get_args(_hints[info.name]) if isinstance(one, Meta))
    rule = expected.plain(msgspec.inspect.type_info(_hints[info.name]))
    match rule:
        case LiteralType():
            choices = tuple(str(value) for value in get_args(get_args(_hints[info.name])[0]))
        case BoolType():
            choices = ("true", "false")
        case _:
            choices = ()
    extra: Mapping[str, Any] = meta.extra or {}
    return Field(
        name=info.name,
        help=str(meta.description),
        type=_hints[info.name],
        default=info.default_factory() if info.default_factory is not msgspec.NODEFAULT else info.default,
        choices=choices,
        keyboard=expected.keyboard_of(rule),
        **extra,
    )


#: name → what is known of it, in the order of the schema.
FIELDS: dict[str, Field] = {}
FIELDS.update((info.name, _field(info)) for info in msgspec.structs.fields(Settings))
