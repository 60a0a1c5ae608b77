"""A browser's tab without a browser: follows a thread's event stream as `static/js/stream.js` does, into a small tree."""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from app.html.stream import Op
from tests.faults.ledger import Ledger
from tests.html.page import Element, Page
from tests.waiting import STARTED_SECONDS

ARTICLE = re.compile(r"<article id=\"message-.*?</article>", re.DOTALL)
_CURSOR = re.compile(r'/events\?at=([^"]+)"')
_PARTIAL = re.compile(
    r"<hx-partial hx-target=(?:\"([^\"]+)\"|([^\s>]+))(?: hx-swap=(\w+))?>(.*?)</hx-partial>", re.DOTALL
)
_FRAME = re.compile(r"\d+\.([0-9a-z]+)\.(\d+)\.(\d+)")
_SWAPS: dict[str | None, Any] = {None: "innerHTML", "before": "beforebegin", "append": "beforeend", "delete": "delete"}
_CHANGING = re.compile(r' hx-nonce="[^"]*"| data-waits="[^"]*"|name="_csrf" value="[^"]*"')
T = TypeVar("T")
AS_HTMX = {"hx-request": "true", "hx-request-type": "partial"}


class Article:
    """One message as the tab shows it. `seq` is None when it is final."""

    def __init__(self, html: str) -> None:
        self.page = Page(_normal(html))
        (self.root,) = self.page.root.elements()
        self.id = self.root.attributes["data-message"]
        self.short = self.root.attributes["data-short"]
        self.depth = int(self.root.attributes["data-depth"])
        self.status = self.root.attributes["data-status"]

    @property
    def body(self) -> Element:
        return next(e for e in self.root.all() if e.attributes.get("id") == f"b-{self.short}")

    @property
    def seq(self) -> int | None:
        tails = [e for e in self.body.all() if e.attributes.get("id") == f"t-{self.short}"]
        return int(tails[0].attributes["data-seq"]) if tails else None

    @property
    def text(self) -> str:
        return text_of(self.body)

    def html(self) -> str:
        return self.page.html()


class Tab:
    """`open()`, then `run()` as a task until `close()`. Comes back by itself when its stream ends, like htmx."""

    def __init__(self, client: httpx.AsyncClient, cookie: str, thread: str, ledger: Ledger | None = None) -> None:
        self.articles: dict[str, Article] = {}
        self.events: list[str] = []
        self.failed: list[str] = []  # requests that got no answer, or one of 500 or more
        self.connects = 0
        self.status = 0
        self.is_gone = False
        self.is_connected = False
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self._client = client
        self._cookie = cookie
        self._ledger = ledger
        self.thread = thread
        self._last_id = ""
        self._claim: str | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> "Tab":
        """Load the page and follow it."""
        page = await self._client.get(f"/threads/{self.thread}")
        assert page.status_code == 200, page.status_code
        self._place(page.text)
        cursor = _CURSOR.search(page.text)
        assert cursor
        self._last_id = cursor[1]
        self._running = asyncio.create_task(self._run())
        return self

    async def close(self) -> None:
        """Not cancelled: a connection that is just being made would be left open."""
        self.is_gone = True
        while self._running is not None and not self._running.done():
            self.cut()
            await asyncio.wait([self._running], timeout=0.2)

    def cut(self, *, claim: str | None = None) -> None:
        """The network goes. `claim`: the lie that it tells, once, as its Last-Event-ID when it comes back."""
        self._claim = claim
        self.is_connected = False
        if self._writer is not None:
            self._writer.transport.abort()

    async def until(self, is_so: "Callable[[Tab], object]") -> None:
        """Wait until the tab shows something: `is_so(tab)`."""
        try:
            async with asyncio.timeout(STARTED_SECONDS):
                while not is_so(self):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            shown = [(article.short, article.status, article.seq) for article in self.articles.values()]
            raise AssertionError(
                f"answered {self.status}, connected {self.connects} times, now {self.is_connected}, at {self._last_id}; "
                f"shows {shown}; failed {self.failed[-9:]}; heard {self.events[-9:]}"
            ) from None

    def shows_end(self, message: str) -> bool:
        """Whether the tab shows this answer as final."""
        return message in self.articles and self.articles[message].status != "running"

    @property
    def running(self) -> Article | None:
        return next((a for a in self.articles.values() if a.status == "running"), None)

    async def _run(self) -> None:
        while not self.is_gone:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, httpx.TransportError, ValueError):
                await self._follow()
            self.ended.set()
            self.changed.set()
            await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        host, port = self._client.base_url.host, self._client.base_url.port
        reader, self._writer = await asyncio.open_connection(host, port)
        last_id, self._claim = self._claim if self._claim is not None else self._last_id, None
        try:
            self._writer.write(
                f"GET /threads/{self.thread}/events HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: parley={self._cookie}\r\n"
                f"Accept: text/event-stream\r\nHX-Request: true\r\nLast-Event-ID: {last_id}\r\n\r\n".encode()
            )
            head = (await self._answered("events", reader.readuntil(b"\r\n\r\n"))).decode()
            self.status = int(head.split(" ")[1])
            self._judge("events", self.status)
            self.connects += 1
            self.is_connected = True
            self.changed.set()
            if self.status != 200:
                self.is_gone = self.status in (401, 404)
                return
            buffer = b""
            while size := int(await reader.readline(), 16):
                buffer += (await reader.readexactly(size + 2))[:-2]
                *whole, buffer = buffer.split(b"\n\n")
                for event in whole:
                    await self._take(event.decode())
        finally:
            self.is_connected = False
            self._writer.transport.abort()

    async def _take(self, raw: str) -> None:
        name, data = "", []
        for line in raw.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                self._last_id = value
        if name:
            self.events.append(name)
            await self._named(name, json.loads("\n".join(data)))
        elif data:
            await self._frame("\n".join(data))
        self.changed.set()

    async def _named(self, name: str, facts: dict[str, Any]) -> None:
        match name:
            case "turn" if not all(message in self.articles for message in facts["messages"]):
                newest = max(self.articles.values(), key=lambda article: article.depth, default=None)
                await self._fetch(f"/threads/{self.thread}/messages" + (f"?after={newest.id}" if newest else ""))
            case "message":
                await self._fetch(f"/messages/{facts['message']}")
            case "branch":
                await self._fetch(f"/threads/{self.thread}/messages", is_all=True)
            case "gone" | "signed_out":
                self.is_gone = True

    async def _frame(self, html: str) -> None:
        found = _FRAME.fullmatch(self._last_id)
        assert found, self._last_id
        short, begin, end = found[1], int(found[2]), int(found[3])
        article = next((a for a in self.articles.values() if a.short == short), None)
        if article is None:
            await self._fetch(f"/threads/{self.thread}/messages", is_all=True)
        elif article.seq is not None and article.seq != begin:
            if article.seq < end:
                await self._fetch(f"/messages/{article.id}")
        elif article.seq is not None:
            article.page.apply(read_frame(html), end)
            self._note(article)

    async def _fetch(self, path: str, *, is_all: bool = False) -> None:
        answer = await self._answered(path, self._client.get(path, headers=AS_HTMX))
        self._judge(path, answer.status_code)
        if answer.status_code != 200:
            raise OSError(answer.status_code)
        if is_all:
            self.articles.clear()
        self._place(answer.text)

    async def _answered(self, path: str, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except (OSError, asyncio.IncompleteReadError, httpx.TransportError) as error:
            self.failed.append(f"{path}: {type(error).__name__}")
            raise

    def _judge(self, path: str, status: int) -> None:
        if status >= 500:
            self.failed.append(f"{path}: {status}")

    def _place(self, html: str) -> None:
        for found in ARTICLE.finditer(html):
            article = Article(found[0])
            self.articles[article.id] = article
            self._note(article)
        self.changed.set()

    def _note(self, article: Article) -> None:
        if self._ledger is not None and article.root.attributes["class"] == "message assistant":
            self._ledger.saw(article.id, article.text)


def read_frame(html: str) -> list[Op]:
    """The changes of an unnamed event."""
    return [Op(m[1] or m[2], _SWAPS[m[3]], m[4]) for m in _PARTIAL.finditer(html)]


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
