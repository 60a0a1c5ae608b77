"""How much HTML a message may become: enough for everything that people read. What exceeds it is shown as its source."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

MAX_HTML_BYTES: Final = 1_000_000
MAX_COLUMNS: Final = 100
MAX_CELLS: Final = 20_000
MAX_FORMULAS: Final = 200  # of a message; the others are shown as their source
#: HTML beyond `GROWTH_FROM_BYTES` is at most so many times its source: tables of empty cells and references to a long
#: address grow without end.
MAX_GROWTH: Final = 50
GROWTH_FROM_BYTES: Final = 64_000

# What markers become, beyond their own length; roughly, and never less.
CODE_BYTES: Final = 220
LINK_BYTES: Final = 50
CHECKBOX_BYTES: Final = 60
_FOOTNOTE_BYTES: Final = 80
_FOOTNOTE_GROWTH: Final = 8
_FORMULA_GROWTH: Final = 25
_FORMULA_FRAME: Final = 100

_CELL_BYTES: Final = 20  # of an empty one
_LOOKS_EVERY: Final = 128  # events


class Unbounded(Exception):
    """The text would become more HTML than the message has room for."""


class Cost(NamedTuple):
    """What was drawn, without the colours of its code."""

    html_bytes: int
    cells: int = 0
    formulas: int = 0


class Room:
    """What is left to a message. Its blocks take from it in their order."""

    def __init__(self, html_bytes: int = MAX_HTML_BYTES) -> None:
        self.html_bytes = html_bytes
        self.cells = MAX_CELLS
        self.formulas = MAX_FORMULAS
        self.was_exceeded = False  # by a block, which is shown as its source therefore, or in pieces

    @property
    def is_spent(self) -> bool:
        return self.html_bytes <= 0

    @property
    def has_most_left(self) -> bool:
        """Whether so little was drawn that no bound can have been met."""
        return self.html_bytes >= MAX_HTML_BYTES - GROWTH_FROM_BYTES

    def spend(self, cost: Cost, *, is_source: bool = False) -> None:
        self.was_exceeded |= is_source
        self.html_bytes -= cost.html_bytes
        self.cells -= cost.cells
        self.formulas -= cost.formulas


class Meter:
    """Measures what is drawn of a text while it is drawn, so that far too much is never made. Raises `Unbounded`."""

    def __init__(self, room: Room, source: str) -> None:
        self._most_bytes = min(room.html_bytes, max(GROWTH_FROM_BYTES, MAX_GROWTH * byte_length(source)))
        self._most_cells = min(room.cells, self._most_bytes // _CELL_BYTES)
        self._out: list[str] = []
        self._looks = self._seen = self._chars = 0
        self._cells = 0
        self._marker_bytes = 0  # what markers will become, beyond their own length

    def begin(self, out: list[str]) -> None:
        """These are the pieces of what is drawn next."""
        self._out, self._seen = out, 0

    def look(self) -> None:
        """Called once for each event; measures the pieces now and then."""
        self._looks += 1
        if self._looks % _LOOKS_EVERY:
            return
        self._chars += sum(map(len, self._out[self._seen :]))
        self._seen = len(self._out)
        if self._chars + self._marker_bytes > self._most_bytes:
            raise Unbounded

    def count_marker(self, marker_bytes: int) -> None:
        self._marker_bytes += marker_bytes

    def count_cell(self) -> None:
        self._cells += 1
        self.check_cells()

    def check_cells(self, more: int = 0) -> None:
        if self._cells + more > self._most_cells:
            raise Unbounded

    def check_columns(self, columns: int) -> None:
        if columns > MAX_COLUMNS:
            raise Unbounded

    def cost_of(self, html: str) -> Cost:
        """What all that was drawn takes, as sanitised HTML with its markers."""
        cost = Cost(byte_length(html) + self._marker_bytes, self._cells)
        if cost.html_bytes > self._most_bytes:
            raise Unbounded
        return cost


def byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def most_formula_bytes(latex: str) -> int:
    """What a formula may become. Those that people write take less than half of it."""
    return _FORMULA_FRAME + _FORMULA_GROWTH * byte_length(latex)


def footnote_bytes(label: str) -> int:
    """What a footnote's mark becomes: its label is shown, and is an id and an address."""
    return _FOOTNOTE_BYTES + _FOOTNOTE_GROWTH * byte_length(label)


def bounded(events: Iterator[Any], source: str) -> Iterator[Any]:
    """The parser's events. Raises `Unbounded` where there are more than a text with room for its cells can have.

    Every other event reads at least a character; the cells that rows lack come out of nothing.
    """
    yield from islice(events, 4 * len(source) + 4 * MAX_CELLS)
    if next(events, None) is not None:
        raise Unbounded
