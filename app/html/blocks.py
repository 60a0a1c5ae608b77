"""Growing Markdown: which top-level blocks are finished, and how the open one changed.

What is drawn is a function of the text alone, never of how it was cut into pieces. Blocks are therefore told apart at
fixed places of the text only: behind a line, at the first character behind a blank line, and at `MAX_OPEN_CHARS`.
"""

import re
from typing import Final

from app.html import details, math
from app.html.events import parser
from app.html.fence import Fence, opened_by
from app.html.joints import JOINT, with_joints
from app.html.markdown import MAX_FORMULAS, normal, render_marked
from app.html.pieces import count_formulas
from app.html.quick import Quick
from app.html.spine import Change, Spine

MAX_OPEN_CHARS: Final = 16_000

_FENCE_LINE: Final = re.compile(r"`{3,}[^`\n]*\n|~{3,}")
_MARKERS: Final = frozenset("-+*0123456789")
_ALWAYS_CHECKED_CHARS: Final = 512


class Blocks:
    """One text or reasoning part while it grows: `feed` it, then `step`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._open = ""
        self._kind = ""
        self._checked_length = 0
        self._is_behind_blank = False
        self._ends_in_return = False
        self._details: details.Details | None = None
        self._fence: Fence | None = None
        self._is_fence_shown = False
        self._quick: Quick | None = None
        self._finished: list[str] = []
        self._most_formulas = MAX_FORMULAS  # in what is still to come
        self._spine: Spine | None = Spine()  # what the last step left in the tail; None: something that is over
        self._is_stale = False

    def feed(self, text: str) -> None:
        """Takes the next piece of the text; what it changes is found by `step`."""
        if "\r" in text or self._ends_in_return:
            text = self._without_returns(text)
        text = normal(text)
        if self._quick:
            if len(self._open) + len(text) < MAX_OPEN_CHARS and self._quick.takes(text):
                self._open += text
                return
            self._settle(self._quick)
        self._is_stale = True
        while text:
            if self._fence:
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
            return finished, Change(" code", True, code) if code else None
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
        new = self._draw(self._open)
        self._quick = Quick.begin(self._open, new)
        if self._spine:
            return self._spine.change(new)
        self._spine = Spine(new)
        return Change("", False, new)

    def _settle(self, quick: Quick) -> None:
        if self._spine:
            self._spine.replace(quick.html())
        self._quick = None

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
        room = MAX_OPEN_CHARS - len(self._open)
        end = text.find("\n", 0, room) + 1 or room
        self._open += text[:end]
        rest = text[end:]
        if self._open.endswith("\n"):
            rest = self._end_line() + rest
        if len(self._open) >= MAX_OPEN_CHARS:
            self._cut_long()
        return rest

    def _feed_details(self, opened: details.Details, text: str) -> str:
        """The same within a disclosure, which stays open until its last tag."""
        room = MAX_OPEN_CHARS - len(self._open)
        end = text.find("\n", 0, room) + 1 or room
        self._open += text[:end]
        if self._open.endswith("\n"):
            start = self._open.rfind("\n", 0, -1) + 1
            if (place := opened.feed(self._open[start:])) is not None:
                return self._finish_details(start + place) + text[end:]
        if len(self._open) >= MAX_OPEN_CHARS:
            self._details = None
            self._cut_long()
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
        grown = len(self._open) - self._checked_length
        if len(self._open) > _ALWAYS_CHECKED_CHARS and grown * 8 < len(self._open):
            return False
        return not math.ends_within_display(self._open)

    def _check_line(self) -> None:
        """All top-level blocks but the last are finished; a heading, a rule and a fence's first line are, too."""
        tops = self._tops()
        self._checked_length = len(self._open)
        if not tops:
            return
        self._kind = tops[-1][0]
        if len(tops) > 1:
            self._finish_until(tops[-1][1])
        if self._kind in ("Heading", "Rule"):
            self._finish_all()
        elif self._kind == "CodeBlock" and (fence := opened_by(self._open)):
            self._fence, self._is_fence_shown, self._open = fence, False, ""

    def _check_first(self, first: str) -> None:
        """A blank line and then a character at the margin: a list goes on only if this can be its next marker."""
        if self._kind == "List" and first in _MARKERS:
            return
        tops = self._tops()
        if len(tops) < 2 or tops[-1][1] != len(self._open) - 1 or (tops[-2][0] == "List" and first in _MARKERS):
            return
        self._finish_until(tops[-1][1])
        self._kind, self._checked_length = "", 0

    def _cut_long(self) -> None:
        """No person writes such a block; cutting it bounds what a character more can cost."""
        cut = self._open.rfind("\n") + 1 or self._open.rfind(" ") + 1 or len(self._open)
        self._finish_until(cut)
        self._kind, self._checked_length = "", 0

    def _tops(self) -> list[tuple[str, int]]:
        """Kind and place of the line of every top-level block in the open text."""
        found: list[tuple[str, int]] = []
        depth = 0
        source = with_joints(self._open)
        for event, span in parser.events_with_range(math.masked(source)):
            if isinstance(event, str):
                if event == "Rule" and not depth:
                    found.append(("Rule", span["start"]))
            elif "Start" in event:
                if not depth:
                    start = event["Start"]
                    found.append((start if isinstance(start, str) else next(iter(start)), span["start"]))
                depth += 1
            elif "End" in event:
                depth -= 1
        return [(kind, self._line_at(source, start)) for kind, start in found]

    def _line_at(self, source: str, byte: int) -> int:
        place = byte if source.isascii() else len(source.encode()[:byte].decode().replace(JOINT, ""))
        return self._open.rfind("\n", 0, place) + 1

    def _finish_until(self, place: int) -> None:
        drawn = self._draw(self._open[:place])
        self._most_formulas -= count_formulas(drawn)
        self._finished.append(drawn)
        self._open = self._open[place:]

    def _finish_all(self) -> None:
        self._finish_until(len(self._open))
        self._kind, self._checked_length = "", 0

    def _finish_fence(self, fence: Fence) -> None:
        self._finished.append(fence.html())
        if self._is_fence_shown:
            self._spine = None
        self._fence, self._is_fence_shown = None, False
        self._kind, self._checked_length = "", 0
        self._is_stale = True

    def _draw(self, source: str) -> str:
        return render_marked(source, prefix=self._prefix, most_formulas=self._most_formulas) if source else ""

    def _without_returns(self, text: str) -> str:
        """One kind of line end, also where a cut went through the middle of one."""
        if self._ends_in_return and text.startswith("\n"):
            text = text[1:]
        self._ends_in_return = text.endswith("\r")
        return text
