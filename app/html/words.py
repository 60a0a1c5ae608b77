"""Markdown to its words alone: for where text has one line and no marks, as a title."""

from typing import Any, Final

import pyromark

_Options = pyromark.Options
#: Without formulas and footnotes: in a few words a dollar is a dollar.
_parser: Final = pyromark.Markdown(
    options=_Options.ENABLE_TABLES | _Options.ENABLE_STRIKETHROUGH | _Options.ENABLE_TASKLISTS
)
_WITHIN_A_LINE: Final = frozenset({"Emphasis", "Strong", "Strikethrough", "Link", "Image"})
_WRITTEN: Final = frozenset({"Text", "Code", "Html", "InlineHtml"})


def words_of(source: str) -> str:
    """What is left of Markdown without its marks, on one line. What is HTML there stays: it was written as text."""
    return " ".join("".join(map(_written, _parser.events(source))).split())


def _written(event: Any) -> str:
    if isinstance(event, str):
        return " "
    ((kind, value),) = event.items()
    if kind in _WRITTEN:
        return str(value)
    name = value if isinstance(value, str) else next(iter(value), "") if isinstance(value, dict) else ""
    return "" if name in _WITHIN_A_LINE else " "
