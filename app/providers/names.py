"""Host names → IP addresses, in a few threads of our own and with a time limit (docs/decisions/0040).

The event loop's own look-ups share two threads with every new connection (uvloop's `sock_connect` resolves even IP
addresses there): two names whose name server is silent would hold up all calls, those to this machine too.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

#: A silent name server costs 5 s before the next one is asked (`man resolv.conf`).
LOOK_UP_SECONDS = 10.0
#: A name occupies one thread, however many callers ask for it.
MAX_THREADS = 16

GetAddrInfo = Callable[..., list[Any]]
Outcome = list[str] | OSError | ValueError


class _LookUp:
    """One that is waiting for a thread or has one, and the callers that wait for it."""

    def __init__(self) -> None:
        self.begun_at = time.monotonic()
        self.tells: list[Callable[[Outcome], None]] = []


class LookUps:
    """Looks names up. IP addresses and `localhost` need no look-up and never wait for one.

    `getaddrinfo` asks the system and may block. The threads end when they have no work, and do not keep the process alive.
    """

    def __init__(self, getaddrinfo: GetAddrInfo | None = None, *, seconds: float = LOOK_UP_SECONDS) -> None:
        self._getaddrinfo = getaddrinfo
        self._seconds = seconds
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: deque[tuple[str, int]] = deque()
        self._running: dict[tuple[str, int], _LookUp] = {}

    async def find(self, host: str, flags: int = 0) -> list[str]:
        """The IP addresses of a host. Raises `socket.gaierror`, EAI_AGAIN if no answer came in time, and `ValueError`.

        The limit counts from the beginning of a look-up: a name that hangs already is not waited for again.
        """
        if known := _known(host):
            return known
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        begun_at = self._ask((host, flags), partial(_tell, loop, answer))
        try:
            async with asyncio.timeout(begun_at + self._seconds - time.monotonic()):
                outcome = await answer
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered in time") from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _ask(self, name: tuple[str, int], tell: Callable[[Outcome], None]) -> float:
        with self._lock:
            if name not in self._running:
                if self._threads < MAX_THREADS:
                    threading.Thread(target=self._work, name="look-up", daemon=True).start()
                    self._threads += 1
                self._running[name] = _LookUp()
                self._waiting.append(name)
            self._running[name].tells.append(tell)
            return self._running[name].begun_at

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                name = self._waiting.popleft()
            outcome = self._look_up(*name)
            with self._lock:
                done = self._running.pop(name)
            for tell in done.tells:
                tell(outcome)

    def _look_up(self, host: str, flags: int) -> Outcome:
        getaddrinfo = self._getaddrinfo or socket.getaddrinfo
        try:
            infos = getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
        except (OSError, ValueError) as error:
            return error
        return list(dict.fromkeys(str(info[4][0]) for info in infos))


#: The look-ups of this process.
LOOK_UPS = LookUps()


def _known(host: str) -> list[str]:
    """The addresses that need no look-up: an IP address in any notation, and this machine's (RFC 6761, 6.3)."""
    if host.rstrip(".").lower() == "localhost":
        return ["::1", "127.0.0.1"]
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    with contextlib.suppress(OSError, ValueError):
        return [socket.inet_ntoa(socket.inet_aton(host))]
    return []


def _tell(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(_set, answer, outcome)


def _set(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)
