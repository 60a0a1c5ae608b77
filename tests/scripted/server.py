"""A model server that plays raw bytes by script on a real socket, and remembers what it was asked and who left when."""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self, assert_never

from tests.scripted.dialects import KNOWN, Dialect
from tests.scripted.manners import Manners, leave_later, refuse_next
from tests.scripted.request import Request
from tests.scripted.steps import Close, Do, Paced, Repeat, Reset, Script, Send, Sleep, Stall, Step, Wait, whole

#: Ten times what a busy machine needs until it asks.
MOST_SECONDS = 120.0
DEFAULT_WORDS = ("Seven ", "quiet ", "lanterns ", "drift ", "over ", "the ", "harbour. ")


class ScriptedServer:
    """Answers what is asked about models well-formed; answers questions by script.

    A question is answered by the first of: what the test queued with `script`, the script of its model in `scripts`,
    the dialect's in `defaults`; with `echoes` every model says again what it was told last. `answers` replaces the answer
    of any path, with its query or without.
    `requests` is kept to be looked at. Where a dialect can pull, load, unload and delete models, that changes `models`
    and `loaded`, which names the first one until then. With `tls` it speaks https. `manners`: what it does with a
    connection after an answer; `connections` counts those that were made.
    """

    def __init__(self, models: Sequence[str] = ("scripted",), *, tls: ssl.SSLContext | None = None) -> None:
        self.models = list(models)
        self.loaded: list[str] | None = None
        self.defaults = {dialect.kind: dialect.answer(DEFAULT_WORDS, usage=(5, 7)) for dialect in KNOWN}
        self.scripts: dict[str, Script] = {}
        self.answers: dict[str, Script] = {}
        self.requests: list[Request] = []
        self.echoes = False
        self.manners = Manners.KEEPS
        self.connections = 0
        self.open_connections = 0
        self._tls = tls
        self._queue: deque[Script] = deque()
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def script(self, *steps: Step) -> None:
        """Queue the answer to one question."""
        self._queue.append(steps)

    def unscript(self) -> None:
        """Drop the answers that were queued and not asked for."""
        self._queue.clear()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def url_for(self, dialect: Dialect) -> str:
        """The base URL that an account of this dialect has."""
        return self.url + dialect.base_path

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", port, backlog=1024, ssl=self._tls)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next_question(self, number: int = 1) -> Request:
        """The `number`th question, once it has arrived."""
        try:
            async with asyncio.timeout(MOST_SECONDS), self._arrived:
                await self._arrived.wait_for(lambda: len(self.questions) >= number)
        except TimeoutError:
            raise AssertionError(
                f"question {number} did not come, after {[each.path for each in self.requests]}"
            ) from None
        return self.questions[number - 1]

    @property
    def questions(self) -> list[Request]:
        return [asked for asked in self.requests if any(dialect.is_question(asked) for dialect in KNOWN)]

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.close())  # also where it is cancelled before it has begun

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        read_ahead, before = b"", None
        try:
            while request := await _read_request(reader, read_ahead):
                self.requests.append(request)
                async with self._arrived:
                    self._arrived.notify_all()
                if before is not None and await refuse_next(self.manners, before, writer):
                    break
                read_ahead, before = await self._play_while_connected(request, reader, writer), request
                leave_later(self.manners, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _play_while_connected(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        """Play the answer until it is over or the client goes. Returns what the client sent ahead."""
        loop = asyncio.get_running_loop()
        playing = loop.create_task(_play(self._answer_to(request), writer))
        watching = loop.create_task(_read_one(reader))
        try:
            await asyncio.wait((playing, watching), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done() and await watching == b"":
                raise ConnectionResetError
            await playing
            if watching.done():
                return await watching
        except ConnectionError:
            request.closed.set()
            raise
        finally:
            for task in (playing, watching):
                task.cancel()
            await asyncio.gather(playing, watching, return_exceptions=True)
        return b""

    def _answer_to(self, request: Request) -> Script:
        for place in (request.target, request.path):
            if place in self.answers:
                return self.answers[place]
        for dialect in KNOWN:
            if dialect.is_question(request):
                if self._queue:
                    return self._queue.popleft()
                if self.echoes:
                    return echo(dialect, request)
                return self.scripts.get(dialect.model_of(request)) or self.defaults[dialect.kind]
            loaded = self.models[:1] if self.loaded is None else self.loaded
            if (script := dialect.manage(request, self.models, loaded)) is not None:
                self.loaded = loaded
                return script
            if (found := dialect.lookup(request, self.models, loaded)) is not None:
                return whole(json.dumps(found).encode())
        return whole(b'{"error":"no such path"}', status=404)


def echo(dialect: Dialect, request: Request, pieces: int = 40, per_second: float = 200.0) -> Script:
    """The text of the last message of a question, in so many pieces."""
    content = dialect.messages(request.json)[-1]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    size = max(1, -(-len(text) // pieces))
    words = [text[start : start + size] for start in range(0, len(text), size)]
    return dialect.answer(words, usage=(5, len(words)), per_second=per_second)


async def _read_one(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""


async def _read_request(reader: asyncio.StreamReader, read_ahead: bytes) -> Request | None:
    try:
        top = read_ahead + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = top.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


async def _play(script: Script, writer: asyncio.StreamWriter) -> None:
    for step in script:
        match step:
            case Send(content):
                writer.write(content)
                await writer.drain()
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Paced(pieces, per_second):
                await _pace(pieces, per_second, writer)
            case Repeat(content, times, every_seconds):
                count = 0
                while times is None or count < times:
                    count += 1
                    writer.write(content)
                    await writer.drain()
                    await asyncio.sleep(every_seconds)
            case Stall():
                await asyncio.Event().wait()
            case Wait(gate):
                await gate.wait()
            case Do(act):
                act()
            case Close():
                writer.close()
                raise ConnectionAbortedError
            case Reset():
                await writer.drain()
                await asyncio.sleep(0.1)  # a reset takes along what its receiver has not read yet
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                raise ConnectionAbortedError
            case _:
                assert_never(step)


async def _pace(
    pieces: tuple[bytes | Callable[[], bytes], ...], per_second: float, writer: asyncio.StreamWriter
) -> None:
    """One timer a piece and no task switch: hundreds of streams must cost the load generator's machine little."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    began, write, remaining = loop.time(), writer.transport.write, iter(enumerate(pieces, start=1))

    def next_piece() -> None:
        if done.done():
            return
        number, piece = next(remaining, (0, b""))
        if not number or writer.transport.is_closing():
            done.set_result(None)
            return
        write(piece if isinstance(piece, bytes) else piece())
        loop.call_at(began + number / per_second, next_piece)

    next_piece()
    await done  # cancelled with the task, which ends the chain of timers
