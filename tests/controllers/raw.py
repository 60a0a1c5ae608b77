"""A live server in the test's own loop, and sockets that say to it what no HTTP client would."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

from app.cli.front_door import FrontDoor
from app.cli.server import Server
from tests.watching import until, within

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

_LENGTH = re.compile(r"\r\ncontent-length: *(\d+)")


@contextlib.asynccontextmanager
async def live(app: Any, door: FrontDoor | None = None, host: str = "127.0.0.1") -> AsyncIterator["Address"]:
    """The app behind our server, on a free port."""
    listener = socket.create_server((host, 0), backlog=2_048)
    is_ready = asyncio.Event()
    server = Server(app, is_ready.set, door or FrontDoor())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with within("the server is ready"):
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
        raw = Raw()
        self._opened.append(raw)
        await raw.connect(self.host, self.port, source)
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
        await until(f"at most {most} connections are open", lambda: self.open <= most, shows=lambda: self.open)


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
    """One connection: a bare socket, since a stream loses what has come as soon as a send fails."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._is_over = False

    async def connect(self, host: str, port: int, source: str | None) -> None:
        """Open it, from this address of ours."""
        if source:
            self._socket.bind((source, 0))
        async with within("the server accepts a connection"):
            await self._loop.sock_connect(self._socket, (host, port))

    async def send(self, data: bytes) -> None:
        """Whether it arrives is another question: the server may have hung up."""
        async with within(f"the server takes {len(data)} bytes"):
            with contextlib.suppress(ConnectionError):
                await self._loop.sock_sendall(self._socket, data)

    async def begin(self) -> Answer:
        """The head of the next answer."""
        async with within("an answer begins"):
            while b"\r\n\r\n" not in self._received:
                await self._receive()
        return Answer(self._pop(self._received.index(b"\r\n\r\n") + 4), b"")

    async def answer(self) -> Answer:
        """The next answer."""
        answer = await self.begin()
        found = _LENGTH.search(answer.head)
        length = int(found[1]) if found else 0
        async with within(f"an answer has {length} bytes"):
            while len(self._received) < length:
                await self._receive()
        answer.body = self._pop(length)
        return answer

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        async with within("the server closes the connection"):
            while not self._is_over:
                await self._receive()
        return self._pop(len(self._received))

    def finish(self) -> None:
        """Nothing more is sent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def is_closed(self) -> bool:
        """Whether the server is known to have closed it."""
        with contextlib.suppress(BlockingIOError):
            while not self._is_over:
                self._note(self._receive_now())
        return self._is_over

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    async def _receive(self) -> None:
        """Take some more of what comes; the end is an error for who still expects something."""
        assert not self._is_over, f"the server closed the connection after {self._received!r}"
        try:
            self._note(await self._loop.sock_recv(self._socket, 65_536))
        except ConnectionError:
            self._note(b"")

    def _receive_now(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except ConnectionError:
            return b""

    def _note(self, piece: bytes) -> None:
        self._received += piece
        self._is_over = not piece

    def _pop(self, size: int) -> bytes:
        taken, self._received = self._received[:size], self._received[size:]
        return taken
