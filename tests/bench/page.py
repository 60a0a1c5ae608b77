"""An open page, as far as its requests go: what htmx and static/js/stream.js do for one turn, without the drawing."""

import asyncio
import json
import re
from collections import deque
from typing import NamedTuple

from tests.bench.wire import Caller, Line
from tests.scripted.stamps import UNIT_SECONDS, WORD, moment, written_at

_CURSOR = re.compile(rb'/events\?at=([^"]+)"')
_CSRF = re.compile(rb'name="_csrf" value="([^"]+)"')
_REQUEST_ID = re.compile(rb'name="request_id" value="([^"]+)"')
_ARTICLE = re.compile(rb'<article id="message-([^"]+)"[^>]* data-short="([^"]+)"[^>]* data-status="([^"]+)"')
_TAIL = re.compile(rb'id="t-([0-9a-z]+)" data-seq="(\d+)"')
_FRAME = re.compile(rb"([0-9a-z]+)\.(\d+)\.(\d+)$")
_AS_HTMX = ("hx-request: true", "hx-request-type: partial")


class Event(NamedTuple):
    """One server-sent event."""

    name: bytes
    id: bytes
    data: bytes


class Page:
    """One thread in one tab. After `turn` it knows how long everything took, and what was wrong: `fault`.

    `frame_bytes` are those of frames alone, `stream_bytes` all that the event stream brought.
    """

    def __init__(self, caller: Caller, thread: str, model: str) -> None:
        self.latencies: list[float] = []
        self.first_token_seconds: float | None = None
        self.post_seconds = 0.0
        self.frames = 0
        self.fetches = 0
        self.stream_bytes = self.frame_bytes = 0
        self.fault = ""
        self._caller = caller
        self.thread = thread
        self._model = model
        self._form: dict[str, str] = {}
        self._shown: dict[bytes, int | None] = {}
        self._known: dict[str, str] = {}
        self._ids: dict[bytes, str] = {}
        self._newest = self._posted_at = 0
        self._buffer = b""
        self._queue: deque[Event] = deque()
        self._is_busy = False
        self._fetching: asyncio.Task[None] | None = None
        self._is_over = asyncio.Event()
        self._line: Line
        self._stream: Line

    async def turn(self, text: str, timeout_seconds: float) -> None:
        """In an open page: send the message, read until the answer is final and its message was fetched; then close it."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._send(self._form | {"text": text, "model": self._model})
                await self._is_over.wait()
        except (OSError, TimeoutError, AssertionError) as error:
            self.fault = self.fault or f"{type(error).__name__}: {error}"
        finally:
            self.close()

    async def open(self) -> None:
        """The page and its event stream."""
        self._line, self._stream = await self._caller.line(), await self._caller.line()
        page = await self._line.send(self._caller.get(f"/threads/{self.thread}"))
        assert page.status == 200, f"the page answered {page.status}"
        self._place(page.body, moment())
        cursor, csrf, request_id = (pattern.search(page.body) for pattern in (_CURSOR, _CSRF, _REQUEST_ID))
        assert cursor, "no event stream in the page"
        assert csrf, "no composer in the page"
        assert request_id, "no composer in the page"
        path = f"/threads/{self.thread}/events?at={cursor[1].decode()}"
        stream = await self._stream.send(self._caller.get(path, *_AS_HTMX, accept="text/event-stream"), self._take)
        assert stream.status == 200, f"the stream answered {stream.status}"
        self._form = {"_csrf": csrf[1].decode(), "request_id": request_id[1].decode()}

    @property
    def is_connected(self) -> bool:
        """Whether its event stream is open."""
        return self._stream.is_open

    def close_line(self) -> None:
        """Nothing more is asked; the stream stays, as it does when a browser drops what it does not use."""
        self._line.close()

    def close(self) -> None:
        """The tab is closed."""
        for line in (getattr(self, "_line", None), getattr(self, "_stream", None)):
            if line is not None:
                line.close()
        self.stream_bytes = self._stream.received_bytes if hasattr(self, "_stream") else 0

    async def _send(self, form: dict[str, str]) -> None:
        self._newest = self._posted_at = moment()
        request = self._caller.post(
            f"/threads/{self.thread}/messages", form, f"x-csrf-token: {form['_csrf']}", *_AS_HTMX
        )
        answer = await self._line.send(request)
        assert answer.status == 200, f"the send answered {answer.status}"
        self.post_seconds = (moment() - self._posted_at) * UNIT_SECONDS
        self._place(answer.body, moment())
        if self._fetching is None:
            self._is_busy = False
            self._work()

    def _take(self, data: bytes) -> None:
        """Bytes of the stream: chunks of HTTP around events, whose lines end in LF."""
        self._buffer += data
        *whole, self._buffer = self._buffer.split(b"\n\n")
        for raw in whole:
            if event := _event(raw):
                self._queue.append(event)
                self.frame_bytes += 0 if event.name else len(raw) + 2
        self._work()

    def _work(self) -> None:
        """Events in their order; one that makes the page fetch something lets the others wait, as in the browser."""
        while self._queue and not self._is_busy:
            if path := self._apply(self._queue.popleft()):
                self._is_busy = True
                self._fetching = asyncio.create_task(self._fetch(path))

    def _apply(self, event: Event) -> str | None:
        """Returns what has to be fetched before the next event."""
        facts = json.loads(event.data) if event.name else {}
        match event.name:
            case b"":
                return self._apply_frame(event)
            case b"turn" if not all(message in self._known for message in facts["messages"]):
                if not self._posted_at or self.post_seconds:
                    return self._path_after()
                self._is_busy = True  # our own turn: the answer to the send brings it, and goes on from here
            case b"message":
                return f"/messages/{facts['message']}"
            case b"branch":
                return f"/threads/{self.thread}/messages"
        return None

    def _apply_frame(self, event: Event) -> str | None:
        self.frames += 1
        if (found := _FRAME.search(event.id)) is None:
            return None
        short, begin, end = found[1], int(found[2]), int(found[3])
        if short not in self._shown:
            return self._path_after()
        seen = self._shown[short]
        if seen == begin:
            self._shown[short] = end
            self._see(event.data, moment())
        elif seen is not None and seen < end:
            return f"/messages/{self._ids[short]}"
        return None

    async def _fetch(self, path: str) -> None:
        try:
            self.fetches += 1
            line = await self._caller.line()
            answer = await line.send(self._caller.get(path, *_AS_HTMX))
            line.close()
            self._place(answer.body, moment(), is_newer=True)
        except OSError as error:
            self.fault = f"a fetch failed: {error}"
        self._is_busy, self._fetching = False, None
        self._work()

    def _place(self, html: bytes, now: int, *, is_newer: bool = False) -> None:
        """Messages drawn by the server. What the page shows already is newer than the answer to a click."""
        tails = dict(_TAIL.findall(html))
        for message, short, status in _ARTICLE.findall(html):
            if short in self._shown and not is_newer:
                continue
            self._ids[short] = message.decode()
            self._known[message.decode()] = status.decode()
            self._shown[short] = int(tails[short]) if short in tails else None
        if self._posted_at:
            self._see(html, now)
            newest = list(self._known.values())[-1]
            if newest not in ("queued", "running") and (is_newer or self._is_answered()):
                self.fault = "" if newest == "complete" else f"the answer ended as {newest}"
                self._is_over.set()

    def _is_answered(self) -> bool:
        return len(self.latencies) > 0 or self.frames > 0

    def _see(self, html: bytes, now: int) -> None:
        """Words that are newer than the newest seen: their time under way."""
        fresh = [at for word in WORD.findall(html) if (at := written_at(word, now)) > self._newest]
        if fresh:
            self._newest = max(fresh)
            self.latencies += [(now - at) * UNIT_SECONDS for at in fresh]
            if self.first_token_seconds is None:
                self.first_token_seconds = (now - self._posted_at) * UNIT_SECONDS

    def _path_after(self) -> str:
        last = list(self._known)[-1] if self._known else ""
        return f"/threads/{self.thread}/messages" + (f"?after={last}" if last else "")


def _event(raw: bytes) -> Event | None:
    name = place = b""
    data: list[bytes] = []
    for line in raw.split(b"\n"):
        field, _, value = line.partition(b":")
        match field:
            case b"data":
                data.append(value)
            case b"event":
                name = value.strip()
            case b"id":
                place = value.strip()
    return Event(name, place, b"\n".join(data)) if data else None
