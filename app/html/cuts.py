"""Where an open block that became too long is cut, and what the rest begins with so that it means what it meant."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.html import math
from app.html.bounds import Unbounded
from app.html.cells import head_of_table
from app.html.events import ITEM, list_ranges, name_of
from app.html.joints import with_joints, without_joints

MAX_OPEN_CHARS: Final = 16_000
#: Code costs less than other text: so many of its characters count as one, and each line as two more.
_CODE_CHARS: Final = 4
_LINE_CHARS: Final = 2
_MAX_ITEM_CHARS: Final = _CODE_CHARS * MAX_OPEN_CHARS
_LEAST_GAIN: Final = MAX_OPEN_CHARS // 4
_BLOCKS: Final = frozenset(("Item", "Paragraph", "List", "CodeBlock", "BlockQuote", "Table", "Heading", "HtmlBlock"))
_MARKER: Final = re.compile(r"([-+*]|\d{1,9}[.)])([ \t]*)")
_NO_QUOTE: Final = re.compile(r"[^\s>]")
_SPACE: Final = re.compile(rb"[ \t\n]*")
_FENCE: Final = re.compile(rb"[ \t>]*(?:`{3,}|~{3,})[ \t]*")
_LIST: Final = re.compile(rf'<(ol|ul)(?: start="\d+")?>{ITEM}')


class Cut(NamedTuple):
    """What stands before `place` is finished; `head` goes before the rest, whose kind is known then.

    `numbers`: of the first items of the lists with which the rest begins, one in the other; None in a list without.
    `items`: so many of these items go on from before.
    """

    place: int
    head: str = ""
    kind: str = ""
    numbers: tuple[int | None, ...] = ()
    items: int = 0


class _Block(NamedTuple):
    kind: str
    start: int  # in bytes
    end: int
    depth: int  # lists around it
    number: int | None


def find_cut(kind: str, text: str, begun: Cut) -> Cut:
    """A table goes on as another one with the same head. A list is cut between two of its items, because what is nested in
    one means something else without it; a lone item goes on as another one, its open table or code as well.

    `begun` is the cut behind which the text begins.
    """
    cut = Cut(text.rfind("\n") + 1)
    if kind == "Table":
        head = head_of_table(text)
        cut = Cut(cut.place, head, "Table" if head else "")
    elif kind in ("List", "CodeBlock", "BlockQuote"):
        cut = _cut_of_containers(kind, text, begun)
    if cut.place <= len(cut.head):  # a line alone is too long: a row would be cut off behind its head again and again
        return Cut(text.rfind(" ", len(cut.head)) + 1 or len(text))
    return cut


def most_chars(text: str) -> int:
    """How long this list may become: longer than other blocks if most of a lone item is code."""
    raw = with_joints(text).encode()
    blocks = _blocks(raw, Cut(0))
    if _last_item(blocks):
        return MAX_OPEN_CHARS
    code = [raw[each.start : each.end].decode() for each in blocks if each.kind == "CodeBlock"]
    spared = sum(len(each) - len(each) // _CODE_CHARS - each.count("\n") * _LINE_CHARS for each in code)
    most = min(MAX_OPEN_CHARS + spared, _MAX_ITEM_CHARS)
    return most if most >= len(text) + _LEAST_GAIN else MAX_OPEN_CHARS


def with_lists_going_on(html: str, cut: Cut) -> str:
    """What was drawn of a text that begins behind a cut: items that go on have no mark, and those behind them their numbers."""
    numbers = iter(enumerate(cut.numbers))

    def begin(match: re.Match[str]) -> str:
        place, number = next(numbers)
        start = f' start="{number}"' if number is not None and number != 1 else ""
        item = f'{ITEM[:-1]} class="goes-on">' if place < cut.items else ITEM
        return f"<{match[1]}{start}>{item}"

    return _LIST.sub(begin, html, count=len(cut.numbers)) if cut.numbers else html


def _cut_of_containers(kind: str, text: str, begun: Cut) -> Cut:
    whole = text[: text.rfind("\n") + 1] or text  # how a line goes on may change what it means
    raw = with_joints(whole).encode()
    blocks = _blocks(raw, begun)
    if kind == "List" and (last := _last_item(blocks)):
        place = len(without_joints(raw[: _line_at(raw, last.start)].decode()))
        return Cut(place, "", "List", (last.number,))
    last_line = raw.rstrip().rfind(b"\n") + 1
    for byte in (_best_line(raw, blocks, last_line), last_line):
        cut = _cut_at(byte, kind, raw, blocks)
        if cut.place:
            return cut
    return _cut_within_line(kind, text, begun)


def _cut_within_line(kind: str, text: str, begun: Cut) -> Cut:
    """Where a line is longer than a block may be: at a space of it, if there is one."""
    raw = with_joints(text).encode()
    opened = [each for each in _blocks(raw, begun) if each.end == len(raw) and each.kind in ("Item", "CodeBlock")]
    place = text.rfind(" ", MAX_OPEN_CHARS // 2) + 1 or len(text)
    if (heads := _heads_of(opened, raw, place // 4)) is None:
        return Cut(place)
    items = [(each, head) for each, head in zip(opened, heads, strict=True) if each.kind == "Item"]
    # The line end of the item's head counts as the space behind its mark.
    head = "".join(heads) + (" " * len(items[-1][1].expandtabs(4)) if items else "")
    return Cut(place, head, kind if head else "", tuple(each.number for each, _head in items), len(items))


def _last_item(blocks: Sequence[_Block]) -> _Block | None:
    """The last item of the list around all others, if it has more than one."""
    items = [each for each in blocks if each.kind == "Item" and each.depth == 1]
    return items[-1] if len(items) > 1 else None


def _best_line(raw: bytes, blocks: Sequence[_Block], last_line: int) -> int:
    """Before the last block, behind it, or within it if it is code or a table."""
    if not blocks:
        return last_line
    last = blocks[-1]
    begin, end = _line_at(raw, last.start), last.end
    if end <= last_line:
        behind = end
        while behind < len(raw) and not raw[behind : raw.find(b"\n", behind)].strip(b" \t>"):
            behind = raw.find(b"\n", behind) + 1
        return behind if behind < len(raw) else begin
    if last.kind == "CodeBlock":
        lines = raw[begin:last_line].count(b"\n")
        if _FENCE.fullmatch(raw[last_line:].rstrip()):  # the line before its last one
            lines, last_line = lines - 1, raw.rfind(b"\n", 0, last_line - 1) + 1
        return last_line if lines > 1 else begin
    if last.kind == "Table":
        return last_line if raw[begin:last_line].count(b"\n") > 1 else begin
    return begin


def _cut_at(byte: int, kind: str, raw: bytes, blocks: Sequence[_Block]) -> Cut:
    """Cut(0) where nothing would be finished."""
    opened = [each for each in blocks if each.start < byte < each.end]
    place = len(without_joints(raw[:byte].decode()))
    heads = _heads_of(opened, raw, place)
    if heads is None:
        return Cut(0)
    head = "".join(heads)
    if len(head) >= place // 2:
        return Cut(place)  # a wide table with short rows would grow without end
    items = [each for each in opened if each.kind == "Item"]
    numbers = [each.number for each in items]
    if sum(each.kind == "List" for each in opened) > len(items):  # the rest begins with an item of the innermost list
        following = (each for each in blocks if each.kind == "Item" and each.start >= byte)
        numbers += [each.number for each in following if each.depth == len(items) + 1][:1]
    return Cut(place, head, kind if head else "", tuple(numbers), len(items))


def _heads_of(opened: Sequence[_Block], raw: bytes, most: int) -> list[str] | None:
    """None where they are longer than that."""
    heads: list[str] = []
    length = 0
    for each in opened:
        heads.append(_head_of(each, raw))
        length += len(heads[-1])
        if length >= most:
            return None
    return heads


def _head_of(block: _Block, raw: bytes) -> str:
    """The lines that open this block again so that what it holds stands in the same column; the marks of quotes are kept."""
    if block.kind not in ("Item", "CodeBlock", "Table"):
        return ""
    before = _NO_QUOTE.sub(" ", without_joints(raw[_line_at(raw, block.start) : block.start].decode()))
    end = raw.find(b"\n", block.start)
    line = without_joints(raw[block.start : end if end >= 0 else len(raw)].decode())
    if block.kind == "Item" and (marker := _MARKER.match(line)):
        column = len((before + marker[1]).expandtabs(4))
        gap = len((before + marker[0]).expandtabs(4)) - column
        is_followed = len(line) > marker.end()
        return f"{before}{' ' * (gap - 1 if is_followed and gap <= 4 else 0)}{marker[1]}\n"
    if block.kind == "CodeBlock" and line.startswith(("```", "~~~")):
        return f"{before}{line}\n"
    if block.kind == "Table":
        delimiters = raw[end + 1 : raw.find(b"\n", end + 1)].decode()
        return f"{before}{line}\n{without_joints(delimiters)}\n"
    return ""


def _blocks(raw: bytes, begun: Cut) -> list[_Block]:
    """In order. None where there are more events than a text with room for its tables has."""
    found: list[_Block] = []
    lists: list[int | None] = []  # the numbers of the next items
    numbers = iter(begun.numbers)
    try:
        for event, span in list_ranges(math.masked(raw.decode())):
            if not isinstance(event, dict):
                continue
            if (ended := event.get("End")) is not None and name_of(ended) == "List":
                lists.pop()
            if (started := event.get("Start")) is None or (kind := name_of(started)) not in _BLOCKS:
                continue
            if kind == "List":
                lists.append(next(numbers, started["List"]))
            number = lists[-1] if kind == "Item" else None
            if number is not None:
                lists[-1] = number + 1
            found.append(_Block(kind, _begin(raw, span), span["end"], len(lists), number))
    except Unbounded:
        return []
    return found


def _begin(raw: bytes, span: dict[str, int]) -> int:
    """The range of an item begins with its indentation, or even with the end of the line before."""
    space = _SPACE.match(raw, span["start"], span["end"])
    return space.end() if space else span["start"]


def _line_at(raw: bytes, byte: int) -> int:
    return raw.rfind(b"\n", 0, byte) + 1
