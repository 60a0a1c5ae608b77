"""An open page of a thread without a browser: requests and order of events as of htmx, hx-sse and `static/js/stream.js`.

What becomes of the HTML is up to its kinds: the one of the faults builds a tree of it, the one of the bench looks for words.
Left out are titles and the list of models, which stand outside of the thread.
"""

import abc
import asyncio
import contextlib
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from tests.server_events import Event, read_events
from tests.watching import PROGRAM_SECONDS
from tests.wire import Answer, Caller, Line

ARTICLE = re.compile(r'<article id="message-.*?</article>', re.DOTALL)
AS_HTMX = {"hx-request": "true", "hx-request-type": "partial"}

_HEAD = re.compile(r'[^>]* data-message="([^"]+)" data-short="([^"]+)" data-depth="(\d+)" data-status="([^"]+)"')
_TAIL = re.compile(r'id="t-([0-9a-z]+)" data-seq="(\d+)"')
_STREAM = re.compile(r'hx-sse:connect="([^"]+)"')
_FIELD = re.compile(r'name="(_csrf|request_id)" value="([^"]+)"')
_FRAME = re.compile(r"([0-9a-z]+)\.(\d+)\.(\d+)$")
_HEADERS = tuple(f"{name}: {value}" for name, value in AS_HTMX.items())
#: An event is told once: what it makes the page fetch is tried so often.
_FETCH_PAUSES_SECONDS = (0, 0.25, 0.5, 1, 2, 4, 8, 16)
_OWN_TURN_SECONDS = 1.0
_RECONNECT_SECONDS = 0.1  # sooner than hx-sse, so that a test can cut a stream often


class Article:
    """One message as the page shows it. `seq`: up to which delta, None where there is no tail that could grow."""

    def __init__(self, html: str) -> None:
        head = _HEAD.match(html)
        assert head, html[:300]
        self.id, self.short, self.depth, self.status = head[1], head[2], int(head[3]), head[4]
        tails = dict(_TAIL.findall(html))
        self.seq = int(tails[self.short]) if self.short in tails else None

    @property
    def shown_to(self) -> float:
        """The last delta that it shows. A final message shows all there are."""
        if self.seq is not None:
            return self.seq
        return -1 if self.status == "running" else math.inf


A = TypeVar("A", bound=Article)


class Tab(abc.ABC, Generic[A]):
    """`open()` it and `close()` it. In between it follows its stream, and comes back whenever that ends.

    `articles` are by id, in the order of the page; `events` the names that it heard; `failed` the requests without an
    answer, or with one of 500 or more.
    """

    def __init__(self, caller: Caller, thread: str) -> None:
        self.thread = thread
        self.articles: dict[str, A] = {}
        self.events: list[str] = []
        self.failed: list[str] = []
        self.frames = self.fetches = self.frame_bytes = self.stream_bytes = 0
        self.connects = self.status = 0
        self.is_connected = self.is_gone = False
        self._caller = caller
        self._address = self._last_id = ""
        self._claim: str | None = None
        self._form: dict[str, str] = {}
        self._clock = 0
        self._touched: dict[str, int] = {}
        self._stream: Line | None = None
        self._sending: asyncio.Task[str] | None = None
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None]

    @abc.abstractmethod
    def draw(self, html: str) -> A:
        """An article of the page."""

    @abc.abstractmethod
    def grow(self, article: A, html: str) -> None:
        """A frame of this article."""

    @property
    def running(self) -> A | None:
        """The answer that is being written."""
        return next((article for article in self.articles.values() if article.status == "running"), None)

    def shows_end(self, message: str) -> bool:
        """Whether the tab shows this answer as final."""
        return message in self.articles and self.articles[message].status != "running"

    async def open(self) -> Self:
        """Load the page and follow it."""
        page = await self._caller.fetch(self._caller.get(f"/threads/{self.thread}"))
        assert page.status == 200, f"the page answered {page.status}"
        html = page.body.decode()
        stream = _STREAM.search(html)
        assert stream, "no event stream in the page"
        self._address, self._form = stream[1], dict(_FIELD.findall(html))
        self._place(html)
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(lambda _: self._changed.set())
        return self

    async def close(self) -> None:
        """The tab is closed."""
        self.is_gone = True
        self._running.cancel()
        await asyncio.wait([self._running])

    def cut(self, *, claim: str | None = None) -> None:
        """The network goes. `claim`: the lie that it tells, once, as its Last-Event-ID when it comes back."""
        self._claim = claim
        self.is_connected = False
        if self._stream is not None:
            self._stream.close()

    async def until(self, is_so: Callable[[Self], object], seconds: float = PROGRAM_SECONDS) -> None:
        """Wait until the tab shows something: `is_so(tab)`. Raises what keeps it from following its thread."""
        try:
            async with asyncio.timeout(seconds):
                while not is_so(self):
                    if self._running.done():
                        self._running.result()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            shown = [(article.short, article.status, article.seq) for article in self.articles.values()]
            raise AssertionError(
                f"answered {self.status}, connected {self.connects} times, now {self.is_connected}, at {self._last_id}; "
                f"shows {shown}; failed {self.failed[-9:]}; heard {self.events[-9:]}"
            ) from None

    async def send(self, line: Line, text: str, model: str) -> str:
        """Send a question with the page's form, over a connection. Returns the id of its answer, which is still empty."""
        self._sending = asyncio.create_task(self._send(line, self._form | {"text": text, "model": model}))
        return await self._sending

    async def _send(self, line: Line, form: dict[str, str]) -> str:
        left_at = self._clock
        headers = (f"x-csrf-token: {form['_csrf']}", *_HEADERS)
        answer = await line.send(self._caller.post(f"/threads/{self.thread}/messages", form, *headers))
        assert answer.status == 200, f"the send answered {answer.status}"
        html = answer.body.decode()
        self._form |= dict(_FIELD.findall(html))
        return self._place(html, left_at)[-1].id

    async def _run(self) -> None:
        while not self.is_gone:
            with contextlib.suppress(OSError):
                await self._follow()
            self.is_connected = False
            self._changed.set()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _follow(self) -> None:
        last_id, self._claim = self._last_id if self._claim is None else self._claim, None
        headers = (*_HEADERS, f"last-event-id: {last_id}") if last_id else _HEADERS
        request = self._caller.get(self._address, *headers, accept="text/html, text/event-stream")
        self._stream = line = await self._caller.line()
        try:
            self.status = (await self._answered("events", line.begin(request))).status
            if self.status == 200:
                await self._read(line)
            self.is_gone |= self.status in (401, 403, 404)
        finally:
            line.close()
            self.stream_bytes += line.received_bytes

    async def _read(self, line: Line) -> None:
        self.connects += 1
        self.is_connected = True
        self._changed.set()
        async for chunk in line.chunks():
            for event in read_events(chunk):
                await self._take(event)
            self._changed.set()

    async def _take(self, event: Event) -> None:
        if event.id is not None:
            self._last_id = event.id
        if event.name:
            self.events.append(event.name)
            await self._take_named(event.name, json.loads(event.data or "null"))
        elif event.data is not None:
            self.frames += 1
            self.frame_bytes += event.size_bytes
            await self._take_frame(event.data)

    async def _take_named(self, name: str, facts: Any) -> None:
        match name:
            case "turn":
                self._touch(*facts["messages"])
                if self._sending is not None and not self._shows(facts["messages"]):
                    await asyncio.wait([self._sending], timeout=_OWN_TURN_SECONDS)
                if not self._shows(facts["messages"]):
                    await self._fetch_after()
            case "message":
                self._touch(facts["message"])
                await self._fetch(f"/messages/{facts['message']}")
            case "branch":
                await self._fetch_window()
            case "gone" | "signed_out":
                self.is_gone = True

    async def _take_frame(self, html: str) -> None:
        found = _FRAME.search(self._last_id)
        assert found, self._last_id
        short, begin, end = found[1], int(found[2]), int(found[3])
        article = next((a for a in reversed(self.articles.values()) if a.short == short), None)
        if article is None:
            await self._fetch_after()
        elif article.shown_to == begin:
            self._touch(article.id)
            article.seq = end
            self.grow(article, html)
        elif article.shown_to < end:
            self._touch(article.id)
            await self._fetch(f"/messages/{article.id}")

    def _shows(self, messages: list[str]) -> bool:
        return all(message in self.articles for message in messages)

    def _touch(self, *messages: str) -> None:
        self._clock += 1
        self._touched.update(dict.fromkeys(messages, self._clock))

    async def _fetch_after(self) -> None:
        last = next(reversed(self.articles), None)
        await (self._fetch(f"/threads/{self.thread}/messages?after={last}") if last else self._fetch_window())

    async def _fetch_window(self) -> None:
        await self._fetch(f"/threads/{self.thread}/messages", is_all=True)

    async def _fetch(self, path: str, *, is_all: bool = False) -> None:
        left_at = self._clock
        self.fetches += 1
        for pause in _FETCH_PAUSES_SECONDS:
            await asyncio.sleep(pause)
            with contextlib.suppress(OSError):
                answer = await self._answered(path, self._caller.fetch(self._caller.get(path, *_HEADERS)))
                break
        else:
            return
        if answer.status == 200:  # an error is not put in the place of messages
            self.articles = {} if is_all else self.articles
            self._place(answer.body.decode(), left_at)

    async def _answered(self, path: str, answering: Awaitable[Answer]) -> Answer:
        try:
            answer = await answering
            if answer.status >= 500:
                raise ConnectionError(answer.status)
        except OSError as error:
            self.failed.append(f"{path}: {error!r}")
            raise
        return answer

    def _place(self, html: str, left_at: int = 0) -> list[A]:
        """Every message by id and depth. One that the stream has touched since the request left is newer than the answer.
        Another one at its depth is of another branch, and goes away with all that follows it.
        """
        drawn = [self.draw(found[0]) for found in ARTICLE.finditer(html)]
        for fresh in drawn:
            if fresh.id in self.articles and self._touched.get(fresh.id, 0) > left_at:
                continue
            others = self.articles.values()
            if fresh.id not in self.articles and any(other.depth == fresh.depth for other in others):
                self.articles = {other.id: other for other in others if other.depth < fresh.depth}
            self.articles[fresh.id] = fresh
        self.articles = dict(sorted(self.articles.items(), key=lambda item: item[1].depth))
        self._changed.set()
        return drawn
