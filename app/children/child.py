"""One child process as its parent sees it: start it, ask it, end it. Bound to no event loop."""

import asyncio
import socket
import subprocess
from typing import Final, Self

from app.children.frames import HEADER, MAX_FRAME_BYTES, frame
from app.children.spawn import spawn_python

#: A busy machine may need this long for Python's imports.
START_SECONDS: Final = 20.0


class ChildEnded(Exception):
    """The child went away, wrote nonsense or took too long; the text says which."""


class Child:
    """A running child that answers one request at a time."""

    def __init__(self, program: str, process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
        self.program = program
        self._process = process
        self._channel = channel
        self._number = 0

    @classmethod
    async def start(cls, program: str, *, seconds: float = START_SECONDS) -> Self:
        """A child that is ready. `program` is a module that calls `serve`. Raises `ChildEnded`, `OSError`."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                process = spawn_python(program, channel=theirs)
            except OSError:
                ours.close()
                raise
        child = cls(program, process, ours)
        is_ready = False
        try:
            await child._answer(seconds)
            is_ready = True
        finally:
            if not is_ready:
                await child.end()
        return child

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def ask(self, request: bytes, *, seconds: float) -> bytes:
        """The answer to a request. Raises `ChildEnded`; the child must be ended then, and if this is cancelled."""
        self._number += 1
        return await self._answer(seconds, frame(self._number, request))

    async def end(self) -> int:
        """Kill it and wait for its end, even if this is cancelled. The code it ended with. May be called twice."""
        self.kill()
        self._channel.close()
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._process.wait))

    def kill(self) -> None:
        """Kill it, without waiting. What asks it at the moment hears that it ended, and ends it."""
        self._process.kill()

    async def _answer(self, seconds: float, sent: bytes = b"") -> bytes:
        try:
            async with asyncio.timeout(seconds):
                if sent:
                    await asyncio.get_running_loop().sock_sendall(self._channel, sent)
                number, length = HEADER.unpack(await self._read(HEADER.size))
                if number != self._number or length > MAX_FRAME_BYTES:
                    raise ChildEnded("nonsense")
                return await self._read(length)
        except TimeoutError:
            raise ChildEnded("too slow") from None
        except OSError:
            raise ChildEnded("went away") from None

    async def _read(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        pieces: list[bytes] = []
        while length:
            piece = await loop.sock_recv(self._channel, min(length, 1_000_000))
            if not piece:
                raise ChildEnded("went away")
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)
