"""Text that is shown as it was written: what is too much to render, and what a renderer failed at."""

from html import escape
from typing import Final

HEAD: Final = '<pre tabindex="0" dir="auto">'
FOOT: Final = "</pre>"


def as_source(text: str) -> str:
    """`text`, already normal, escaped in a `pre`."""
    shown = escape(text.lstrip("\n"), False)  # an HTML parser drops the first line end in a pre
    return f"{HEAD}{shown}{FOOT}"
