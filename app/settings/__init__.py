"""Every setting: its type, unit, default, limits and help. The command line wins over the
environment, that over the database, that over the default.

A setting `x` is read from `PARLEY_X`; three carry names that the rest of the world gives (`ENVIRONMENT_NAMES`).
"""

from app.settings.held import current, effective, over_stored, settings, take_options, take_stored
from app.settings.schema import Group, SendKey, Settings, Speech, Theme
from app.settings.sources import Effective, Source, read, refusal, resolve
from app.settings.values import FIELDS, OPTIONS, BadSetting, Field, environment_name, help_of

__all__ = [
    "FIELDS",
    "OPTIONS",
    "BadSetting",
    "Effective",
    "Field",
    "Group",
    "SendKey",
    "Settings",
    "Source",
    "Speech",
    "Theme",
    "current",
    "effective",
    "environment_name",
    "help_of",
    "over_stored",
    "read",
    "refusal",
    "resolve",
    "settings",
    "take_options",
    "take_stored",
]
