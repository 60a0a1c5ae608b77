"""One child process as its parent sees it: start it, ask it, end it. Bound to no event loop."""

import asyncio
import contextlib
import os
import pathlib
import socket
import subprocess
from typing import Final, Self

from app.children.frames import HEADER, MAX_FRAME_BYTES, frame
from app.children.spawn import spawn_python

#: Those who wait for a page come before those who wait for colours. Its weight is a tenth of ours (sched(7)).
NICENESS: Final = 10
#: The kernel takes ten changes of an autogroup a second, from all processes together.
_AUTOGROUP_ATTEMPTS: Final = 5
#: A busy machine may need this long for Python's imports.
START_SECONDS: Final = 20.0
#: A child that is ready to run and does not get to gets the time for a request again, up to so often.
MOST_DEADLINES: Final = 10


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
            await _be_nice(process.pid)
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
        exchange = asyncio.ensure_future(self._exchange(sent))
        try:
            for _ in range(MOST_DEADLINES):
                await asyncio.wait([exchange], timeout=seconds)
                if exchange.done() or not self._waits_for_processor():
                    break
            if exchange.done():
                return exchange.result()
            raise ChildEnded("too slow")
        finally:
            exchange.cancel()
            await asyncio.gather(exchange, return_exceptions=True)  # the channel is closed after this, not before

    def _waits_for_processor(self) -> bool:
        """Whether it would go on if others left it a processor (Linux). One that computes for too long is ended anyway."""
        try:
            words = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return words[0] == "R"

    async def _exchange(self, sent: bytes) -> bytes:
        try:
            if sent:
                await asyncio.get_running_loop().sock_sendall(self._channel, sent)
            number, length = HEADER.unpack(await self._read(HEADER.size))
            if number != self._number or length > MAX_FRAME_BYTES:
                raise ChildEnded("nonsense")
            return await self._read(length)
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


async def _be_nice(pid: int) -> None:
    """From its start on: the imports of a child take a third of a second."""
    with contextlib.suppress(OSError):  # it has ended, or this system has no autogroups
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        for _ in range(_AUTOGROUP_ATTEMPTS):
            if _set_autogroup(pid):
                break
            await asyncio.sleep(0.1)


def _set_autogroup(pid: int) -> bool:
    """Linux may share a processor among sessions before it looks at niceness (sched(7), "The autogroup feature").

    A child has a session of its own. False if it is to be tried again.
    """
    try:
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))
    except BlockingIOError:
        return False
    return True
