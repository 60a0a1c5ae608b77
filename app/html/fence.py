"""Text that is only escaped: an open fenced code block, and what a message has no room to format. What is new is sent."""

import re
from html import escape
from typing import Final

from app.html import source
from app.html.markdown import code_block

_OPENING: Final = re.compile(r"( {0,3})(`{3,}+(?=[^`\n]*\n)|~{3,}+)(.*)\n")


class Rest:
    """The text behind the place where a message has become as much HTML as it may."""

    path: Final = " pre"

    def __init__(self) -> None:
        self.is_closed = False
        self._pieces: list[str] = []
        self._sent_pieces = 0

    def feed(self, text: str) -> str:
        """Takes everything."""
        self._pieces.append(escape(text, False))
        return ""

    def finish(self) -> None:
        """Nothing is held back."""

    def html(self) -> str:
        return f"{source.HEAD}{''.join(self._pieces)}{source.FOOT}"

    def take_new(self) -> str:
        """The text since the last call."""
        new = "".join(self._pieces[self._sent_pieces :])
        self._sent_pieces = len(self._pieces)
        return new


class Fence:
    """The code behind one opening line. A line that may become the closing fence is held back until that is known."""

    path: Final = " code"

    def __init__(self, indent: int, mark: str, info: str) -> None:
        self.head, _code, self.foot = code_block(info, "")
        self.indent = indent
        self.may_close = re.compile(rf" {{0,3}}{mark[0]}*[ \t]*")
        self.closes = re.compile(rf" {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*")
        self.is_closed = False
        self.pieces: list[str] = []
        self.sent_pieces = 0
        self.held = ""
        self.is_within_line = False

    def feed(self, text: str) -> str:
        """Takes what belongs to the block; gives back what stands behind its closing line."""
        position = 0
        while position < len(text) and not self.is_closed:
            end = text.find("\n", position) + 1
            piece = text[position : end or len(text)]
            position += len(piece)
            if self.is_within_line:
                self.pieces.append(escape(piece, False))
                self.is_within_line = not end
            else:
                self._begin_line(piece)
        return text[position:]

    def finish(self) -> None:
        """The text ends here: what was held back is code after all, unless it closes the block."""
        if self.held and not self.closes.fullmatch(self.held):
            self.pieces.append(escape(self._unindented(self.held), False))
        self.held = ""

    def html(self) -> str:
        return f"{self.head}{''.join(self.pieces)}{self.foot}"

    def take_new(self) -> str:
        """The code since the last call."""
        new = "".join(self.pieces[self.sent_pieces :])
        self.sent_pieces = len(self.pieces)
        return new

    def _begin_line(self, piece: str) -> None:
        self.held += piece
        line = self.held.removesuffix("\n")
        is_whole = line != self.held
        if is_whole and self.closes.fullmatch(line):
            self.is_closed, self.held = True, ""
        elif is_whole or not self.may_close.fullmatch(line):
            self.pieces.append(escape(self._unindented(self.held), False))
            self.held, self.is_within_line = "", not is_whole

    def _unindented(self, line: str) -> str:
        """As many columns less as the opening line has; what is left of a tab is spaces."""
        column = place = 0
        while column < self.indent and line[place : place + 1] in (" ", "\t"):
            column += 1 if line[place] == " " else 4 - column % 4
            place += 1
        return " " * (column - self.indent) + line[place:]


def opened_by(line: str) -> Fence | None:
    """The fence that this text, exactly one line, opens."""
    match = _OPENING.fullmatch(line)
    return Fence(len(match[1]), match[2], match[3]) if match else None
