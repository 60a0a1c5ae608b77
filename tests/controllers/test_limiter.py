"""Few requests at a time: the others wait in their order, and nobody is held up by one that waits for somebody else."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.controllers.limiter import Limiter
from tests.watching import within

START = {"type": "http.response.start", "status": 200, "headers": []}


class Desk:
    """An app whose requests end when they are told to; which of them were begun, in their order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.has_all = asyncio.Event()
        self.may_end = asyncio.Event()
        self.answers_at_once = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["number"])
        if len(self.begun) == 3:
            self.has_all.set()
        if self.answers_at_once:
            await send(START)
        await self.may_end.wait()
        if scope.get("breaks"):
            raise ValueError
        if not self.answers_at_once:
            await send(START)


def places(count: int) -> Callable[[Any], asyncio.Semaphore]:
    shared = asyncio.Semaphore(count)
    return lambda _scope: shared


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def ask(limiter: Limiter, number: int, **more: Any) -> None:
    async def send(message: Any) -> None:
        pass

    scope: Any = {"number": number, **more}
    receive: Any = None  # nothing is received
    await limiter(scope, receive, send)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_so_many_are_worked_on_and_the_others_follow_in_their_order(desk: Desk) -> None:
    limiter = Limiter(desk, places=places(2), most_held_seconds=60)
    asked = [asyncio.create_task(ask(limiter, number)) for number in range(5)]
    await settled()
    assert desk.begun == [0, 1]
    desk.may_end.set()
    await asyncio.gather(*asked)
    assert desk.begun == [0, 1, 2, 3, 4]


async def test_a_stream_holds_no_place_once_it_has_begun(desk: Desk) -> None:
    desk.answers_at_once = True
    limiter = Limiter(desk, places=places(1), most_held_seconds=60)
    asked = [asyncio.create_task(ask(limiter, number)) for number in range(3)]
    await settled()
    assert desk.begun == [0, 1, 2]
    desk.may_end.set()
    await asyncio.gather(*asked)
    # Each gave its place back once, not twice: there is still exactly one.
    desk.answers_at_once = False
    desk.may_end.clear()
    desk.begun.clear()
    again = [asyncio.create_task(ask(limiter, number)) for number in range(2)]
    await settled()
    assert desk.begun == [0]
    desk.may_end.set()
    await asyncio.gather(*again)


async def test_who_waits_for_somebody_else_does_not_hold_up_the_others(desk: Desk) -> None:
    limiter = Limiter(desk, places=places(1), most_held_seconds=0.01)
    asked = [asyncio.create_task(ask(limiter, number)) for number in range(3)]
    async with within("all three have begun"):
        await desk.has_all.wait()
    desk.may_end.set()
    await asyncio.gather(*asked)


async def test_a_request_that_breaks_or_is_broken_off_gives_its_place_back(desk: Desk) -> None:
    limiter = Limiter(desk, places=places(1), most_held_seconds=60)
    broken = asyncio.create_task(ask(limiter, 0, breaks=True))
    waiting = asyncio.create_task(ask(limiter, 1))
    await settled()
    waiting.cancel()
    desk.may_end.set()
    assert isinstance((await asyncio.gather(broken, waiting, return_exceptions=True))[0], ValueError)
    desk.may_end.clear()
    cut = asyncio.create_task(ask(limiter, 2))
    await settled()
    cut.cancel()
    last = asyncio.create_task(ask(limiter, 3))
    desk.may_end.set()
    await last
    assert desk.begun == [0, 2, 3]
