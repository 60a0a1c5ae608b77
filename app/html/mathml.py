"""LaTeX to MathML: what math-core writes is rebuilt from allowed tags, attributes and values alone."""

import re
from collections.abc import Iterator
from typing import Final

import math_core

from app.html.bounds import most_formula_bytes
from app.html.latex import is_bounded, readable
from app.html.nesting import MAX_EXPANSIONS, is_shallow
from app.html.pieces import not_drawn

MAX_FORMULA_CHARS: Final = 10_000
MAX_FORMULA_DEPTH: Final = 60
#: Longest space, shift or line, in its unit: more would push everything else off the page.
MAX_LENGTH: Final = 100.0

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
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?")
_LENGTHS: Final = frozenset(
    {"width", "height", "depth", "voffset", "lspace", "rspace", "minsize", "maxsize", "linethickness"}
)
_PLAIN_VALUE: Final = re.compile(r"[\w.%+#-]*")
_MARKUP: Final = re.compile(r"<[^<>]*+>|&\w+(?=;)")
_WIDE_CHARS: Final = 24  # within a line, more than these may not fit on a phone

_converter: Final = math_core.LatexToMathML(
    fancy_error=False, max_expansions=MAX_EXPANSIONS, ignore_unknown_commands=True, allow_unreliable_rendering=True
)


def formula(latex: str, is_display: bool) -> str:
    """MathML, or the source in `<code class="math-error">` where it cannot be read or asks for what we do not draw.

    An unknown command stands in the formula as its name. A long formula within a line can be scrolled.
    """
    for source in _attempts(latex):
        try:
            mathml = _converter.convert_with_local_state(source, displaystyle=is_display)
            if len(mathml) > most_formula_bytes(latex):
                break
            mathml = _checked(mathml, is_display)
        except (math_core.LatexError, _NotAllowed):
            continue
        is_wide = not is_display and len(_MARKUP.sub("", mathml)) > _WIDE_CHARS
        css = "formula display" if is_display else "formula wide" if is_wide else "formula"
        return f'<span class="{css}" dir="ltr">{mathml}</span>'
    return not_drawn(latex)


def _attempts(latex: str) -> Iterator[str]:
    """The formula; and its lines under each other, where they are given without the environment they need."""
    if len(latex) > MAX_FORMULA_CHARS or not (is_shallow(latex) and is_bounded(latex)):
        return
    source = readable(latex)
    if not is_shallow(source):
        return
    yield source
    if "&" in source or r"\\" in source:
        yield rf"\begin{{aligned}}{source}\end{{aligned}}"


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
        elif name not in _ATTRIBUTES or (name in _LENGTHS and not _is_short(value)):
            raise _NotAllowed
        elif _PLAIN_VALUE.fullmatch(value) or name == "notation":
            kept += f' {name}="{value}"'
    return kept + (f' class="{" ".join(sorted(set(classes)))}"' if classes else "")


def _is_short(length: str) -> bool:
    number = _NUMBER.match(length)
    return number is None or abs(float(number[0])) <= MAX_LENGTH
