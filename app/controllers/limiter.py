"""The limiter: few requests are worked on at a time, the others wait in their order.

Two hundred turns sent within a second would otherwise all be half done at once: each flush of the live log would wait
behind all of them, and so would each first token. See docs/decisions/0028-few-requests-at-a-time.md.
"""

import asyncio
from collections.abc import Awaitable, Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

#: So many requests have a place at a time in one process.
PLACES = 2
#: What takes longer waits for somebody else, a model server or a thread, and needs no place for that.
MOST_HELD_SECONDS = 0.05


class Limiter:
    """ASGI middleware of every route. `places(scope)` are those that all requests of the process share.

    A place is held until the answer begins: an event stream holds none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        places: Callable[[Scope], asyncio.Semaphore],
        most_held_seconds: float = MOST_HELD_SECONDS,
    ) -> None:
        self._app = app
        self._places = places
        self._most_held_seconds = most_held_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        places = self._places(scope)
        await places.acquire()
        leave = _once(places.release)
        timer = asyncio.get_running_loop().call_later(self._most_held_seconds, leave)

        def send_and_leave(message: Message) -> Awaitable[None]:
            leave()
            return send(message)

        try:
            await self._app(scope, receive, send_and_leave)
        finally:
            leave()
            timer.cancel()


def _once(action: Callable[[], None]) -> Callable[[], None]:
    waiting = [action]

    def act() -> None:
        if waiting:
            waiting.pop()()

    return act
