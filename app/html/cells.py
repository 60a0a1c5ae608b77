"""The cells of tables: how many a text may have, and those that Markdown drops.

A row has the cells of its table's head whatever stands in it. Missing ones are made out of nothing; those beyond are
dropped, and with them what a model said, where a bar stands in a cell unescaped, as in `a | b` as code.
"""

import re
from typing import Final

from app.html.bounds import Meter
from app.html.events import list_events, list_ranges

FEW_CELLS: Final = 2_000  # take a few milliseconds
#: A line of dashes, bars and colons behind the marks of quotes and lists. Possessive: a line is read once.
_DELIMITER_ROW: Final = re.compile(r"^(?=[^\n-]*-)[ \t\v\f>\d.)*+:|-]++$", re.MULTILINE)
_BAR: Final = re.compile(rb"(?<!\\)\|")


class CellCount:
    """An upper bound of the cells of a text that comes by lines. It knows no blocks: code may count, too."""

    def __init__(self) -> None:
        self.number = 0
        self._columns = 0

    def take(self, line: str) -> None:
        if not line.strip():
            self._columns = 0  # a blank line ends a table
        elif "|" in line and _DELIMITER_ROW.match(line.removesuffix("\n")):
            self._columns = max(self._columns, line.count("|") + 1)
        self.number += self._columns


def may_have_many_cells(source: str) -> bool:
    """A look that costs little at a text without tables."""
    if "|" not in source or not _DELIMITER_ROW.search(source):
        return False
    count = CellCount()
    for line in source.split("\n"):
        count.take(line)
    return count.number > FEW_CELLS


def head_of_table(source: str) -> str:
    """The first two lines of a table, which fill less than half of it; or nothing."""
    end = source.find("\n", source.find("\n") + 1) + 1
    delimiter = source[source.find("\n") + 1 : end].removesuffix("\n")
    is_head = 0 < end < len(source) // 2 and "|" in delimiter and _DELIMITER_ROW.match(delimiter)
    return source[:end] if is_head else ""


def check_tables(source: str, meter: Meter) -> None:
    """Raises `Unbounded` where a text has too many cells, before any of the work on them."""
    if not may_have_many_cells(source):
        return
    cells = 0
    for event in list_events(source):
        start = event.get("Start") if isinstance(event, dict) else None
        if start == "TableCell":
            cells += 1
            meter.check_cells(cells)
        elif isinstance(start, dict) and "Table" in start:
            meter.check_columns(len(start["Table"]))


def with_all_cells(source: str) -> str:
    """The same text, with the bars behind a table's last column escaped: what follows them belongs to that column."""
    if "|" not in source or not _DELIMITER_ROW.search(source):
        return source
    raw = source.encode()
    pieces: list[bytes] = []
    position = cell_end = 0
    for event, span in list_ranges(source):
        end = event.get("End") if isinstance(event, dict) else None
        if end == "TableCell":
            cell_end = span["end"]
        elif end == "TableRow":
            rest = raw[cell_end : span["end"]]
            kept = rest.rstrip()
            if kept.strip(b" \t|"):
                if kept.endswith(b"|") and not kept.endswith(b"\\|"):
                    kept = kept[:-1]
                pieces += [raw[position:cell_end], _BAR.sub(rb"\\|", kept)]
                position = cell_end + len(kept)
    return source if not pieces else b"".join([*pieces, raw[position:]]).decode()
