"""Where an open block that became too long is cut, and what the rest begins with so that it means what it meant."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from app.html import math
from app.html.bounds import Unbounded
from app.html.cells import head_of_table
from app.html.events import ITEM, list_ranges
from app.html.joints import with_joints, without_joints
from app.html.tops import find_last_item

MAX_OPEN_CHARS: Final = 16_000
#: Code costs less than other text: so many of its characters count as one.
_CODE_CHARS: Final = 4
_MAX_ITEM_CHARS: Final = _CODE_CHARS * MAX_OPEN_CHARS
_BLOCKS: Final = frozenset(("Item", "Paragraph", "List", "CodeBlock", "BlockQuote", "Table", "Heading", "HtmlBlock"))
_MARKER: Final = re.compile(r"[-+*]|\d{1,9}[.)]")
_NO_QUOTE: Final = re.compile(r"[^\s>]")


class Cut(NamedTuple):
    """What stands before `place` is finished; `head` goes before the rest, and begins `items` items anew."""

    place: int
    head: str = ""
    items: int = 0


class _Range(NamedTuple):
    kind: str
    start: int  # in bytes
    end: int


def find_cut(kind: str, text: str) -> Cut:
    """A table goes on as another one with the same head. A list is cut between two of its items, because what is nested in
    one means something else without it; a lone item goes on as another one, its open table or code as well.
    """
    cut = Cut(text.rfind("\n") + 1)
    if kind == "Table":
        cut = cut._replace(head=head_of_table(text))
    elif kind == "List":
        place = find_last_item(text)
        cut = Cut(place) if place else _cut_of_item(text)
    if cut.place <= len(cut.head):  # a line alone is too long: a row would be cut off behind its head again and again
        return Cut(text.rfind(" ", len(cut.head)) + 1 or len(text))
    return cut


def most_chars(text: str) -> int:
    """How long this list may become: longer than other blocks if most of a lone item is code."""
    if find_last_item(text):
        return MAX_OPEN_CHARS
    raw = with_joints(text).encode()
    code = sum(len(raw[each.start : each.end].decode()) for each in _ranges(raw) if each.kind == "CodeBlock")
    return min(MAX_OPEN_CHARS + code - code // _CODE_CHARS, _MAX_ITEM_CHARS)


def with_items_going_on(html: str, items: int) -> str:
    """HTML whose first items go on from the block before: they are not marked or numbered again."""
    return html.replace(ITEM, f'{ITEM[:-1]} class="goes-on">', items)


def _cut_of_item(text: str) -> Cut:
    """Before the last block in the item, or within it if it is code, a table, or all that there is."""
    raw = with_joints(text).encode()
    blocks = [each for each in _ranges(raw) if each.kind in _BLOCKS]
    last_line = raw.rstrip().rfind(b"\n") + 1
    is_cut_within = not blocks or blocks[-1].kind in ("CodeBlock", "Table")
    cut = _cut_at(last_line if is_cut_within else raw.rfind(b"\n", 0, blocks[-1].start) + 1, raw, blocks)
    return cut if cut.place > len(cut.head) else _cut_at(last_line, raw, blocks)


def _cut_at(byte: int, raw: bytes, blocks: Sequence[_Range]) -> Cut:
    opened = [each for each in blocks if each.start < byte < each.end]
    head = "".join(_head_of(each, raw) for each in opened)
    place = len(without_joints(raw[:byte].decode()))
    if len(head) >= place // 2:
        return Cut(place)  # a wide table with short rows would grow without end
    return Cut(place, head, sum(each.kind == "Item" for each in opened))


def _head_of(block: _Range, raw: bytes) -> str:
    """The lines that open this block again, in the column where it stands; the marks of quotes around are kept."""
    line_start = raw.rfind(b"\n", 0, block.start) + 1
    before = _NO_QUOTE.sub(" ", without_joints(raw[line_start : block.start].decode()))
    lines = without_joints(raw[block.start : block.end].decode()).split("\n", 2)
    match block.kind:
        case "Item" if marker := _MARKER.match(lines[0]):
            return f"{before}{marker[0]}\n"
        case "CodeBlock" if lines[0].startswith(("```", "~~~")):
            return f"{before}{lines[0]}\n"
        case "Table":
            return f"{before}{lines[0]}\n{lines[1]}\n"
    return ""


def _ranges(raw: bytes) -> Iterator[_Range]:
    try:
        for event, span in list_ranges(math.masked(raw.decode())):
            if isinstance(event, dict) and (start := event.get("Start")) is not None:
                yield _Range(_kind(start), span["start"], span["end"])
    except Unbounded:
        return


def _kind(start: Any) -> str:
    return start if isinstance(start, str) else next(iter(start))
