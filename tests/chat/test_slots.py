"""So many answers at a time, and the number may change while some run."""

import asyncio

from app.chat.slots import Slots
from tests.watching import until, within


async def test_the_next_one_waits_until_one_is_given_back() -> None:
    slots = Slots(lambda: 1)
    await slots.take()
    assert slots.are_full
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    slots.release()
    async with within("a slot that was given back"):
        await waiting


async def test_a_larger_number_lets_the_next_one_in_and_a_smaller_one_takes_nothing_away() -> None:
    most = [1]
    slots = Slots(lambda: most[0])
    await slots.take()
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0.01)
    most[0] = 2
    async with within("a slot of the larger number"):
        await waiting
    most[0] = 1
    slots.release()
    assert slots.are_full
    slots.release()
    assert not slots.are_full


async def test_of_many_that_wait_only_as_many_get_in_as_there_is_room_for() -> None:
    slots = Slots(lambda: 2)
    tasks = [asyncio.create_task(slots.take()) for _number in range(5)]
    for room in (2, 3):
        await until("those for whom there is room", lambda: sum(task.done() for task in tasks) >= room)  # noqa: B023
        await asyncio.sleep(0.01)
        assert sum(task.done() for task in tasks) == room
        slots.release()
    for task in tasks:
        task.cancel()
