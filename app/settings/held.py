"""This process's own settings, as they are now: `settings` is asked anew each time, and never a copy."""

import os
from collections.abc import Mapping
from typing import Any, cast

from app.settings.schema import Settings
from app.settings.sources import NOTHING, Effective, resolve


class _Live:
    """Every attribute is the one of the settings that hold when it is asked for.

    The environment is read when the first one is, so that a bad one is not an import error. Raises `BadSetting`.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(effective().values, name)

    def __repr__(self) -> str:
        return "<the settings of this process>"


#: To be kept by whoever needs settings for longer than a moment: what the owner changes meanwhile holds at once.
settings = cast(Settings, _Live())


def effective() -> Effective:
    """What holds now, and why. Raises `BadSetting`."""
    if not _held:
        _held.append(over_stored({}))
    return _held[0]


def current() -> Settings:
    """The values that hold now: a frozen copy, which does not follow changes."""
    return effective().values


def take_options(options: Mapping[str, str]) -> None:
    """Apply the command line's values at the start of the program: they win over everything else."""
    _options.clear()
    _options.update(options)
    _held.clear()


def take_stored(stored: Mapping[str, Any], ignored: Mapping[str, str] = NOTHING) -> None:
    """From now on these are the values that the database holds, with the types of their fields."""
    _held[:] = [over_stored(stored, ignored)]


def over_stored(stored: Mapping[str, Any], ignored: Mapping[str, str] = NOTHING) -> Effective:
    """What would hold over these stored values. Raises `BadSetting`."""
    return resolve(_environment(), stored, ignored, _options)


def _environment() -> Mapping[str, str]:
    """As it was when it was first looked at: what it says holds until the process ends."""
    if not _environments:
        _environments.append(dict(os.environ))
    return _environments[0]


_held: list[Effective] = []
_environments: list[Mapping[str, str]] = []
_options: dict[str, str] = {}
