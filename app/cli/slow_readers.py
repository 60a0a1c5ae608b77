"""Cuts off peers that read too slowly or have vanished."""

import asyncio
import contextlib
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: What the system keeps of an answer for who reads slowly; by itself it would keep megabytes.
SEND_BUFFER_BYTES = 128 * 1024
#: Who takes longer to read what fills the buffers is cut off: a page comes back by itself, with its cursor.
SLOWEST_READ_SECONDS = 20
#: A connection whose other end acknowledges nothing for so long is dead, though nobody said so.
SILENT_PEER_SECONDS = 60


class CutsSlowReaders(HttpToolsProtocol):
    """uvicorn's HTTP protocol, aborted when the peer stops reading."""

    _cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_SECONDS * 1000)

    def connection_lost(self, exc: Exception | None) -> None:
        self._spare()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._cut = asyncio.get_running_loop().call_later(SLOWEST_READ_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._spare()
        super().resume_writing()

    def _spare(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
