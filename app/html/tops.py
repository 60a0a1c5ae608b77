"""The blocks at the top level of a Markdown text: how many there are, and where the last one begins."""

from collections.abc import Iterator
from typing import NamedTuple

from app.html import math
from app.html.bounds import Unbounded
from app.html.events import list_ranges, name_of
from app.html.joints import JOINT, with_joints


class Tops(NamedTuple):
    """`kind` and `place` of the last block: where its line begins. `kind_before`: of the one in front of it."""

    number: int
    kind_before: str
    kind: str
    place: int


NONE = Tops(0, "", "", 0)


def find_tops(text: str) -> Tops:
    """None where there are more events than a text with room for its tables has."""
    source = with_joints(text)
    number, before, last, start = 0, "", "", 0
    try:
        for kind, byte in _listed(source):
            number, before, last, start = number + 1, last, kind, byte
    except Unbounded:
        return NONE
    return Tops(number, before, last, _line_at(text, source, start))


def _listed(source: str) -> Iterator[tuple[str, int]]:
    """Kind and byte of every block."""
    depth = 0
    for event, span in list_ranges(math.masked(source)):
        if isinstance(event, str):
            if event == "Rule" and not depth:
                yield "Rule", span["start"]
        elif "Start" in event:
            if not depth:
                yield name_of(event["Start"]), span["start"]
            depth += 1
        elif "End" in event:
            depth -= 1


def _line_at(text: str, source: str, byte: int) -> int:
    place = byte if source.isascii() else len(source.encode()[:byte].decode().replace(JOINT, ""))
    return text.rfind("\n", 0, place) + 1
