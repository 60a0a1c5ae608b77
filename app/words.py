"""The words of the app in the reader's language: `gettext` and `ngettext` look up what the current request speaks."""

from gettext import gettext, ngettext

__all__ = ["gettext", "ngettext"]
