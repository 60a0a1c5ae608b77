"""LaTeX to MathML, and the finding of `\\(..\\)` and `\\[..\\]` in Markdown."""

import re
from functools import lru_cache
from html import escape
from typing import Final

import math_core

from app.html.events import parser

MAX_FORMULA_CHARS: Final = 10_000
MAX_FORMULA_DEPTH: Final = 60

_TAG_NAMES: Final = (
    "math mi mn mo ms mtext mspace mrow mfrac msqrt mroot mstyle mpadded mphantom menclose merror "
    "msub msup msubsup munder mover munderover mmultiscripts mprescripts none mtable mtr mtd"
)
_ATTRIBUTE_NAMES: Final = (
    "accent accentunder columnspan depth display displaystyle fence form height largeop linethickness lspace maxsize "
    "mathvariant minsize movablelimits notation rowspan rspace scriptlevel separator stretchy symmetric voffset width "
    "mathcolor mathbackground intent arg"
)
_TAGS: Final = frozenset(_TAG_NAMES.split())
_TEXT_TAGS: Final = frozenset({"b", "i", "em", "s", "u", "code", "span"})  # HTML within \text{..}
_TEXT_HOLDERS: Final = frozenset({"mtext", "mi", "mo", "mn", "ms"})  # elsewhere HTML would break out of the formula
_ATTRIBUTES: Final = frozenset(_ATTRIBUTE_NAMES.split())
# What math-core says in style attributes, which our content security policy forbids, as classes of static/css/math.css.
_STYLES: Final = {
    "text-align: left": "left",
    "text-align: right": "right",
    "text-align:left": "left",
    "text-align:right": "right",
    "padding-left: 0": "tight-left",
    "padding-left:0": "tight-left",
    "padding-right: 0": "tight-right",
    "padding-right:0": "tight-right",
    "padding-left:1em": "wide-left",
    "border-left": "line-left",
    "border-right": "line-right",
    "border-top": "line-top",
    "border-bottom": "line-bottom",
    "width: 100%": "full",
    "width: 50%": "half",
}
_TOKEN: Final = re.compile(r'<(/?)([a-z]+)((?: [a-z]+="[^"<>]*")*)(/?)>|[^<>]+')
_ATTRIBUTE: Final = re.compile(r' ([a-z]+)="([^"]*)"')
_COLOUR: Final = re.compile(r"color: ?(#[0-9A-Fa-f]{3,8})")
_PLAIN_VALUE: Final = re.compile(r"[\w.%+#-]*")

_converter: Final = math_core.LatexToMathML(fancy_error=False, max_expansions=200)


def formula(latex: str, is_display: bool) -> str:
    """MathML, or the source in `<code class="math-error">` where it cannot be read or asks for what we do not draw."""
    return _remembered(latex, is_display) if len(latex) <= 400 else _converted(latex, is_display)


def _converted(latex: str, is_display: bool) -> str:
    try:
        if len(latex) <= MAX_FORMULA_CHARS:
            return _checked(_converter.convert_with_local_state(latex, displaystyle=is_display), is_display)
    except (math_core.LatexError, _NotAllowed):
        pass
    return f'<code class="math-error">{escape(latex, False)}</code>'


_remembered: Final = lru_cache(maxsize=1024)(_converted)  # an open paragraph is drawn again for every few characters


class _NotAllowed(Exception):
    """The converter wrote something that is not on our list."""


def _checked(mathml: str, is_display: bool) -> str:
    """The same MathML, rebuilt from allowed tags, attributes and values alone."""
    out: list[str] = []
    stack: list[str] = []
    position = 0
    for match in _TOKEN.finditer(mathml):
        if match.start() != position:
            raise _NotAllowed
        position = match.end()
        closing, tag, attributes, is_empty = match.groups()
        if tag is None:
            out.append(match.group())
            continue
        is_text = tag in _TEXT_TAGS and not _TEXT_HOLDERS.isdisjoint(stack)
        if not (tag in _TAGS or is_text) or len(stack) > MAX_FORMULA_DEPTH:
            raise _NotAllowed
        if closing:
            if not stack or stack.pop() != tag:
                raise _NotAllowed
            out.append(f"</{tag}>")
            continue
        kept = "" if is_text else _attributes(attributes) if tag != "math" else ' display="block"' if is_display else ""
        out.append(f"<{tag}{kept}>" if not is_empty else f"<{tag}{kept}></{tag}>")
        if not is_empty:
            stack.append(tag)
    if position != len(mathml) or stack or not mathml.startswith("<math"):
        raise _NotAllowed
    return "".join(out)


def _attributes(source: str) -> str:
    kept = ""
    classes: list[str] = []
    for name, value in _ATTRIBUTE.findall(source):
        if name == "style":
            colour = _COLOUR.search(value)
            kept += f' mathcolor="{colour[1]}"' if colour else ""
            declared = [one.strip() for one in value.split(";")]
            classes += [c for d in declared for s, c in _STYLES.items() if d == s or d.startswith(s + ":")]
        elif name == "class":
            classes += [c for c in value.split() if c.startswith("menclose-")]
        elif name not in _ATTRIBUTES:
            raise _NotAllowed
        elif _PLAIN_VALUE.fullmatch(value) or name == "notation":
            kept += f' {name}="{value}"'
    return kept + (f' class="{" ".join(sorted(set(classes)))}"' if classes else "")


_DELIMITER: Final = re.compile(rb"\\[()\[\]]|\\.|\$\$|\n[ \t]*\n", re.DOTALL)
_CLOSING: Final = {rb"\(": rb"\)", rb"\[": rb"\]", b"$$": b"$$"}


def has_delimiters(source: str) -> bool:
    return "\\(" in source or "\\[" in source or "$$" in source


def ends_within_display(source: str) -> bool:
    """Whether a display formula that has begun is not yet closed."""
    if "$$" not in source and "\\[" not in source:
        return False
    opened = _scanned(source.encode())[1]
    return opened is not None and opened.group() != rb"\("


def with_dollars(source: str) -> str:
    r"""`\(x\)` becomes `$x$`, `\[x\]` becomes `$$x$$`, and display formulas come to stand on one line.

    Markdown would eat the backslashes, and take a formula's line that begins with a minus sign for a list.
    """
    if not has_delimiters(source):
        return source
    raw = source.encode()
    code: list[tuple[int, int]] | None = None
    pieces: list[bytes] = []
    position = 0
    for start, end, opening in _scanned(raw)[0]:
        code = _code_ranges(source) if code is None else code
        body = raw[start + 2 : end - 2]
        while code and code[0][1] <= start:
            code.pop(0)
        if (code and code[0][0] < end) or not body.strip():
            continue
        rewritten = _one_line(body, opening)
        if rewritten is not None:
            pieces += [raw[position:start], rewritten]
            position = end
    return source if not pieces else b"".join([*pieces, raw[position:]]).decode()


def _scanned(raw: bytes) -> tuple[list[tuple[int, int, bytes]], re.Match[bytes] | None]:
    """Start, end and opening mark of every formula; and the mark that is open at the end."""
    found: list[tuple[int, int, bytes]] = []
    opened: re.Match[bytes] | None = None
    for token in _DELIMITER.finditer(raw):
        text = token.group()
        if opened is not None and text == _CLOSING[opened.group()]:
            found.append((opened.start(), token.end(), opened.group()))
            opened = None
        elif text.startswith(b"\n"):
            opened = None
        elif text in _CLOSING and (opened is None or opened.group() != b"$$"):
            opened = token
    return found, opened


def _code_ranges(source: str) -> list[tuple[int, int]]:
    """Byte ranges of code, in order."""
    found: list[tuple[int, int]] = []
    for event, span in parser.events_with_range(source):
        if isinstance(event, dict):
            start = event.get("Start")
            is_block = isinstance(start, dict) and "CodeBlock" in start
            if "Code" in event or is_block:
                found.append((span["start"], span["end"]))
    return found


def _one_line(body: bytes, opening: bytes) -> bytes | None:
    if opening == b"$$":
        if b"\n" not in body:
            return None
    elif b"$" in body:
        return None
    if b"\n" in body:
        lines = re.sub(rb"(?<!\\)%[^\n]*", b"", body).split(b"\n")
        if any(line.lstrip().startswith(b">") for line in lines[1:]):
            return None  # in a quote: the lines carry its marks
        body = b" ".join(line.strip() for line in lines)
    mark = b"$" if opening == rb"\(" else b"$$"
    return mark + body.strip() + mark
