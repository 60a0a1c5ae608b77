"""Names → IP addresses, in a few threads of their own, each look-up with a limit in time.

The event loop's own look-ups share two threads with every new connection (uvloop's `sock_connect` resolves even IP
addresses there): two names whose name server is silent would hold up calls to this very machine.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

#: One silent name server out of two costs 5 s (`man resolv.conf`); what takes longer than this finds nothing in time.
LOOK_UP_SECONDS = 10.0
#: A name takes one of them however many ask for it, so this is how many names may be slow at a time.
MAX_THREADS = 16

GetAddrInfo = Callable[..., list[Any]]
Outcome = list[str] | OSError | UnicodeError


class LookUps:
    """Looks names up. IP addresses and `localhost` are known without a look-up, and never wait for one.

    `getaddrinfo`: what asks the system; it may block. The threads end by themselves, and never hold up the end of the process.
    """

    def __init__(self, getaddrinfo: GetAddrInfo | None = None, *, seconds: float = LOOK_UP_SECONDS) -> None:
        self._getaddrinfo = getaddrinfo
        self._seconds = seconds
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: deque[tuple[str, int]] = deque()
        self._askers: dict[tuple[str, int], list[Callable[[Outcome], None]]] = {}

    async def find(self, host: str, flags: int = 0) -> list[str]:
        """The IP addresses of a host. Raises `socket.gaierror`: EAI_AGAIN if no answer came in time; and `UnicodeError`."""
        if known := _known(host):
            return known
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._ask((host, flags), partial(_tell, loop, answer))
        try:
            async with asyncio.timeout(self._seconds):
                outcome = await answer
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered in time") from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _ask(self, name: tuple[str, int], tell: Callable[[Outcome], None]) -> None:
        with self._lock:
            if name in self._askers:
                self._askers[name].append(tell)
                return
            if self._threads < MAX_THREADS:
                threading.Thread(target=self._work, name="look-up", daemon=True).start()
                self._threads += 1
            self._askers[name] = [tell]
            self._waiting.append(name)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                name = self._waiting.popleft()
            outcome = self._look_up(*name)
            with self._lock:
                askers = self._askers.pop(name)
            for tell in askers:
                tell(outcome)

    def _look_up(self, host: str, flags: int) -> Outcome:
        getaddrinfo = self._getaddrinfo or socket.getaddrinfo
        try:
            infos = getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
        except (OSError, UnicodeError) as error:
            return error
        return list(dict.fromkeys(str(info[4][0]) for info in infos))


#: The look-ups of this process.
LOOK_UPS = LookUps()


def _known(host: str) -> list[str]:
    """What needs no look-up: an IP address, in any dress that `connect` understands, and this machine (RFC 6761, 6.3)."""
    if host.rstrip(".").lower() == "localhost":
        return ["::1", "127.0.0.1"]
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    with contextlib.suppress(OSError, ValueError):
        return [socket.inet_ntoa(socket.inet_aton(host))]
    return []


def _tell(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(_set, answer, outcome)


def _set(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)
