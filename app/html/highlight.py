"""Source code to HTML with Pygments' short classes, coloured by static/css/highlight.css."""

import time
from html import escape
from importlib import import_module
from typing import Final

from pygments.lexer import Lexer
from pygments.token import STANDARD_TYPES, _TokenType

from app.html.languages import LANGUAGES, LEXERS

MAX_CODE_CHARS: Final = 100_000
CLASS_PREFIX: Final = "h-"
#: Of the processor: what a busy machine takes longer for is coloured all the same.
_MOST_SECONDS: Final = 0.5


def highlight(code: str, language: str) -> str:
    """Escaped code with `<span class="h-..">` around its tokens; without them where the language is unknown."""
    lexer = _lexer(language) if len(code) <= MAX_CODE_CHARS else None
    if lexer is None:
        return escape(code, False)
    out: list[str] = []
    seen = 0
    ends_at = time.thread_time() + _MOST_SECONDS
    for kind, text in lexer.get_tokens(code):
        if not code.startswith(text, seen) or time.thread_time() > ends_at:
            return escape(code, False)  # a lexer that changes the text, or dawdles: the words come first
        seen += len(text)
        css = STANDARD_TYPES.get(kind) or _nearest(kind)
        shown = escape(text, False)
        out.append(f'<span class="{CLASS_PREFIX}{css}">{shown}</span>' if css and css != "w" else shown)
    return "".join(out) if seen == len(code) else escape(code, False)


def preload() -> None:
    """Import what later calls may need, without using it: that takes fifteen times as long, and most is never used."""
    for name in LEXERS:
        _lexer_class(name)
    for name in ("cocoa", "lua", "php", "vim"):  # imported by their lexers when these are first used
        import_module(f"pygments.lexers._{name}_builtins")


def _nearest(kind: _TokenType) -> str:
    parent = kind.parent
    while parent is not None and parent not in STANDARD_TYPES:
        parent = parent.parent
    return "" if parent is None else str(STANDARD_TYPES[parent])


def _lexer(language: str) -> Lexer | None:
    name = LANGUAGES.get(language.lower())
    if name is None:
        return None
    # `handlecodeblocks`: code within Markdown could name any lexer that there is.
    return _lexer_class(name)(stripnl=False, ensurenl=False, handlecodeblocks=False)


def _lexer_class(name: str) -> type[Lexer]:
    module, _, kind = LEXERS[name].partition(":")
    found: type[Lexer] = getattr(import_module(module), kind)
    return found
