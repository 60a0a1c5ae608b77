"""Where values come from: environment over database over default. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from app.settings.schema import Settings
from app.settings.values import FIELDS, BadSetting, from_text

Source = Literal["default", "database", "environment"]


class Effective(msgspec.Struct, frozen=True):
    """What holds, and why. `ignored`: stored values that cannot be used, each with the reason."""

    values: Settings
    sources: Mapping[str, Source]
    ignored: Mapping[str, str] = {}

    def is_locked(self, name: str) -> bool:
        """Whether the environment says it, so that nobody else can."""
        return self.sources[name] == "environment"


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that this environment gives. Raises `BadSetting`; unset and empty variables mean the default."""
    return Settings(**_said_by(environment))


def resolve(
    environment: Mapping[str, str], stored: Mapping[str, Any], ignored: Mapping[str, str] | None = None
) -> Effective:
    """What holds in this environment over these stored values, which have the types of their fields.

    Raises `BadSetting` for the environment.
    """
    said = _said_by(environment)
    kept = {name: value for name, value in stored.items() if FIELDS[name].is_live}
    sources: dict[str, Source] = dict.fromkeys(FIELDS, "default")
    sources |= dict.fromkeys(kept, "database")
    sources |= dict.fromkeys(said, "environment")
    return Effective(Settings(**(kept | said)), sources, ignored or {})


def _said_by(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: _converted(name, field.variable, text)
        for name, field in FIELDS.items()
        if (text := environment.get(field.variable, "").strip())
    }


def _converted(name: str, variable: str, text: str) -> Any:
    try:
        return from_text(name, text)
    except ValueError as error:  # msgspec's own, too
        shown = "…" if FIELDS[name].is_secret else repr(text)
        raise BadSetting(f"{variable}={shown} cannot be used: {str(error).rstrip('.')}.") from error
