"""The difference of two HTML texts as one change to the last element, the last in that, and so on: the spine.

A text that grows changes at its end. So the change is an append to the deepest element of the spine that both texts
share, or new content for it; everything left of the spine stays as it is in the browser.
"""

import re
from typing import NamedTuple

_TAG = re.compile(r"<(/?)([a-z0-9]++)[^<>]*+>")  # nh3 and we escape < and > in attributes
_PARAGRAPH = re.compile(r"<p[ >]")
# Without content; and formulas, which look different on the page: nothing in them has an address.
_CLOSED = frozenset({"br", "hr", "input", "var", "samp"})


class Change(NamedTuple):
    """`path` is a selector relative to the element that holds the HTML; `is_append`: keep what stands there."""

    path: str
    is_append: bool
    html: str


class Spine:
    """The HTML that an element holds while it changes; well-formed at every step.

    `_marks` remember which elements are open at some places, so that a change at the end of a long text is found
    without reading its beginning again: place, and the places where the content of the open elements begins.
    """

    def __init__(self, html: str = "") -> None:
        self.html = html
        self._marks: list[tuple[int, tuple[int, ...]]] = [(0, ())]

    def change(self, new: str) -> Change | None:
        """What turns the HTML into `new`, which it is from now on. None: nothing."""
        old = self.html
        if old == new:
            return None
        shared = self._become(new)
        opened = self._opened_at(shared)
        was, now = _closing_places(old, shared, len(opened)), _closing_places(new, shared, len(opened))
        depth = min(len(was), len(now))
        if not depth:
            return Change("", True, new[len(old) :]) if new.startswith(old) else Change("", False, new)
        inner = opened[depth - 1]
        before, after = old[inner : was[depth - 1]], new[inner : now[depth - 1]]
        is_append = after.startswith(before)
        path = " p" if depth == 1 and is_lone_paragraph(new) else ">:last-child" * depth
        return Change(path, is_append, after[len(before) :] if is_append else after)

    def replace(self, new: str) -> None:
        """The HTML has become `new` by a change that is known already."""
        self._become(new)

    def _become(self, new: str) -> int:
        """Length of the beginning that stays, not within a tag."""
        shared = _shared_length(self.html, new)
        tag = new.rfind("<", 0, shared)
        if tag >= 0 and new.find(">", tag, shared) < 0:
            shared = tag
        while self._marks[-1][0] > shared:
            self._marks.pop()
        self.html = new
        return shared

    def _opened_at(self, place: int) -> tuple[int, ...]:
        start, marked = self._marks[-1]
        opened = list(marked)
        for tag in _TAG.finditer(self.html, start, place):
            if tag[2] in _CLOSED:
                continue
            if tag[1]:
                opened.pop()
            else:
                opened.append(tag.end())
        if place > start:
            self._marks.append((place, tuple(opened)))
        return tuple(opened)


def is_lone_paragraph(html: str) -> bool:
    """The usual tail; its paragraph has a short address."""
    return html.startswith('<p dir="auto">') and html.endswith("</p>") and not _PARAGRAPH.search(html, 3)


def _closing_places(html: str, start: int, depth: int) -> list[int]:
    """Of `depth` elements open at `start`, outermost first: where those end that end where the HTML ends."""
    closed: list[tuple[int, int]] = []
    within = 0
    for tag in _TAG.finditer(html, start):
        if tag[2] in _CLOSED:
            continue
        if not tag[1]:
            within += 1
        elif within:
            within -= 1
        else:
            closed.append(tag.span())
    places: list[int] = []
    end = len(html)
    for closing_start, closing_end in reversed(closed[:depth]):
        if closing_end != end:
            break
        places.append(closing_start)
        end = closing_start
    return places


def _shared_length(old: str, new: str) -> int:
    """Length of the common beginning, by halving: comparing slices is much faster than a loop over characters."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
