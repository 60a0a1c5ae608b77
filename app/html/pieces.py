"""What is drawn last, and in a child process: formulas, and the colours of code.

Marked HTML holds a formula as its LaTeX in `<var>` (`<samp>`: on a line of its own) and code without colours. Neither tag
can come from Markdown: see events.py.
"""

import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Final, assert_never

import msgspec

from app.html.bounds import MAX_HTML_BYTES, byte_length
from app.html.languages import LANGUAGES

MAX_HIGHLIGHTED_CHARS: Final = 100_000

_FORMULA: Final = re.compile(r"<(var|samp)>([^<]*+)</\1>")
_CODE: Final = re.compile(r'(<pre tabindex="0"><code class="language-([^"]*)">)([^<]*+)(?=</code></pre>)')


class Formula(msgspec.Struct, frozen=True, tag="formula"):
    """LaTeX; `is_display`: on a line of its own."""

    latex: str
    is_display: bool


class Code(msgspec.Struct, frozen=True, tag="code"):
    """Source code in a language, by a name that people write behind a fence."""

    code: str
    language: str


Piece = Formula | Code


def draw(piece: Piece) -> str:
    """A piece as HTML. May hang, or abort the process: call it in a child."""
    match piece:
        case Formula(latex=latex, is_display=is_display):  # imported in children alone
            from app.html.mathml import formula

            return formula(latex, is_display)
        case Code(code=code, language=language):
            from app.html.highlight import highlight

            return highlight(code, language)
        case _:
            assert_never(piece)


def draw_all(html: str) -> str:
    """Marked HTML with all its pieces drawn, in this process."""
    html = with_formulas(html, {each: draw(each) for each in formulas_in(html)})
    return with_colours(html, {each: draw(each) for each in code_in(html)})


def count_formulas(html: str) -> int:
    """How many formulas marked HTML holds."""
    return html.count("<var>") + html.count("<samp>")


def formulas_in(html: str) -> list[Formula]:
    """Each formula of marked HTML once, in order."""
    if not count_formulas(html):
        return []
    return list(dict.fromkeys(_formula(match) for match in _FORMULA.finditer(html)))


def with_formulas(html: str, drawn: Mapping[Formula, str]) -> str:
    """Marked HTML with its formulas drawn; one that is not among them is shown as its source."""
    if not count_formulas(html):
        return html
    return _FORMULA.sub(lambda match: drawn.get(formula := _formula(match)) or not_drawn(formula.latex), html)


def with_most_formulas(html: str, most: int) -> str:
    """Marked HTML in which the formulas behind the first so many are shown as their source."""
    if count_formulas(html) <= most:
        return html
    numbers = iter(range(most))
    return _FORMULA.sub(
        lambda match: match[0] if next(numbers, None) is not None else not_drawn(unescape(match[2])), html
    )


def not_drawn(latex: str) -> str:
    """A formula shown as its source."""
    return f'<code class="math-error" dir="ltr">{escape(latex, False)}</code>'


def code_in(html: str) -> list[Code]:
    """Each block of code in a language that has colours, as long as all of them together are not too long."""
    left = MAX_HIGHLIGHTED_CHARS
    found: dict[Code, None] = {}
    for match in _CODE.finditer(html):
        if match[2] in LANGUAGES and match[3] and len(match[3]) <= left:
            left -= len(match[3])
            found[_code(match)] = None
    return list(found)


def with_colours(html: str, drawn: Mapping[Code, str]) -> str:
    """HTML with the colours of its code; a block that is not among them, or for which there is no room, stays as it is."""
    room = MAX_HTML_BYTES - byte_length(html)

    def coloured(match: re.Match[str]) -> str:
        nonlocal room
        code = drawn.get(_code(match)) or match[3]
        growth = byte_length(code) - byte_length(match[3])
        if growth > room:
            return match[0]
        room -= growth
        return match[1] + code

    return _CODE.sub(coloured, html) if drawn else html


def _formula(match: re.Match[str]) -> Formula:
    return Formula(unescape(match[2]), match[1] == "samp")


def _code(match: re.Match[str]) -> Code:
    return Code(unescape(match[3]), match[2])
