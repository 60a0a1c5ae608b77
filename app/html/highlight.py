"""Source code to HTML with Pygments' short classes, coloured by static/css/highlight.css."""

import importlib
import re
import time
from html import escape
from typing import Final

from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name, get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType
from pygments.util import ClassNotFound

MAX_CODE_CHARS: Final = 100_000
CLASS_PREFIX: Final = "h-"
_DEADLINE_SECONDS: Final = 0.5
_NAME: Final = re.compile(r"[\w+#.-]{1,40}")
_PRELOADED: Final = (
    "bash c c++ c# clojure css dart diff docker elixir go graphql haskell html ini java javascript json jsx julia kotlin lua "
    "makefile markdown matlab nginx perl php powershell protobuf python r ruby rust scala scss sql swift tex toml tsx "
    "typescript vim xml yaml"
)
_PLAIN: Final = frozenset({"", "text", "plain", "plaintext", "txt", "output", "none"})


def highlight(code: str, language: str) -> str:
    """Escaped code with `<span class="h-..">` around its tokens; without them where the language is unknown."""
    lexer = _lexer(language) if len(code) <= MAX_CODE_CHARS else None
    if lexer is None:
        return escape(code, False)
    out: list[str] = []
    seen = 0
    ends_at = time.monotonic() + _DEADLINE_SECONDS
    for kind, text in lexer.get_tokens(code):
        if not code.startswith(text, seen) or time.monotonic() > ends_at:
            return escape(code, False)  # a lexer that changes the text, or dawdles: the words come first
        seen += len(text)
        css = STANDARD_TYPES.get(kind) or _nearest(kind)
        shown = escape(text, False)
        out.append(f'<span class="{CLASS_PREFIX}{css}">{shown}</span>' if css and css != "w" else shown)
    return "".join(out) if seen == len(code) else escape(code, False)


def preload() -> None:
    """Import what later calls may need, without using it: that takes fifteen times as long, and most is never used."""
    for language in _PRELOADED.split():
        find_lexer_class_by_name(language)
    for name in ("cocoa", "lua", "php", "vim"):  # imported by their lexers when these are first used
        importlib.import_module(f"pygments.lexers._{name}_builtins")


def _nearest(kind: _TokenType) -> str:
    parent = kind.parent
    while parent is not None and parent not in STANDARD_TYPES:
        parent = parent.parent
    return "" if parent is None else str(STANDARD_TYPES[parent])


def _lexer(language: str) -> Lexer | None:
    if language.lower() in _PLAIN or not _NAME.fullmatch(language):
        return None
    try:
        return get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
