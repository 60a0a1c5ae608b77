"""LaTeX as models write it, in the words that math-core knows: numbers and names of equations, chemistry, environments."""

import re
import unicodedata
from typing import Final

_ARGUMENT: Final = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_PERCENT: Final = re.compile(r"(?<!\\)%")
_LABEL: Final = re.compile(r"\\label\s*" + _ARGUMENT)
_TAG: Final = re.compile(r"\\tag(\*?)\s*" + _ARGUMENT)
_REFERENCE: Final = re.compile(r"\\(eq)?ref\s*" + _ARGUMENT)
_TEXT: Final = re.compile(r"\\(text|textrm|textbf|textit|textsf|texttt|mbox)\s*" + _ARGUMENT)
_TEXT_MARK: Final = re.compile(r"(?<!\\)([_&#^])|(?<!\\)\$([^$]*)(?<!\\)\$")
_CHEMISTRY: Final = re.compile(r"\\(ce|pu)\s*" + _ARGUMENT)
_UNIT: Final = re.compile(r"([^\W\d_]+)(?:\^?(-?\d+))?|([*.](?=\s*[^\W\d_]))|(\s+)")
_ENVIRONMENT: Final = re.compile(r"\\(begin|end)\{([A-Za-z]+)(\*?)\}(\[[a-z]\]|\{\d\})?")

#: Environments that math-core knows, and without their numbers: each formula would begin at (1) again.
_KNOWN: Final = frozenset(
    "aligned gathered cases dcases rcases array matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix subarray".split()
)
_NUMBERED: Final = frozenset({"align", "equation", "gather", "multline"})
_OTHERS: Final = {
    "eqnarray": ("\\begin{array}{rcl}", "\\end{array}"),
    "flalign": ("\\begin{align*}", "\\end{align*}"),
    "smallmatrix": ("\\begin{matrix}", "\\end{matrix}"),
}


#: Commands that take what follows, were it a bracket.
_TAKING: Final = (
    r"sqrt|[a-z]*frac|[a-z]*binom|math[a-z]+|text[a-z]*|operatorname|over[a-z]+|under[a-z]+|(?:wide)?(?:hat|tilde|check)|[a-z]*dot|vec"
    r"|bar|acute|grave|breve|[bx]?cancel|[hv]?phantom|not|bm|boldsymbol|bold|x[a-z]+arrow|stackrel|substack|[a-z]*box|[a-z]*color"
    r"|h?space|m?kern|bra|ket|pmb|ring"
)
#: math-core looks for the end of every bracket that has none, once more for each one before: 2^n steps for n of them.
MAX_OPEN_BRACKETS: Final = 10
_NAMES: Final = r"[A-Za-z]*(?:paren|brack|bracket|brace|angle|floor|ceil|group|moustache|vert)(?![A-Za-z])"
_BRACKET: Final = re.compile(
    r"\\(?:left|right|middle)\s*(?:\\[A-Za-z]+|\\.|[^\s\\{}])"  # always in pairs, or the formula is refused at once
    rf"|(?P<taken>(?:[_^]|\\(?:{_TAKING})(?![A-Za-z]))\s*)(?=\\r{_NAMES}|\\[ul]rcorner|\\\}}|[^\w\s\\{{}}(\[])"
    rf"|(?P<open>\\l{_NAMES}|\\[ul]lcorner|\\\{{)|(?P<close>\\r{_NAMES}|\\[ul]rcorner|\\\}})"
    r"|(?P<group>[{}])|\\[A-Za-z]+|\\.|(?P<character>[^\w\s])",
    re.IGNORECASE,
)
_DEFINITION: Final = re.compile(r"\\(?:(?:re)?newcommand|providecommand|[egx]?def|let|DeclareMathOperator)(?![A-Za-z])")


def is_bounded(latex: str) -> bool:
    """Whether so few brackets stay open that reading the formula ends soon. A group hides what is in it."""
    groups = [0]
    has_brackets = is_argument = False
    for match in _BRACKET.finditer(latex):
        category = unicodedata.category(match["character"]) if match["character"] else ""
        if match["group"] == "{":
            groups.append(0)
        elif match["group"]:
            if len(groups) > 1:
                groups.pop()
        elif match["open"] or category in ("Ps", "Pi"):
            groups[-1] += 1
            has_brackets = True
        elif (match["close"] or category in ("Pe", "Pf")) and not is_argument:
            groups[-1] = max(0, groups[-1] - 1)
        is_argument = match["taken"] is not None
        if sum(groups) > MAX_OPEN_BRACKETS:
            return False
    # A command of its own may stand for brackets that are not seen here.
    return not (has_brackets and _DEFINITION.search(latex))


def readable(latex: str) -> str:
    """The same formula, as math-core can read it. Numbers of equations stand where they were written, as text."""
    if "%" in latex:
        latex = _PERCENT.sub(r"\\%", latex)
    if "\\" not in latex:
        return latex
    latex = _CHEMISTRY.sub(lambda match: chemistry(match[2]) if match[1] == "ce" else _quantity(match[2]), latex)
    latex = _LABEL.sub("", latex)
    latex = _TAG.sub(lambda match: rf"\qquad\text{{{match[2] if match[1] else f'({match[2]})'}}}", latex)
    latex = _REFERENCE.sub(lambda match: rf"\text{{{f'({match[2]})' if match[1] else match[2]}}}", latex)
    latex = _TEXT.sub(_text, latex)
    return _ENVIRONMENT.sub(_environment, latex)


def _text(match: re.Match[str]) -> str:
    """Within text, `_` and `&` are characters, and dollars enclose a formula."""
    command = match[1]

    def mark(found: re.Match[str]) -> str:
        return f"{{\\{found[1]}}}" if found[1] else f"}}{found[2]}\\{command}{{"

    return f"\\{command}{{{_TEXT_MARK.sub(mark, match[2])}}}".replace(f"\\{command}{{}}", "")


def _environment(match: re.Match[str]) -> str:
    side, name, _star, argument = match.groups()
    argument = argument or ""
    if name in _KNOWN:
        is_aligned_matrix = name.endswith("matrix") and argument.startswith("[")
        return f"\\{side}{{{name}}}{'' if is_aligned_matrix else argument}"
    if name in _NUMBERED:
        return f"\\{side}{{{name}*}}{argument}"
    known = _OTHERS.get(name, ("\\begin{aligned}", "\\end{aligned}"))  # alignat, split and unknown environments
    return known[side == "end"]


def _quantity(source: str) -> str:
    """What stands in `\\pu{..}`: numbers, and units with their exponents."""

    def unit(match: re.Match[str]) -> str:
        if match[1]:
            return rf"\mathrm{{{match[1]}}}" + (f"^{{{match[2]}}}" if match[2] else "")
        return r"\cdot " if match[3] else r"\,"

    return "{" + _UNIT.sub(unit, source) + "}"


# A part of mhchem, as https://mhchem.github.io/MathJax-mhchem/ describes it.
_PIECE: Final = re.compile(
    r"\s*(?P<arrow><=>>|<<=>|<=>|<-->|<->|->|<-)(?:\[(?P<over>[^\[\]]*)\])?(?:\[(?P<under>[^\[\]]*)\])?\s*"
    r"|(?P<state>\((?:s|l|g|aq)\))"
    r"|(?P<atom>[A-Z][a-z]?)"
    r"|[\^](?:\{(?P<above>[^{}]*)\}|(?P<charge>\d*[+-]|\d+))"
    r"|_(?:\{(?P<below>[^{}]*)\}|(?P<index>\w))"
    r"|(?P<number>(?<![A-Za-z)\]}])\d+(?:[./]\d+)?|\d+)"
    r"|(?P<command>\\[A-Za-z]+)"
    r"|(?P<sign>[+-](?![A-Za-z\d(]))"
    r"|(?P<gas>\s+\^(?=\s|\Z))|(?P<solid>\s+v(?=\s|\Z))"
    r"|(?P<word>[a-z]+)"
    r"|(?P<space>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_ARROWS: Final = {"<-": r"\leftarrow ", "<->": r"\leftrightarrow ", "<-->": r"\leftrightarrow "}
_OTHER_SIGNS: Final = {
    "*": r"\cdot ",
    ".": r"\cdot ",
    "#": r"\equiv ",
    "=": "=",
    "-": "-",
    "+": "+",
    "(": "(",
    ")": ")",
    "[": "[",
    "]": "]",
}


def chemistry(source: str) -> str:
    """What stands in `\\ce{..}` as a formula: indices, charges, states, arrows; what is none of these as text."""
    out: list[str] = []
    is_behind_atom = False
    for match in _PIECE.finditer(source):
        out.append(_piece(match, is_behind_atom))
        is_behind_atom = (
            match.lastgroup == "atom"
            or (match.lastgroup == "other" and match[0] in ")]")
            or (match.lastgroup in ("number", "index", "below") and is_behind_atom)
        )
    return "{" + "".join(out) + "}"


def _piece(match: re.Match[str], is_behind_atom: bool) -> str:
    kind, text = match.lastgroup, match[0]
    match kind:
        case "arrow" | "over" | "under":
            return _arrow(match["arrow"], match["over"], match["under"])
        case "atom" | "state" | "word":
            return rf"\mathrm{{{text}}}"
        case "above" | "charge":
            return f"{'' if is_behind_atom else '{}'}^{{{match['above'] or match['charge'] or ''}}}"
        case "below" | "index":
            return f"{'' if is_behind_atom else '{}'}_{{{match['below'] or match['index'] or ''}}}"
        case "number":
            return f"_{{{text}}}" if is_behind_atom else text
        case "sign":
            return f"^{{{text}}}" if is_behind_atom else text
        case "gas" | "solid":
            return r"\uparrow " if kind == "gas" else r"\downarrow "
        case "command":
            return text + " "
        case "space":
            return r"\ "
        case _:
            return _OTHER_SIGNS.get(text, "" if text in "{}$" else rf"\text{{{text}}}")


def _arrow(sign: str, over: str | None, under: str | None) -> str:
    if over or under:
        below = f"[{chemistry(under)}]" if under else ""
        return rf"\xrightarrow{below}{{{chemistry(over or '')}}}"
    return _ARROWS.get(sign, r"\rightleftharpoons " if "=" in sign else r"\rightarrow ")
