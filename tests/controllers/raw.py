"""A live server in the test's own loop, and sockets that say to it what no HTTP client would."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from app.cli.front_door import FrontDoor
from app.cli.server import Server

#: Ten times what a busy machine needs for anything here.
SECONDS = 20.0
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@contextlib.asynccontextmanager
async def live(app: Any, door: FrontDoor | None = None, host: str = "127.0.0.1") -> AsyncIterator["Address"]:
    """The app behind our server, on a free port."""
    listener = socket.create_server((host, 0), backlog=2_048)
    is_ready = asyncio.Event()
    server = Server(app, is_ready.set, door or FrontDoor())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await is_ready.wait()
    address = Address(host, listener.getsockname()[1], server)
    try:
        yield address
    finally:
        address.close()
        server.end()
        server.end()  # nobody is waited for
        await serving


class Address:
    """Where the server is."""

    def __init__(self, host: str, port: int, server: Server) -> None:
        self.host, self.port, self.server = host, port, server
        self._opened: list[Raw] = []

    @property
    def open(self) -> int:
        """How many connections the server has."""
        return len(self.server.server_state.connections)

    async def connect(self, source: str | None = None) -> "Raw":
        """A new connection, from an address of this machine's own network."""
        local = (source, 0) if source else None
        raw = Raw(*await asyncio.open_connection(self.host, self.port, local_addr=local))
        self._opened.append(raw)
        return raw

    def close(self) -> None:
        """Every connection that was opened here."""
        for raw in self._opened:
            raw.close()

    async def ask(self, request: bytes) -> "Answer":
        """The answer over a connection of its own."""
        raw = await self.connect()
        try:
            await raw.send(request)
            return await raw.answer()
        finally:
            raw.close()

    async def until_open(self, most: int) -> None:
        """Wait until the server has no more than so many connections."""
        await until(lambda: self.open <= most)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something that the server does is done."""
    async with asyncio.timeout(SECONDS):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.01)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An app that says which request it answers, once it has its body."""
    body, is_whole = b"", scope["method"] == "GET"
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, is_whole = body + message["body"], not message["more_body"]
    text = f"{scope['method']} {scope['path']} {len(body)}".encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class Answer:
    """`head` is the status line and the fields, lower case."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.status = int(head[9:12])
        self.head = head.decode("latin-1").lower()
        self.body = body


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Whether it arrives is another question: the server may have hung up."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def begin(self) -> Answer:
        """The head of the next answer."""
        async with asyncio.timeout(SECONDS):
            return Answer(await self._reader.readuntil(b"\r\n\r\n"), b"")

    async def answer(self) -> Answer:
        """The next answer."""
        async with asyncio.timeout(SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            return Answer(head, await self._reader.readexactly(int(length[1]) if length else 0))

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read()
            return b""

    def finish(self) -> None:
        """Nothing more is sent."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def is_closed(self) -> bool:
        """Whether the server is known to have closed it."""
        return self._reader.at_eof() or self._reader.exception() is not None

    def close(self) -> None:
        self._writer.close()
