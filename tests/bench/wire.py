"""A cheap HTTP/1.1 client on raw sockets: what measures must cost less than what is measured."""

import asyncio
import re
from collections.abc import Callable
from typing import NamedTuple, cast
from urllib.parse import urlencode

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nset-cookie: *([^=]+=[^;]*)", re.IGNORECASE)


class Answer(NamedTuple):
    """`head` is the status line and the headers, `wire_bytes` all that came."""

    status: int
    head: bytes
    body: bytes
    wire_bytes: int


class Line(asyncio.Protocol):
    """One connection, one request at a time. `open` says where to."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.is_open = True
        self._buffer = b""
        self._answered: asyncio.Future[Answer] | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._is_streaming = False
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, host: str, port: int) -> "Line":
        _, line = await asyncio.get_running_loop().create_connection(cls, host, port)
        return line

    async def send(self, request: bytes, sink: Callable[[bytes], None] | None = None) -> Answer:
        """The answer to a request. With `sink` only its head: what follows goes there, as it comes and as it is framed."""
        if not self.is_open:
            raise ConnectionError("The server closed the connection.")
        self._answered = asyncio.get_running_loop().create_future()
        self._sink = sink
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._is_streaming and self._sink is not None:
            self._sink(data)
            return
        self._buffer += data
        self._read()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionError("The server closed the connection."))

    def _read(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answered is None or self._answered.done():
            return
        head, body = self._buffer[:end], self._buffer[end + 4 :]
        status = int(head[9:12])
        if self._sink is not None and status == 200:
            self._is_streaming, self._buffer = True, b""
            self._answered.set_result(Answer(status, head, b"", end + 4))
            if body:
                self._sink(body)
            return
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if len(body) >= length:
            self._buffer = body[length:]
            self._answered.set_result(Answer(status, head, body[:length], end + 4 + length))


class Caller:
    """Whose requests these are: the address of the instance and the cookies of a person."""

    def __init__(self, address: str, cookie: str = "") -> None:
        self.host, _, port = address.removeprefix("http://").partition(":")
        self.port = int(port)
        self.cookie = cookie

    async def line(self) -> Line:
        """A new connection."""
        return await Line.open(self.host, self.port)

    def get(self, path: str, *headers: str, accept: str = "text/html") -> bytes:
        """A request for a page, or with `hx-request: true` for a part of one."""
        return self._request("GET", path, (f"accept: {accept}", *headers), b"")

    def post(self, path: str, form: dict[str, str], *headers: str) -> bytes:
        """A form as a browser sends it."""
        body = urlencode(form).encode()
        kind = "content-type: application/x-www-form-urlencoded"
        length = f"content-length: {len(body)}"
        return self._request("POST", path, (kind, length, "accept: text/html", *headers), body)

    async def fetch(self, request: bytes) -> Answer:
        """The answer over a connection of its own."""
        line = await self.line()
        try:
            answer = await line.send(request)
        finally:
            line.close()
        self.keep_cookies(answer)
        return answer

    def keep_cookies(self, answer: Answer) -> None:
        """Take the cookies that an answer sets."""
        if new := [pair.decode() for pair in _COOKIE.findall(answer.head)]:
            kept = dict(pair.split("=", 1) for pair in [*filter(None, self.cookie.split("; ")), *new])
            self.cookie = "; ".join(f"{name}={value}" for name, value in kept.items())

    def _request(self, method: str, path: str, headers: tuple[str, ...], body: bytes) -> bytes:
        origin = f"{self.host}:{self.port}"
        lines = [f"{method} {path} HTTP/1.1", f"host: {origin}", f"origin: http://{origin}", *headers]
        if self.cookie:
            lines.append(f"cookie: {self.cookie}")
        return "\r\n".join([*lines, "", ""]).encode() + body
