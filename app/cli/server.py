"""uvicorn, told what to do by us: our loop, our signals, our log, no lifespan of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: How long requests that are under way may take once we were told to end; streams end by themselves.
GRACE_SECONDS = 5

#: What the system keeps of an answer for who reads slowly; by itself it would keep megabytes.
SEND_BUFFER_BYTES = 128 * 1024
#: Who takes longer to read what fills the buffers is cut off: a page comes back by itself, with its cursor.
SLOWEST_READ_SECONDS = 20
#: A connection whose other end acknowledges nothing for so long is dead, though nobody said so.
SILENT_PEER_SECONDS = 60


class Connection(HttpToolsProtocol):
    """A browser's connection. Readers that are too slow, or gone without a word, do not keep it for ever."""

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


class Server(uvicorn.Server):
    """Calls `ready` once it accepts connections. The app's lifespan is entered before and left after, by the caller."""

    def __init__(self, app: Litestar, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                # Longer than the minute after which common proxies drop an idle connection, so that they do it first.
                timeout_keep_alive=75,
            )
        )
        self._ready = ready

    def end(self) -> None:
        """Finish what is under way; called again: finish nothing."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: uvicorn would raise them again at its end, before the database is stopped."""
        yield
