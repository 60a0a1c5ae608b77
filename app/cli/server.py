"""uvicorn, told what to do by us: our loop, our signals, our log, no lifespan of its own."""

import contextlib
import functools
import resource
import socket
from collections.abc import Callable, Iterator

import uvicorn
from litestar import Litestar

from app.cli.connection import Connection
from app.cli.front_door import FrontDoor

#: How long requests that are under way may take once we were told to end; streams end by themselves.
GRACE_SECONDS = 5


#: Each open page takes a file descriptor, and the usual soft limit is 1,024.
MOST_FILES = 65_536


def raise_file_limit() -> None:
    """Raise the soft limit of file descriptors to the hard one, which needs no privileges."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(uvicorn.Server):
    """Calls `ready` once it accepts connections. The app's lifespan is entered before and left after, by the caller."""

    def __init__(self, app: Litestar, ready: Callable[[], None], door: FrontDoor) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=functools.partial(Connection, door=door),  # type: ignore[arg-type]  # called as the class would be
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._ready = ready
        raise_file_limit()

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
