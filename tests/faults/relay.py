"""A TCP relay to put between any two parts: it can stall, cut, lose or delay one answer, and shares work between servers."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Self

from tests.watching import PROGRAM_SECONDS, until

#: Opens a connection to what stands behind the relay.
Dial = Callable[[], "asyncio._CoroutineLike[tuple[asyncio.StreamReader, asyncio.StreamWriter]]"]

COMMIT = b"COMMIT"


class Relay:
    """Listens on loopback and passes on to the next of `dials`, round-robin, trying again while one refuses.

    `flowing` cleared: nothing passes, in any direction, and no connection is closed (a hang). `cut()` resets all.
    `lose_answer_to(word)`: the next client message that holds the word is passed on, its answer is not: the connection
    is reset as soon as the answer arrives; `lost` is set then. `delay_answer_to(word)`: that answer waits until `go_on` is
    set; `delayed` is set when it has arrived. `hold_at(word)`: everything stands still before the next client message that
    holds the word; `held` is set then.
    """

    def __init__(self, *dials: Dial) -> None:
        self.dials: Sequence[Dial] = dials
        self.port = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.lost = asyncio.Event()
        self.held = asyncio.Event()
        self.delayed = asyncio.Event()
        self.go_on = asyncio.Event()
        self._word = self._stop_word = self._late_word = b""
        self._turns = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()  # nothing was answered to these yet
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._tasks)

    async def until_answered(self) -> None:
        """Wait until something has been answered on each connection that is open now."""
        silent = set(self._silent)
        await until("each connection has an answer", lambda: not silent & self._silent, PROGRAM_SECONDS)

    def cut(self) -> None:
        """Tear every connection down."""
        for writer in self._writers:
            writer.transport.abort()

    def lose_answer_to(self, word: bytes) -> None:
        """Lose the answer to the next message that holds this word."""
        self.lost.clear()
        self._word = word

    def delay_answer_to(self, word: bytes) -> None:
        """Let the answer to the next message that holds this word wait until `go_on` is set."""
        self.delayed.clear()
        self.go_on.clear()
        self._late_word = word

    def hold_at(self, word: bytes) -> None:
        """Let nothing pass any more when a message holds this word, until `flowing` is set again."""
        self.held.clear()
        self._stop_word = word

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        doomed, late = asyncio.Event(), asyncio.Event()
        there: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        self._silent.add(writer)
        try:
            answers, there = await self._dial()
            self._writers.add(there)
            pumps = [
                asyncio.create_task(self._pump(reader, there, doomed, late, is_question=True)),
                asyncio.create_task(self._pump(answers, writer, doomed, late, is_question=False)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._silent.discard(writer)
            for end in (writer, there):
                if end is not None:
                    self._writers.discard(end)
                    end.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As a good proxy: who refuses is passed over, for some seconds."""
        for _ in range(400):
            dials = self.dials
            with contextlib.suppress(OSError):
                return await dials[next(self._turns) % len(dials)]()
            await asyncio.sleep(0.025)
        raise ConnectionRefusedError

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        doomed: asyncio.Event,
        late: asyncio.Event,
        *,
        is_question: bool,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if is_question and self._stop_word and self._stop_word in data:
                    self._stop_word = b""
                    self.flowing.clear()
                    self.held.set()
                await self.flowing.wait()
                if is_question and self._word and self._word in data:
                    self._word = b""
                    doomed.set()
                elif not is_question and doomed.is_set():
                    self.lost.set()
                    for end in list(self._writers):
                        if end is writer:
                            end.transport.abort()
                    return
                if is_question and self._late_word and self._late_word in data:
                    self._late_word = b""
                    late.set()
                elif not is_question and late.is_set():
                    self.delayed.set()
                    await self.go_on.wait()
                    late.clear()
                writer.write(data)
                self._silent.discard(writer)
                await writer.drain()


def to_port(port: int) -> Dial:
    """Dials a port of this machine."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


def to_socket(path: str) -> Dial:
    """Dials a Unix socket."""
    return lambda: asyncio.open_unix_connection(path)
