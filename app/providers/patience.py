"""One timer for all the waits of a stream: `asyncio.timeout` around every chunk costs more than decoding it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Waits with deadlines, one after the other. The timer is set anew only when it rings, or for an earlier deadline."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._deadline = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._is_over = False

    async def wait(self, awaited: Awaitable[T], deadline: float) -> T:
        """Raises `TimeoutError` once the loop's clock has passed `deadline`."""
        self._deadline = deadline
        if self._timer is None or deadline < self._rings_at:
            self._set_timer()
        task = asyncio.current_task()
        assert task is not None
        already_cancelling = task.cancelling()
        self._waiting = task
        try:
            return await awaited
        except asyncio.CancelledError:
            if self._is_over and task.uncancel() <= already_cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._waiting = None

    def end(self) -> None:
        """No more waits."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self.end()
        self._rings_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the reader is busy with what came last: its next wait sets the timer
        if self._loop.time() < self._deadline:
            self._set_timer()
            return
        self._is_over = True
        self._waiting.cancel()
