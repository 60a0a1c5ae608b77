"""Markdown to plain HTML: draws the parser's events itself, so that raw HTML in the source stays visible text.

What comes out is not yet final: code, formulas, footnotes and checkboxes travel as bare marker tags that Markdown
cannot write (`pre title`, `var`, `samp`, `dfn`, `section title`, `input`); `markdown.py` draws them after sanitising.

Each block finds its own direction. A paragraph within an item or a quote takes theirs, so that bullets and lines stand
on the side where the text begins.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import Any, Final

import pyromark

from app.html import bounds
from app.html.bounds import Meter, Unbounded
from app.html.tags import OpenTags

MAX_DEPTH: Final = 60  # elements within each other; browsers flatten beyond 512, the sanitiser is quadratic in it
_ALLOWED_ADDRESS: Final = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)

_Options = pyromark.Options
OPTIONS: Final = (
    _Options.ENABLE_TABLES
    | _Options.ENABLE_FOOTNOTES
    | _Options.ENABLE_STRIKETHROUGH
    | _Options.ENABLE_TASKLISTS
    | _Options.ENABLE_MATH
)
_parser: Final = pyromark.Markdown(options=OPTIONS)

#: Behind the scheme of a link whose text was written without it: see addresses.py. A noncharacter, as a joint is.
NO_SCHEME: Final = "\ufdd1"

PARAGRAPH: Final = '<p dir="auto">'
ITEM: Final = '<li dir="auto">'

_START: Final = {
    "Emphasis": "<em>",
    "Strong": "<strong>",
    "Strikethrough": "<del>",
    "Item": ITEM,
    "TableHead": "<thead><tr>",
    "TableRow": "<tr>",
    "BlockQuote": '<blockquote dir="auto">',
    "CodeBlock": "",
}
_END: Final = {
    "Paragraph": "</p>",
    "Emphasis": "</em>",
    "Strong": "</strong>",
    "Strikethrough": "</del>",
    "Item": "</li>",
    "TableHead": "</tr></thead><tbody>",
    "TableRow": "</tr>",
    "Table": "</tbody></table>",
    "CodeBlock": "</code></pre>",
    "FootnoteDefinition": "</section>",
    "BlockQuote": "</blockquote>",
}
_CONTAINERS: Final = frozenset({"Item", "BlockQuote"})
_HEADING: Final = {"H1": "h2", "H2": "h3", "H3": "h4", "H4": "h5", "H5": "h6", "H6": "h6"}  # the page has its own h1
_ALIGN: Final = {"None": "", "Left": ' align="left"', "Center": ' align="center"', "Right": ' align="right"'}
_STANDING: Final = {"SoftBreak": "<br>\n", "HardBreak": "<br>\n", "Rule": "<hr>"}


class TooDeep(Unbounded):
    """The source nests deeper than `MAX_DEPTH`; no person wrote this."""


def list_events(source: str) -> Iterator[Any]:
    """What the parser finds. Raises `Unbounded`."""
    return bounds.bounded(_parser.events(source), source)


def list_ranges(source: str) -> Iterator[Any]:
    """The same, each with its place in the encoded source."""
    return bounds.bounded(_parser.events_with_range(source), source)


def name_of(tag: Any) -> str:
    """What an event starts or ends: it comes alone, or as the key of its details."""
    return tag if isinstance(tag, str) else next(iter(tag))


def draw(source: str, meter: Meter) -> str:
    """HTML with marker tags, everything else escaped. Raises `Unbounded`."""
    return "".join(_Drawing(list_events(source), meter).pieces())


class _Drawing:
    """One pass over the events of one text."""

    def __init__(self, events: Iterator[Any], meter: Meter) -> None:
        self.events = events
        self.out: list[str] = []
        self.meter = meter
        meter.begin(self.out)
        self.depth = 0
        self.image_depth = 0
        self.image_from = 0
        self.image: dict[str, Any] = {}
        self.links: list[str] = []
        self.columns: list[str] = []
        self.column = 0
        self.cell = "td"
        self.html_block: list[str] | None = None
        self.tags = OpenTags(self.out)
        self.containers = 0  # items and quotes around

    def pieces(self) -> list[str]:
        out = self.out
        for event in self.events:
            self.meter.look()
            if isinstance(event, str):
                out.append(self._standing(event))
                continue
            ((kind, value),) = event.items()
            if kind == "Text":
                out.append(escape(value, False))
            elif kind == "Start":
                self._start(value)
            elif kind == "End":
                self._end(value)
            elif kind == "Html" and self.html_block is not None:
                self.html_block.append(value)
            elif self.image_depth:
                out.append(escape(str(value), False))
            else:
                self._leaf(kind, value)
        return out

    def _standing(self, event: str) -> str:
        if self.image_depth:
            return " "
        if event == "SoftBreak" and self.out[-1] == "<br>":
            return "\n"  # the line was broken by a tag already
        return _STANDING[event]

    def _leaf(self, kind: str, value: Any) -> None:
        match kind:
            case "Code":
                self.out.append(f'<code dir="ltr">{escape(value, False)}</code>')
            case "InlineMath":
                self.meter.count_marker(bounds.most_formula_bytes(value))
                self.out.append(f"<var>{escape(value, False)}</var>")
            case "DisplayMath":
                self.meter.count_marker(bounds.most_formula_bytes(value))
                self.out.append(f"<samp>{escape(value, False)}</samp>")
            case "FootnoteReference":
                self.meter.count_marker(bounds.footnote_bytes(value))
                self.out.append(f"<dfn>{escape(value, False)}</dfn>")
            case "TaskListMarker":
                self.meter.count_marker(bounds.CHECKBOX_BYTES)
                self.out.append('<input checked=""> ' if value else "<input> ")
            case "InlineHtml":
                self.tags.draw(value, self.depth)
            case _:  # whatever a later parser adds: visible text
                self.out.append(escape(str(value), False))

    def _start(self, value: Any) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeep
        detail: Any
        name, detail = (value, None) if isinstance(value, str) else next(iter(value.items()))
        if name == "Image":
            self._start_image(detail)
        elif self.image_depth:
            pass
        elif name == "TableCell":
            self.meter.count_cell()
            align = _ALIGN[self.columns[self.column]] if self.column < len(self.columns) else ""
            self.out.append(f'<{self.cell} dir="auto"{align}>')
            self.column += 1
        elif name == "HtmlBlock":
            self.html_block = []
            self._start_paragraph()
        elif name == "Paragraph":
            self._start_paragraph()
        elif detail is None and name != "List":
            if name in ("TableHead", "TableRow"):
                self.column, self.cell = 0, "th" if name == "TableHead" else "td"
            self.containers += name in _CONTAINERS
            self.out.append(_START[name])
        else:
            self.containers += name in _CONTAINERS
            self._start_detailed(name, detail)

    def _start_paragraph(self) -> None:
        self.out.append("<p>" if self.containers else PARAGRAPH)

    def _start_detailed(self, name: str, detail: Any) -> None:
        match name:
            case "Heading":
                self.out.append(f'<{_HEADING[detail["level"]]} dir="auto">')
            case "List":
                self.out.append("<ul>" if detail is None else "<ol>" if detail == 1 else f'<ol start="{int(detail)}">')
            case "CodeBlock":
                self.meter.count_marker(bounds.CODE_BYTES)
                info = detail["Fenced"].strip() if isinstance(detail, dict) else ""
                self.out.append(f'<pre title="{escape(info)}"><code>' if info else "<pre><code>")
            case "Link":
                self._start_link(detail)
            case "Table":
                self.columns = list(detail)
                self.meter.check_columns(len(self.columns))
                self.out.append("<table>")
            case "FootnoteDefinition":
                self.meter.count_marker(bounds.footnote_bytes(detail))
                self.out.append(f'<section title="{escape(detail)}">')
            case _:
                self.out.append(_START.get(name, ""))

    def _end(self, value: Any) -> None:
        self.depth -= 1
        self.tags.leave(self.depth)
        detail: Any
        name, detail = (value, None) if isinstance(value, str) else next(iter(value.items()))
        if name == "Image":
            self._end_image()
        elif self.image_depth:
            pass
        elif name == "TableCell":
            self.out.append(f"</{self.cell}>")
        elif name == "Heading":
            self.out.append(f"</{_HEADING[detail]}>")
        elif name == "List":
            self.out.append("</ol>" if detail else "</ul>")
        elif name == "Link":
            self.out.append(self.links.pop())
        elif name == "HtmlBlock":
            lines = "".join(self.html_block or ()).strip("\n").rstrip().split("\n")
            self.out.append("<br>".join(escape(line, False) for line in lines) + "</p>")
            self.html_block = None
        else:
            self.containers -= name in _CONTAINERS
            self.out.append(_END.get(name, ""))

    def _start_link(self, detail: dict[str, Any]) -> None:
        address, title = detail["dest_url"].replace(NO_SCHEME, ""), detail["title"]
        if detail["link_type"] == "Email":
            address = f"mailto:{address}"
        if _ALLOWED_ADDRESS.match(address):
            titled = f' title="{escape(title)}"' if title else ""
            self.meter.count_marker(bounds.LINK_BYTES)
            self.out.append(f'<a href="{escape(address)}"{titled}>')
            self.links.append("</a>")
        else:
            is_shown = detail["link_type"] in ("Autolink", "Email") or not address or address.startswith("#")
            self.links.append("" if is_shown else f" ({escape(_short(address), False)})")

    def _start_image(self, detail: dict[str, Any]) -> None:
        if not self.image_depth:
            self.image, self.image_from = detail, len(self.out)
        self.image_depth += 1

    def _end_image(self) -> None:
        """A picture from elsewhere is a link: loading it would tell its server who reads what, and when."""
        self.image_depth -= 1
        if self.image_depth:
            return
        alt = "".join(self.out[self.image_from :]).strip()
        del self.out[self.image_from :]
        address = self.image["dest_url"]
        shown = alt or escape(_short(address), False)
        if any(self.links):
            self.out.append(shown)  # a link within a link does not exist
        elif _ALLOWED_ADDRESS.match(address) and not address.lower().startswith("mailto:"):
            title = f' title="{escape(self.image["title"])}"' if self.image["title"] else ""
            self.meter.count_marker(bounds.LINK_BYTES)
            self.out.append(f'<a class="image-link" href="{escape(address)}"{title}>{shown}</a>')
        else:
            self.out.append(f"{alt} ({escape(_short(address), False)})" if alt and address else shown)


def _short(address: str) -> str:
    return address if len(address) <= 200 else address[:200] + "\u2026"
