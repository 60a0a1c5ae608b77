"""Whether a growing Markdown text stands within code at its end: between fences, or between backticks of one line."""

import re

_FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")
_MOST_CHARS = 200  # of a line: a fence stands at its beginning


class CodeSpans:
    """Fed with a text piece by piece; pieces may end anywhere."""

    def __init__(self, text: str = "") -> None:
        self._fence = ""
        self._line = ""
        self._backticks = 0
        self.last = "\n"
        """The last character so far."""
        self.add(text)

    def add(self, text: str) -> None:
        """Feed the next piece."""
        if not text:
            return
        self.last = text[-1]
        if "\n" not in text:
            return self._extend(text)
        first, *others = text.split("\n")
        self._extend(first)
        for line in others:
            self._fence = self._after_line()
            self._line, self._backticks = "", 0
            self._extend(line)

    def is_open(self) -> bool:
        """Whether what comes next is code."""
        if self._fence:
            return self._after_line() != ""
        return self._backticks % 2 == 1

    def _extend(self, piece: str) -> None:
        if len(self._line) < _MOST_CHARS:
            self._line += piece[:_MOST_CHARS]
        self._backticks += piece.count("`")

    def _after_line(self) -> str:
        """The fence that is open once the current line ends."""
        found = _FENCE.match(self._line)
        if not found:
            return self._fence
        if not self._fence:
            return found[1] if "`" not in found[2] else ""
        is_closing = found[1].startswith(self._fence) and not found[2].strip()
        return "" if is_closing else self._fence
