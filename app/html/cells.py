"""Tables whose rows hold more cells than their head: Markdown drops these cells, and with them what a model said.

It happens where a bar stands in a cell unescaped, as in `a | b` as code.
"""

import re
from typing import Final

from app.html.events import parser

_DELIMITER_ROW: Final = re.compile(r"^(?=[^\n-]*-)[ \t\v\f>\d.)*+:|-]++$", re.MULTILINE)
_BAR: Final = re.compile(rb"(?<!\\)\|")


def with_all_cells(source: str) -> str:
    """The same text, with the bars behind a table's last column escaped: what follows them belongs to that column."""
    if "|" not in source or not _DELIMITER_ROW.search(source):
        return source
    raw = source.encode()
    pieces: list[bytes] = []
    position = cell_end = 0
    for event, span in parser.events_with_range(source):
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
