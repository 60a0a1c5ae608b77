"""The HTML that models rely on, without attributes: line breaks and five kinds of marked words. All else is text."""

import re
from html import escape
from typing import Final

_NAMES: Final = "sub|sup|kbd|mark|u"
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG: Final = re.compile(rf"<(/?)({_NAMES})\s*>", re.IGNORECASE)
#: A line that holds such tags alone begins HTML to Markdown: indentation and marks of quotes and lists, the tags.
LINE_TAG: Final = re.compile(
    rf"^((?:[ \t]|>|[-*+] |\d{{1,9}}[.)] )*)(</?(?:br|{_NAMES})\s*/?>[ \t]*)$", re.IGNORECASE | re.MULTILINE
)


class OpenTags:
    """Tags of one text that wait for their ends. What never ends, or ends elsewhere, stays the text that it is."""

    def __init__(self, out: list[str]) -> None:
        self._out = out
        self._waiting: list[tuple[str, int, int]] = []  # name, place in `out`, depth

    def draw(self, source: str, depth: int) -> None:
        """Adds what an inline tag becomes; `depth` counts the elements around it."""
        if _BREAK.fullmatch(source):
            self._out.append("<br>")
            return
        self._out.append(escape(source, False))
        if not (tag := _TAG.fullmatch(source)):
            return
        name = tag[2].lower()
        if not tag[1]:
            self._waiting.append((name, len(self._out) - 1, depth))
            return
        for number in range(len(self._waiting) - 1, -1, -1):
            opened, place, opened_depth = self._waiting[number]
            if opened_depth != depth:
                return
            if opened == name:
                self._out[place], self._out[-1] = f"<{name}>", f"</{name}>"
                del self._waiting[number:]
                return

    def leave(self, depth: int) -> None:
        """An element has ended: what began within it cannot end outside."""
        while self._waiting and self._waiting[-1][2] > depth:
            self._waiting.pop()
