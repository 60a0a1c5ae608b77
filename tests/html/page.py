"""A page without a browser: a small tree that takes the operations of a stream as the browser does."""

import functools
import re
from collections.abc import Iterable
from html import escape
from html.parser import HTMLParser
from typing import Any

from app.html import pieces
from app.html.stream import Op

_VOID = frozenset({"br", "hr", "input"})
_PARTIAL = re.compile(
    r"<hx-partial hx-target=(?:\"([^\"]+)\"|([^\s>]+))(?: hx-swap=(\w+))?>(.*?)</hx-partial>", re.DOTALL
)
_SWAPS: dict[str | None, Any] = {None: "innerHTML", "before": "beforebegin", "append": "beforeend", "delete": "delete"}


def with_formulas(html: str) -> str:
    """What a view gives, as it goes to a page. (In the app, a child process draws the formulas.)"""
    return pieces.with_formulas(html, {formula: _drawn(formula) for formula in pieces.formulas_in(html)})


_drawn = functools.cache(pieces.draw)


class Element:
    """An element, its attributes and its children; texts are strings."""

    def __init__(self, name: str, attributes: list[tuple[str, str | None]], parent: "Element | None") -> None:
        self.name = name
        self.attributes = {key: value or "" for key, value in attributes}
        self.parent = parent
        self.children: list[Element | str] = []

    def append(self, child: "Element | str") -> None:
        if isinstance(child, Element):
            child.parent = self
            self.children.append(child)
        elif self.children and isinstance(self.children[-1], str):
            self.children[-1] += child
        elif child:
            self.children.append(child)

    def elements(self) -> "list[Element]":
        return [child for child in self.children if isinstance(child, Element)]

    def all(self) -> "Iterable[Element]":
        for child in self.elements():
            yield child
            yield from child.all()

    def inner(self) -> str:
        return "".join(escape(c, False) if isinstance(c, str) else c.outer() for c in self.children)

    def outer(self) -> str:
        attributes = "".join(f' {key}="{escape(value)}"' for key, value in self.attributes.items())
        end = "" if self.name in _VOID else f"{self.inner()}</{self.name}>"
        return f"<{self.name}{attributes}>{end}"


class _Builder(HTMLParser):
    """Strict: an end tag must close the element that is open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", [], None)
        self.here = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, attrs, self.here)
        self.here.append(element)
        if tag not in _VOID:
            self.here = element

    def handle_endtag(self, tag: str) -> None:
        assert self.here.name == tag, f"</{tag}> closes <{self.here.name}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    handle_pi = handle_decl
    unknown_decl = handle_decl


def parse(html: str) -> Element:
    """The tree of well-formed HTML."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.here is builder.root, f"<{builder.here.name}> is never closed"
    return builder.root


def read_frame(html: str) -> list[Op]:
    """The changes of an unnamed event."""
    return [Op(m[1] or m[2], _SWAPS[m[3]], m[4]) for m in _PARTIAL.finditer(html)]


class Page:
    """What one browser shows."""

    def __init__(self, html: str) -> None:
        self.root = parse(html)

    def apply(self, ops: list[Op], seq: int) -> None:
        """All targets are looked up first, as htmx does."""
        for op, target in [(op, self._find(op.target)) for op in ops]:
            self._apply(op, target)
        for element in self.root.all():
            if element.attributes.get("class") == "tail":
                element.attributes["data-seq"] = str(seq)

    def html(self) -> str:
        return self.root.inner()

    def _apply(self, op: Op, target: Element) -> None:
        assert target.parent is not None
        new = parse(op.html).children
        siblings = target.parent.children
        place = next(i for i, sibling in enumerate(siblings) if sibling is target)
        match op.swap:
            case "delete":
                del siblings[place]
            case "beforebegin":
                siblings[place:place] = new
                for child in new:
                    if isinstance(child, Element):
                        child.parent = target.parent
            case "innerHTML" | "beforeend":
                if op.swap == "innerHTML":
                    target.children.clear()
                for child in new:
                    target.append(child)

    def _find(self, selector: str) -> Element:
        match = re.fullmatch(r"#([\w-]+)((?:>:last-child)*)(?:>:nth-child\((\d+)\)| (\w+))?", selector)
        assert match, f"an unusual selector: {selector}"
        (found,) = [element for element in self.root.all() if element.attributes.get("id") == match[1]]
        for _ in range(match[2].count(":last-child")):
            found = found.elements()[-1]
        if match[3]:
            found = found.elements()[int(match[3]) - 1]
        return next(e for e in found.all() if e.name == match[4]) if match[4] else found
