"""A pooler as PgBouncer is in transaction mode: between two transactions a session of Postgres serves any connection."""

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator, Iterator

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_TLS_ASKED = 80877103
_VERSION_3 = 196608


class Pooler:
    """`async with Pooler(socket, database, sessions=2) as port:` hands out its sessions in turn, as one mode of PgBouncer.

    `server_version`: what it says that Postgres is, instead of the truth.
    """

    def __init__(self, socket: str, database: str, *, sessions: int = 1, server_version: str = "") -> None:
        self._socket = socket
        self._database = database
        self._count = sessions
        self._server_version = server_version
        self._greeting = b""
        self._serving: set[asyncio.Task[None]] = set()
        self._turns: Iterator[tuple[asyncio.Lock, Streams]]

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[int]:
        """Its port, until the end of the block."""
        sessions = [await self._open() for _ in range(self._count)]
        self._turns = itertools.cycle([(asyncio.Lock(), session) for session in sessions])
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            async with server:
                yield server.sockets[0].getsockname()[1]
        finally:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            for _, writer in sessions:
                await _close(writer)

    async def _open(self) -> Streams:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        words = ("user", "postgres", "database", self._database, "client_encoding", "UTF8")
        startup = struct.pack("!i", _VERSION_3) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        writer.write(struct.pack("!i", len(startup) + 4) + startup)
        messages = await _until_ready(reader)
        self._greeting = b"".join(map(self._told, messages))
        return reader, writer

    def _told(self, message: bytes) -> bytes:
        if self._server_version and message[5:].startswith(b"server_version\0"):
            body = b"server_version\0" + self._server_version.encode() + b"\0"
            return b"S" + struct.pack("!i", len(body) + 4) + body
        return message

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._answer(reader, writer)
        except asyncio.CancelledError:
            pass  # asyncio's own callback of a connection would complain of it
        finally:
            await _close(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!i", await reader.readexactly(4))
                startup = await reader.readexactly(length - 4)
                if struct.unpack("!i", startup[:4])[0] != _TLS_ASKED:
                    break
                writer.write(b"N")
            writer.write(self._greeting)
            while True:
                message = await _message(reader)
                if message[:1] == b"X":
                    break
                lock, session = next(self._turns)
                async with lock:
                    await _transaction(message, (reader, writer), session)


async def _transaction(message: bytes, client: Streams, session: Streams) -> None:
    """From its first message to the first moment at which Postgres is in no transaction."""
    session[1].write(message)
    asking = asyncio.create_task(_forward(client[0], session[1]))
    try:
        answer = b""
        while not (answer[:1] == b"Z" and answer[-1:] == b"I"):
            answer = await _message(session[0])
            client[1].write(answer)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(await _message(reader))


async def _until_ready(reader: asyncio.StreamReader) -> list[bytes]:
    messages = [await _message(reader)]
    while messages[-1][:1] != b"Z":
        messages.append(await _message(reader))
    return messages


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
