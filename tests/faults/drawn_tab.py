"""A tab that draws: its articles are small trees, which frames change as they change a browser's."""

import re

from tests.faults.ledger import Ledger
from tests.html.page import Element, Page, read_frame
from tests.tab import Article, Tab
from tests.wire import Caller

_CHANGING = re.compile(r' hx-nonce="[^"]*"| data-waits="[^"]*"|name="_csrf" value="[^"]*"')


class DrawnArticle(Article):
    """One message as the tab shows it."""

    def __init__(self, html: str) -> None:
        super().__init__(html)
        self.page = Page(_normal(html))
        (self.root,) = self.page.root.elements()

    @property
    def body(self) -> Element:
        return next(e for e in self.root.all() if e.attributes.get("id") == f"b-{self.short}")

    @property
    def text(self) -> str:
        return text_of(self.body)

    def html(self) -> str:
        return self.page.html()


class DrawnTab(Tab[DrawnArticle]):
    """Notes in the ledger what it shows of an answer."""

    def __init__(self, caller: Caller, thread: str, ledger: Ledger | None = None) -> None:
        super().__init__(caller, thread)
        self._ledger = ledger

    def draw(self, html: str) -> DrawnArticle:
        article = DrawnArticle(html)
        self._note(article)
        return article

    def grow(self, article: DrawnArticle, html: str) -> None:
        assert article.seq is not None
        article.page.apply(read_frame(html), article.seq)
        self._note(article)

    def _note(self, article: DrawnArticle) -> None:
        if self._ledger is not None and article.root.attributes["class"] == "message assistant":
            self._ledger.saw(article.id, article.text)


def text_of(element: Element) -> str:
    """What a reader sees of it, white space as one."""
    return " ".join("".join(_texts(element)).split())


def _texts(element: Element) -> list[str]:
    found: list[str] = []
    for child in element.children:
        found += [child] if isinstance(child, str) else _texts(child)
    return found


def _normal(html: str) -> str:
    """Without what differs from one drawing to the next, and without what only browsers without scripts show."""
    html = re.sub(r"<noscript>.*?</noscript>", "", html, flags=re.DOTALL)
    return _CHANGING.sub("", html)
