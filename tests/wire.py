"""A cheap HTTP/1.1 client: what measures must cost less than what is measured."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from typing import NamedTuple
from urllib.parse import urlencode

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nset-cookie: *([^=]+=[^;]*)", re.IGNORECASE)
_BUFFER_BYTES = 2**20


class Answer(NamedTuple):
    """`head` is the status line and the headers, `wire_bytes` all that came."""

    status: int
    head: bytes
    body: bytes
    wire_bytes: int


class Line:
    """One connection, one request at a time. Raises `OSError` when it breaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received_bytes = 0
        self._reader, self._writer = reader, writer

    async def send(self, request: bytes) -> Answer:
        """The answer to a request."""
        begun = await self.begin(request)
        found = _LENGTH.search(begun.head)
        length = int(found[1]) if found else 0
        body = await self._read(self._reader.readexactly(length))
        return Answer(begun.status, begun.head, body, begun.wire_bytes + length)

    async def begin(self, request: bytes) -> Answer:
        """The answer without its body."""
        self._writer.write(request)
        head = await self._read(self._reader.readuntil(b"\r\n\r\n"))
        return Answer(int(head[9:12]), head, b"", len(head))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body of an answer that has begun, as it comes."""
        while size := int(await self._read(self._reader.readuntil(b"\r\n")), 16):
            yield (await self._read(self._reader.readexactly(size + 2)))[:-2]

    def close(self) -> None:
        """At once: nothing is waited for."""
        self._writer.transport.abort()

    async def _read(self, reading: Awaitable[bytes]) -> bytes:
        try:
            data = await reading
        except asyncio.IncompleteReadError:
            raise ConnectionError("The server closed the connection.") from None
        self.received_bytes += len(data)
        return data


class Caller:
    """Whose requests these are: the address of the instance and the cookies of a person."""

    def __init__(self, address: str, cookie: str = "") -> None:
        self.host, _, port = address.removeprefix("http://").rstrip("/").partition(":")
        self.port = int(port)
        self.cookie = cookie

    async def line(self) -> Line:
        """A new connection."""
        return Line(*await asyncio.open_connection(self.host, self.port, limit=_BUFFER_BYTES))

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
        """The answer over a connection of its own. Keeps the cookies that it sets."""
        line = await self.line()
        try:
            answer = await line.send(request)
        finally:
            line.close()
        if new := [pair.decode() for pair in _COOKIE.findall(answer.head)]:
            kept = dict(pair.split("=", 1) for pair in [*filter(None, self.cookie.split("; ")), *new])
            self.cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
        return answer

    def _request(self, method: str, path: str, headers: tuple[str, ...], body: bytes) -> bytes:
        origin = f"{self.host}:{self.port}"
        lines = [f"{method} {path} HTTP/1.1", f"host: {origin}", f"origin: http://{origin}", *headers]
        if self.cookie:
            lines.append(f"cookie: {self.cookie}")
        return "\r\n".join([*lines, "", ""]).encode() + body
