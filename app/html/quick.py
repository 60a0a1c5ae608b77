"""The usual case of a growing text: words are added to the end of the open paragraph, item, heading or nested code.

Most pieces of an answer are words. If the text so far ends in quiet characters and the new piece has no others, then
the new HTML is the old one with the piece in it: no parser need run. `tests/html` holds this against the parser.
"""

import re
from typing import Final, Self

from app.html.addresses import STOPS, has_addresses
from app.html.spine import Change, is_lone_paragraph

# Never part of a construct of Markdown's when letters or others of these stand before them. Not `;` (entities), and
# no spaces but the usual one (the sanitiser rewrites some).
_CALM: Final = r"[a-zA-Z0-9,.:?!()'\"/%+=-]|[^\x00-\x7f\s]"
_QUIET: Final = re.compile(f"(?:{_CALM}| )+")
_QUIET_END: Final = re.compile(f"(?:{_CALM})\\Z")
# A line whose place in the blocks is settled: container marks, then a letter.
_SETTLED_LINE: Final = re.compile(r"[ \t>#*+\-\d.)|]*(?:[a-zA-Z]|[^\x00-\x7f\s])")
#: Behind no other closing tag: a search begins once at a row of them, not at each one.
_FIRST: Final = "(?<!</p>)(?<!</li>)(?<!</ul>)(?<!</ol>)(?<!</blockquote>)(?<!</h[2-6]>)"
_CLOSING: Final = re.compile(rf"{_FIRST}(?:</(?:p|li|ul|ol|blockquote|h[2-6])>)++\Z")
_CLOSING_CELL: Final = re.compile(
    r'(?<!">)</td>((?:<td dir="auto"(?: align="[a-z]+")?></td>)*)</tr></tbody></table></div>(?:</(?:li|ul|ol|blockquote)>)*\Z'
)
#: What a word more belongs to: it may be the beginning of an address, or stand behind a dollar that it makes a price.
_LAST_WORD: Final = re.compile(f"(?<![^{STOPS}])[^{STOPS}]*+\\Z")
_MOST_OF_A_WORD: Final = 256
_CLOSING_CODE: Final = re.compile(r"</code></pre></div>(?:</(?:li|ul|ol|blockquote)>)+\Z")


class Quick:
    """HTML that ends in `closing`, before which quiet text is put in."""

    def __init__(self, body: str, closing: str, path: str, spaces: str, is_code: bool) -> None:
        self.body = body
        self.closing = closing
        self.path = path
        self.spaces = spaces  # at the end of the source, not shown until a word follows
        self.is_code = is_code
        self.may_link = False  # whether a closing parenthesis could complete a link
        self.word = ""  # the last one, which the next piece may go on with
        self.new = ""

    @classmethod
    def begin(cls, source: str, html: str) -> Self | None:
        """None where a word more could change something before it."""
        line = source[source.rfind("\n") + 1 :]
        if not _SETTLED_LINE.match(line) or "]:" in source:
            return None  # reference definitions and footnotes end in quiet characters too
        written = line.rstrip(" ")
        word = _last_word(line)
        if not _QUIET_END.search(written) or "$" in word or has_addresses(word):
            return None
        is_code = False
        if closing := _CLOSING.search(html):
            body, path = html[: closing.start()], _path(html, closing)
        elif closing := _CLOSING_CODE.search(html):
            body, path = html[: closing.start()], _path(html, closing)
            is_code, written = True, line
        elif closing := _CLOSING_CELL.search(html):
            body, path = html[: closing.start()], _path_of_cell(html, closing)
        else:
            return None
        if not body.endswith(written[-1]):
            return None
        quick = cls(body, closing.group(), path, line[len(written) :], is_code)
        quick.may_link, quick.word = "](" in source, word
        return quick

    def takes(self, text: str) -> bool:
        """Whether the piece is quiet; then it is taken."""
        if not _QUIET.fullmatch(text) or (self.may_link and ")" in text):
            return False
        word = self.word + text
        if has_addresses(word):
            return False
        self.word = _last_word(word)
        if self.is_code:
            self.new += text
            return True
        grown = self.spaces + text
        shown = grown.rstrip(" ")
        if shown:
            self.new += shown
        self.spaces = grown[len(shown) :]
        return True

    def change(self) -> Change | None:
        """What was taken since the last call."""
        new, self.new = self.new, ""
        self.body += new
        return Change(self.path, True, new) if new else None

    def html(self) -> str:
        """As the last `change` left it."""
        return self.body + self.closing


def _last_word(text: str) -> str:
    match = _LAST_WORD.search(text[-_MOST_OF_A_WORD:])
    return match[0] if match else ""


def _path(html: str, closing: re.Match[str]) -> str:
    if closing.group() == "</p>" and is_lone_paragraph(html):
        return " p"
    return ">:last-child" * closing.group().count("</")


def _path_of_cell(html: str, closing: re.Match[str]) -> str:
    """The last row's cell that has text; the empty ones behind it are still to come."""
    column = html.count("<td", html.rfind("<tr>", 0, closing.start()), closing.start())
    empty = closing[1].count("<td")
    row = ">:last-child" * (closing.group().count("</") - empty - 1)
    return f"{row}>:nth-child({column})" if empty else f"{row}>:last-child"
