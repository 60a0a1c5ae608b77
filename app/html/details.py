"""`<details>` at the margin of Markdown: a disclosure that may hold any blocks. Elsewhere, and with attributes, it is text."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from app.html.events import PARAGRAPH
from app.html.joints import JOINT

MAX_DEPTH: Final = 8

_OPENING: Final = re.compile(r"<details>", re.IGNORECASE)
_EITHER: Final = re.compile(r"(?<![`\\])<(/?)details>(?!`)", re.IGNORECASE)
_SUMMARY: Final = re.compile(r"\s*<summary>(.*?)(?:</summary>|(?=\n[ \t]*\n)|\Z)", re.IGNORECASE | re.DOTALL)
_FENCE: Final = re.compile(r" {0,3}(`{3,}(?=[^`]*\Z)|~{3,})")


class Details:
    """Lines of one disclosure, from its first on: `feed` says where it ends."""

    def __init__(self) -> None:
        self.depth = 0
        self._fence = ""

    def feed(self, line: str) -> int | None:
        """Takes a whole line; the place behind the tag that ends the disclosure."""
        if self._fence:
            mark = line.strip()
            if mark == self._fence[0] * len(mark) and len(mark) >= len(self._fence):
                self._fence = ""
            return None
        if fence := _FENCE.match(line.rstrip("\n")):
            self._fence = fence[1]
            return None
        for tag in _EITHER.finditer(line):
            self.depth += -1 if tag[1] else 1
            if not self.depth:
                return tag.end()
        return None


def opens(line: str) -> bool:
    """Whether a line at the margin begins a disclosure."""
    return line[:1] == "<" and _OPENING.match(line) is not None


def has_details(source: str) -> bool:
    """A look that costs little."""
    return "<" in source and _OPENING.search(source) is not None


def is_code_behind(source: str) -> bool:
    """Whether a line behind this text is code."""
    fence = ""
    if "```" in source or "~~~" in source:
        for line in source.split("\n"):
            fence = _fence_behind(fence, line)
    return bool(fence)


def parts(source: str) -> Iterator[tuple[str, bool]]:
    """The text in its order: Markdown, and disclosures from their first tag to their last, or to the end of the text."""
    held: list[str] = []
    details: Details | None = None
    fence = ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", source):
        rest = line
        while rest:
            if details:
                end = details.feed(rest)
                held.append(rest if end is None else rest[:end])
                rest = "" if end is None else rest[end:]
                if end is not None:
                    yield "".join(held), True
                    held, details = [], None
                continue
            if not fence and opens(rest):
                yield "".join(held), False
                held, details = [], Details()
                continue
            fence = _fence_behind(fence, rest)
            held.append(rest)
            rest = ""
    yield "".join(held), details is not None


def _fence_behind(fence: str, line: str) -> str:
    """The fence that is open behind a line."""
    if fence:
        mark = line.strip()
        return "" if len(mark) >= len(fence) and mark == fence[0] * len(mark) else fence
    opened = _FENCE.match(line.rstrip("\n"))
    return opened[1] if opened else ""


def draw(source: str, draw_blocks: Callable[[str], str]) -> str:
    """HTML of one disclosure; `draw_blocks` draws what is in it."""
    inner = _OPENING.sub("", source, count=1)
    if (last := [tag for tag in _EITHER.finditer(inner) if tag[1]]) and last[-1].end() == len(inner):
        inner = inner[: last[-1].start()]
    summary = _SUMMARY.match(inner)
    if not summary:
        return f"<details>{draw_blocks(inner)}</details>"
    title = draw_blocks(JOINT + " ".join(summary[1].split()))  # a joint at its beginning: always one paragraph
    title = title.removeprefix(PARAGRAPH).removesuffix("</p>")
    return f'<details><summary dir="auto">{title}</summary>{draw_blocks(inner[summary.end() :])}</details>'
