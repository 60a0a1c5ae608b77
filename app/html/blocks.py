"""Growing Markdown: which top-level blocks are finished, and how the open one changed.

What is drawn is a function of the text alone, never of how it was cut into pieces. Blocks are therefore told apart at
fixed places of the text only: behind a line, at the first character behind a blank line, and where a long one is cut.
"""

import re
from typing import Final

from app.html import details, math
from app.html.bounds import Cost, Room, byte_length
from app.html.cells import FEW_CELLS, CellCount
from app.html.cuts import MAX_OPEN_CHARS, Cut, find_cut, most_chars, with_lists_going_on
from app.html.fence import Fence, Rest, opened_by
from app.html.markdown import Drawn, draw_within, normal
from app.html.quick import Quick
from app.html.spine import Change, Spine
from app.html.tops import find_tops

_FENCE_LINE: Final = re.compile(r"`{3,}[^`\n]*\n|~{3,}")
_MARKERS: Final = frozenset("-+*0123456789")
_ALWAYS_CHECKED_CHARS: Final = 512
_FED_AT_ONCE: Final = 2_000  # what is behind a line is copied for each line


class Blocks:
    """One text or reasoning part while it grows: `feed` it, then `step`."""

    def __init__(self, prefix: str, room: Room | None = None) -> None:
        self._prefix = prefix
        self._room = room or Room()  # what the message has left, which finished blocks take from
        self._open = ""
        self._most_chars = MAX_OPEN_CHARS  # that the open block may have
        self._begun = Cut(0)  # the cut behind which it begins
        self._kind = ""
        self._checked_length = 0
        self._is_behind_blank = False
        self._ends_in_return = False
        self._details: details.Details | None = None
        self._fence: Fence | Rest | None = None
        self._is_fence_shown = False
        self._quick: Quick | None = None
        self._quick_bytes = 0  # that it may still take
        self._display = math.Display()
        self._cells = CellCount()
        self._finished: list[str] = []
        self._spine: Spine | None = Spine()  # what the last step left in the tail; None: something that is over
        self._is_stale = False

    def feed(self, text: str) -> None:
        """Takes the next piece of the text; what it changes is found by `step`."""
        if "\r" in text or self._ends_in_return:
            text = self._without_returns(text)
        text = normal(text)
        if self._quick:
            if self._may_take(text) and self._quick.takes(text):
                self._open += text
                self._quick_bytes -= byte_length(text)
                return
            if self._spine:
                self._spine.replace(self._quick.html())
            self._quick = None
        self._is_stale = True
        for start in range(0, len(text), _FED_AT_ONCE):
            self._take(text[start : start + _FED_AT_ONCE])

    def _take(self, text: str) -> None:
        while text:
            if self._room.is_spent and not self._fence:
                text = self._begin_rest(text)
            elif self._fence:
                text = self._fence.feed(text)
                if self._fence.is_closed:
                    self._finish_fence(self._fence)
            else:
                text = self._feed_line(text)

    def step(self) -> tuple[str, Change | None]:
        """The blocks finished since the last call, and what changed in the open one behind them."""
        finished = "".join(self._finished)
        self._finished.clear()
        if self._quick:
            return finished, self._quick.change()
        if self._fence and self._is_fence_shown:
            code = self._fence.take_new()
            return finished, Change(self._fence.path, True, code) if code else None
        if not self._is_stale:
            return finished, None
        return finished, self._redraw()

    def tail(self) -> str:
        """The open block as the last `step` left it."""
        if self._quick:
            return self._quick.html()
        if self._fence:
            return self._fence.html()
        return self._spine.html if self._spine else ""

    def finish(self) -> str:
        """The text ends here: all HTML that `step` did not give out as finished."""
        if self._fence:
            self._fence.finish()
            self._finish_fence(self._fence)
        self._finish_all()
        return "".join(self._finished)

    def _redraw(self) -> Change | None:
        self._is_stale = False
        if self._fence:
            new = self._fence.html()
            self._fence.take_new()
            spine, self._spine, self._is_fence_shown = self._spine, None, True
            return spine.change(new) if spine else Change("", False, new)
        new, cost, _is_source = self._draw(self._open)
        self._quick = Quick.begin(self._open, new)
        self._quick_bytes = self._room.html_bytes - cost.html_bytes
        if self._spine:
            return self._spine.change(new)
        self._spine = Spine(new)
        return Change("", False, new)

    def _may_take(self, text: str) -> bool:
        """Whether a piece is known to fit without a look at the whole block."""
        return len(self._open) + len(text) < self._most_chars and byte_length(text) <= self._quick_bytes

    def _begin_rest(self, text: str) -> str:
        """From here on the message has no room: gives back all text that is not yet finished, for `Rest`."""
        rest = (self._open + text).lstrip("\n")  # an HTML parser drops the first line end in a pre
        self._open, self._details = "", None
        if rest:
            self._fence, self._is_fence_shown = Rest(), False
            self._room.was_exceeded = True
        return rest

    def _feed_line(self, text: str) -> str:
        """Takes a line at most; gives back the rest."""
        if self._details:
            return self._feed_details(self._details, text)
        is_at_start = not self._open or self._open.endswith("\n")
        if is_at_start and self._is_behind_blank and self._open and not text[0].isspace():
            self._is_behind_blank = False
            self._open += text[0]
            self._check_first(text[0])
            return text[1:]
        rest = self._take_line(text)
        if self._open.endswith("\n"):
            rest = self._end_line() + rest
        if self._is_long():
            self._cut_long()
        return rest

    def _feed_details(self, opened: details.Details, text: str) -> str:
        """The same within a disclosure, which stays open until its last tag."""
        rest = self._take_line(text)
        if self._open.endswith("\n"):
            start = self._open.rfind("\n", 0, -1) + 1
            if (place := opened.feed(self._open[start:])) is not None:
                return self._finish_details(start + place) + rest
            self._cells.take(self._open[start:])
        if self._is_long():
            self._details = None
            self._cut_long()
        return rest

    def _take_line(self, text: str) -> str:
        room = self._most_chars - len(self._open)
        end = text.find("\n", 0, room) + 1 or room
        self._open += text[:end]
        return text[end:]

    def _begin_details(self, line: str) -> str:
        """At the line that begins a disclosure. Gives back what stands behind it, if it ends here already."""
        self._finish_until(len(self._open) - len(line))
        self._kind, self._checked_length = "", 0
        self._details = details.Details()
        place = self._details.feed(line)
        return "" if place is None else self._finish_details(place)

    def _finish_details(self, place: int) -> str:
        """Gives back what stands behind the last tag, to be fed again."""
        self._details, self._is_behind_blank = None, False
        rest = self._open[place:]
        self._finish_until(place)
        self._open = ""
        return rest

    def _end_line(self) -> str:
        """Looks at the line that has just ended. Gives back what of it has to be fed again."""
        line = self._open[self._open.rfind("\n", 0, -1) + 1 :]
        if details.opens(line) and not details.is_code_behind(self._open.removesuffix(line)):
            return self._begin_details(line)
        self._cells.take(line)
        self._is_behind_blank = not line.strip()
        if not self._is_behind_blank:
            if self._may_end_block(line):
                self._check_line()
        elif not self._open.strip():
            self._open = ""
        return ""

    def _may_end_block(self, line: str) -> bool:
        """Whether a look is worth its price: not in a homogeneous block, nor in one that grew little since the last."""
        if self._kind != "HtmlBlock" and _FENCE_LINE.match(line):
            return True
        if self._kind == "List" and (line[0].isspace() or line[0] in _MARKERS):
            return False
        if (self._kind == "Paragraph" and line[0].isalpha()) or (self._kind, line[0]) in (
            ("Table", "|"),
            ("BlockQuote", ">"),
        ):
            return False
        return not self._has_grown_little() and not self._display.is_open(self._open)

    def _has_grown_little(self) -> bool:
        grown = len(self._open) - self._checked_length
        return len(self._open) > _ALWAYS_CHECKED_CHARS and grown * 8 < len(self._open)

    def _check_line(self) -> None:
        """All top-level blocks but the last are finished; a heading, a rule and a fence's first line are, too."""
        tops = find_tops(self._open)
        self._checked_length = len(self._open)
        if not tops.number:
            return
        self._kind = tops.kind
        if tops.number > 1:
            self._finish_until(tops.place)
        if self._kind in ("Heading", "Rule"):
            self._finish_all()
        elif self._kind == "CodeBlock" and (fence := opened_by(self._open)):
            self._fence, self._is_fence_shown, self._open = fence, False, ""

    def _check_first(self, first: str) -> None:
        """A blank line and then a character at the margin: a list goes on only if this can be its next marker."""
        if (self._kind == "List" and first in _MARKERS) or self._has_grown_little():
            return
        tops = find_tops(self._open)
        is_first = tops.number > 1 and tops.place == len(self._open) - 1
        if not is_first or (tops.kind_before == "List" and first in _MARKERS):
            self._checked_length = len(self._open)
            return
        self._finish_until(tops.place)
        self._kind, self._checked_length = "", 0

    def _is_long(self) -> bool:
        return len(self._open) >= self._most_chars or self._cells.number > FEW_CELLS

    def _cut_long(self) -> None:
        """Cutting a block bounds what a character more can cost. The final message is cut as well."""
        kind = self._kind or find_tops(self._open).kind
        if kind == "List" and self._cells.number <= FEW_CELLS:
            self._most_chars = most_chars(self._open)
            if not self._is_long():
                return
        cut = find_cut(kind, self._open, self._begun)
        self._room.was_exceeded = True
        self._finish_until(cut.place)
        self._kind, self._checked_length = "", 0
        if cut.kind and not self._room.is_spent:
            self._kind, self._begun = cut.kind, cut
            self._begin_open(cut.head + self._open)
            self._checked_length = len(self._open)

    def _finish_until(self, place: int) -> None:
        html, cost, is_source = self._draw(self._open[:place])
        self._room.spend(cost, is_source=is_source)
        self._finished.append(html)
        self._most_chars, self._begun = MAX_OPEN_CHARS, Cut(0)
        self._begin_open(self._open[place:])

    def _begin_open(self, text: str) -> None:
        self._open = text
        self._display, self._cells = math.Display(), CellCount()
        for line in text.split("\n")[:-1]:
            self._cells.take(line)

    def _finish_all(self) -> None:
        self._finish_until(len(self._open))
        self._kind, self._checked_length = "", 0

    def _finish_fence(self, fence: Fence | Rest) -> None:
        html = fence.html()
        self._room.spend(Cost(byte_length(html)))
        self._finished.append(html)
        if self._is_fence_shown:
            self._spine = None
        self._fence, self._is_fence_shown = None, False
        self._kind, self._checked_length = "", 0
        self._is_stale = True

    def _draw(self, source: str) -> Drawn:
        drawn = draw_within(source, self._room, prefix=self._prefix) if source else Drawn("", Cost(0), False)
        return drawn._replace(html=with_lists_going_on(drawn.html, self._begun))

    def _without_returns(self, text: str) -> str:
        """One kind of line end, also where a cut went through the middle of one."""
        if self._ends_in_return and text.startswith("\n"):
            text = text[1:]
        self._ends_in_return = text.endswith("\r")
        return text
