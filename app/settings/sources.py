"""Where values come from: the command line over the environment over the database over the default. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from app.settings.schema import Settings
from app.settings.values import FIELDS, OPTIONS, BadSetting, environment_name, from_text, sentence_of

Source = Literal["default", "database", "environment", "command line"]

NOTHING: Mapping[str, str] = {}


class Effective(msgspec.Struct, frozen=True):
    """What holds, and why. `ignored`: stored values that cannot be used, each with the reason."""

    values: Settings
    sources: Mapping[str, Source]
    ignored: Mapping[str, str] = {}

    def is_locked(self, name: str) -> bool:
        """Whether the environment or the command line sets it: then nothing else can change it."""
        return self.sources[name] in ("environment", "command line")


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that this environment gives. Raises `BadSetting`; unset and empty variables mean the default."""
    return resolve(environment, {}).values


def resolve(
    environment: Mapping[str, str],
    stored: Mapping[str, Any],
    ignored: Mapping[str, str] = NOTHING,
    options: Mapping[str, str] = NOTHING,
) -> Effective:
    """What holds in this environment over these stored values, which have the types of their fields.

    `options`: setting → what the command line says. Raises `BadSetting` for it and for the environment.
    """
    said = {name: text for name, field in FIELDS.items() if (text := environment.get(field.variable, "").strip())}
    given = {name: _converted(name, "environment", text) for name, text in said.items() if name not in options}
    typed = {name: _converted(name, "command line", text) for name, text in options.items()}
    kept = {name: value for name, value in stored.items() if FIELDS[name].is_live}
    sources: dict[str, Source] = dict.fromkeys(FIELDS, "default")
    sources |= dict.fromkeys(kept, "database")
    sources |= dict.fromkeys(given, "environment")
    sources |= dict.fromkeys(typed, "command line")
    return Effective(Settings(**(kept | given | typed)), sources, ignored)


def refusal(name: str, source: Source, text: str, sentence: str) -> BadSetting:
    """The error for a value that was given from outside and cannot be used: it names what to change."""
    shown = "…" if FIELDS[name].is_secret else repr(text)
    given = f"{OPTIONS[name]} {shown}" if source == "command line" else f"{environment_name(name)}={shown}"
    return BadSetting(f"{given} cannot be used: {sentence}")


def _converted(name: str, source: Source, text: str) -> Any:
    try:
        return from_text(name, text)
    except ValueError as error:  # msgspec's own, too
        raise refusal(name, source, text, sentence_of(name, text)) from error
