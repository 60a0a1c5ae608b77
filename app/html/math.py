r"""Formulas in Markdown: `\(..\)`, `\[..\]` and bare environments become dollars; dollars that are no formula, text.

Both is done to the source, before Markdown is parsed: a formula's backslashes and minus signs mean nothing to Markdown
then, and a price takes no emphasis, link or table apart.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from app.html.events import list_ranges

_ENVIRONMENTS: Final = (
    rb"(?:align|alignat|flalign|equation|gather|multline|eqnarray|aligned|gathered|split|cases|array|[bBpvV]?matrix)\*?"
)
_DELIMITER: Final = re.compile(rb"\\[()\[\]]|\\(?:begin|end)\{" + _ENVIRONMENTS + rb"\}|\\.|\$\$|\n[ \t]*\n", re.DOTALL)
_CLOSING: Final = {rb"\(": rb"\)", rb"\[": rb"\]", b"$$": b"$$"}
_BEGIN: Final = rb"\begin"
_SEEN_BEFORE: Final = 200  # bytes of a line, which may be as long as the text
_LONE_DOLLAR: Final = re.compile(rb"(?<![\\$])\$(?!\$)")


def has_delimiters(source: str) -> bool:
    """Whether `with_dollars` could find something: a look that costs little."""
    return "\\(" in source or "\\[" in source or "$$" in source or "\\begin{" in source


class Display:
    """Of a text that grows by whole lines: whether a display formula has begun and is not yet closed."""

    def __init__(self) -> None:
        self._scan = _Scan()

    def is_open(self, source: str) -> bool:
        if "$$" not in source and "\\[" not in source and "\\begin{" not in source:
            return False
        self._scan.read(source.encode())
        self._scan.found.clear()
        opened = self._scan.opened
        return opened is not None and opened.group() != rb"\("


def with_dollars(source: str) -> str:
    r"""`\(x\)` becomes `$x$`, `\[x\]` becomes `$$x$$`, and display formulas come to stand on one line.

    Markdown would eat the backslashes, and take a formula's line that begins with a minus sign for a list.
    """
    return _replaced(source, lambda _length, written: written)


def masked(source: str) -> str:
    """The same bytes, with letters for what `with_dollars` rewrites: to tell where blocks begin."""
    return _replaced(source, lambda length, _written: b"x" * length)


def _replaced(source: str, by: Callable[[int, bytes], bytes]) -> str:
    if not has_delimiters(source):
        return source
    raw = source.encode()
    pieces: list[bytes] = []
    position = 0
    for start, end, rewritten in _formulas(source, raw):
        pieces += [raw[position:start], by(end - start, rewritten)]
        position = end
    return source if not pieces else b"".join([*pieces, raw[position:]]).decode()


def _formulas(source: str, raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and the new text of every formula that is not code."""
    scan = _Scan()
    scan.read(raw)
    code = deque(_code_ranges(source) if scan.found else ())
    for start, end, opening in scan.found:
        body = raw[start:end] if opening.startswith(_BEGIN) else raw[start + 2 : end - 2]
        while code and code[0][1] <= start:
            code.popleft()
        if (code and code[0][0] < end) or not body.strip():
            continue
        rewritten = _one_line(body, opening)
        if rewritten is not None:
            yield start, end, rewritten


class _Scan:
    """The marks of formulas in a text. It may grow between two readings, which go on where the last one ended."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, bytes]] = []  # start, end and opening mark of every formula
        self.opened: re.Match[bytes] | None = None
        self._closing = b""
        self._position = 0

    def read(self, raw: bytes) -> None:
        for token in _DELIMITER.finditer(raw, self._position):
            self._position = token.end()
            self._take(token, raw)
        self._position = max(self._position, len(raw.rstrip(b" \t\n")))  # a blank line may follow

    def _take(self, token: re.Match[bytes], raw: bytes) -> None:
        text = token.group()
        if self.opened is not None and text == self._closing:
            self.found.append((self.opened.start(), token.end(), self.opened.group()))
            self.opened = None
        elif text.startswith(b"\n"):
            self.opened = None
        elif text in _CLOSING and (self.opened is None or self.opened.group() in (rb"\(", rb"\[")):
            self.opened, self._closing = token, _CLOSING[text]
        elif self.opened is None and text.startswith(_BEGIN) and _is_bare(raw, token.start()):
            self.opened, self._closing = token, rb"\end" + text.removeprefix(_BEGIN)


def _is_bare(raw: bytes, place: int) -> bool:
    """Whether an environment begins outside of dollars."""
    line = raw.rfind(b"\n", max(0, place - _SEEN_BEFORE), place) + 1
    return len(_LONE_DOLLAR.findall(raw, line or max(0, place - _SEEN_BEFORE), place)) % 2 == 0


def _code_ranges(source: str) -> list[tuple[int, int]]:
    """Byte ranges of code, in order."""
    found: list[tuple[int, int]] = []
    for event, span in list_ranges(source):
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


# -- Dollars that are no formula ---------------------------------------------------------------------------------------

_ROUNDS: Final = 6  # each settles at least half of the dollars that stand in a row

_WORD_BEHIND: Final = re.compile(r"[A-Za-z0-9{]")
_ORDINAL: Final = re.compile(r"(?:th|st|nd|rd|s)(?![A-Za-z0-9])")  # "the $n$th", "all $x_i$s"
_NAMES_A_NUMBER: Final = re.compile(r"[A-Za-z]|.*[\\^_].*", re.DOTALL)
_SURELY_LATEX: Final = re.compile(r"\\[a-zA-Z]|[\^_]")  # "30$^\circ$", "5$\mu$", "CO$_2$"
_LONE_INDEX: Final = re.compile(r"[\^_](?:\d|\{[^{}]*\}|\\[A-Za-z]+)")  # "H$_2$O", "25$^\circ$C"
_IS_TEXT: Final = re.compile(r"`|\*\*|\"|\]\((?:mailto:|[/#.])")  # what Markdown has and LaTeX has not
_IN_ADDRESS: Final = re.compile(r"(?:://|www\.)[^\s<>()]*\Z")
_SHELL_END: Final = re.compile(r"[/:\-=@~]\Z")  # "$(a)/$(b)"
_MATHS: Final = re.compile(r"[\\^_={}<>+]")
_PLAIN_WORD: Final = re.compile(r"\s[^\W\d_]{4,}(?:[\s.,;:!?]|\Z)|\A[^\W\d_]{4,}[.,;:!?]?\s")
_JOINS_PRICES: Final = re.compile(r"\W*(?:\s[a-z]{2,3}\s\W*)?")  # "$$ to $$$", "$$ - $$"


def without_prices(source: str) -> str:
    r"""The same text, with `\$` for every dollar that encloses no formula: prices, shell variables, regexes."""
    if source.count("$") < 2:
        return source
    for _ in range(_ROUNDS):
        raw = source.encode()
        places = _wrong_dollars(source, raw)
        if not places:
            return source
        pieces = [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]
        source = b"\\".join(pieces).decode()
    return source


def _wrong_dollars(source: str, raw: bytes) -> list[int]:
    """Where a dollar opens what Markdown takes for a formula, and is none."""
    found: list[int] = []
    for event, span in list_ranges(source):
        is_inline = "InlineMath" in event  # of an event without a value this asks for a part of its name
        if not is_inline and "DisplayMath" not in event:
            continue
        start, end = span["start"], span["end"]
        before = raw[max(0, start - _SEEN_BEFORE) : start].decode(errors="ignore")
        after = raw[end : end + 4].decode(errors="ignore")
        if is_inline and not _is_formula(before, event["InlineMath"], after):
            found.append(start)
        elif not is_inline and not _is_display(before[-1:], event["DisplayMath"], after[:1]):
            found += [start, start + 1]
    return found


def _is_formula(before: str, body: str, after: str) -> bool:
    """Pandoc's rule (no digit behind the closing dollar), and what else tells a formula from prices and variables."""
    if _IS_TEXT.search(body) or _is_prose(body) or _is_in_address(before):
        return False
    before = before[-1:]
    if _LONE_INDEX.fullmatch(body):
        return True
    if _WORD_BEHIND.match(after) and not (_ORDINAL.match(after) and _NAMES_A_NUMBER.fullmatch(body)):
        return False
    if after.startswith("(") and _SHELL_END.search(body):
        return False
    if body.startswith("|") and (before in tuple(")]}+?.") or body.startswith("|^")):
        return False  # "\d+$|\w+$" is a regular expression
    return not (before.isascii() and before.isalnum()) or _SURELY_LATEX.match(body) is not None


def _is_in_address(before: str) -> bool:
    return ("://" in before or "www." in before) and _IN_ADDRESS.search(before) is not None


def _is_display(before: str, body: str, after: str) -> bool:
    if before == "$" or after == "$" or _IS_TEXT.search(body):
        return False
    return not (_JOINS_PRICES.fullmatch(body) or _is_prose(body))


def _is_prose(body: str) -> bool:
    return not _MATHS.search(body) and ("://" in body or _PLAIN_WORD.search(body) is not None)
