"""Places that people take turns at: none is lost when people stop waiting, at any moment."""

import asyncio

import pytest

from app.children.turns import NoPlace, Turns


async def hold(turns: Turns, person: str, *, wait_seconds: float = 60) -> str:
    async with turns.place(person, wait_seconds=wait_seconds):
        return person


async def is_whole(turns: Turns, size: int) -> bool:
    """Whether all places can be taken, by as many people, and no more."""
    places = [turns.place(f"{number}", wait_seconds=0.05) for number in range(size)]
    for place in places:
        await place.__aenter__()
    with pytest.raises(NoPlace):
        await hold(turns, "one more", wait_seconds=0.05)
    for place in places:
        await place.__aexit__(None, None, None)
    return True


@pytest.mark.parametrize("person", ["Alice", "Bob"])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_place_that_becomes_free_while_a_wait_ends_is_not_lost(person: str, count: int) -> None:
    """A wait that was cancelled leaves the queue a moment later. A place that becomes free in between goes to the next."""
    turns = Turns(2)
    async with turns.place("Alice", wait_seconds=1), turns.place("Carol", wait_seconds=1):
        waiting = [asyncio.create_task(hold(turns, person)) for _ in range(count)]
        patient = asyncio.create_task(hold(turns, "Dave"))
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()  # they have not noticed yet
    assert await patient == "Dave"
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert await is_whole(turns, 2)


async def test_a_place_that_was_given_to_a_cancelled_wait_is_passed_on() -> None:
    turns = Turns(1)
    async with turns.place("Alice", wait_seconds=1):
        gone, patient = asyncio.create_task(hold(turns, "Bob")), asyncio.create_task(hold(turns, "Carol"))
        await asyncio.sleep(0)
    gone.cancel()  # it has the place already, and has not noticed yet
    assert await patient == "Carol"
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await is_whole(turns, 1)


async def test_waits_that_end_while_places_change_hands_cost_no_place() -> None:
    turns = Turns(2)

    async def use(number: int) -> None:
        try:
            async with turns.place(f"{number % 3}", wait_seconds=0.002 * (number % 5)):
                await asyncio.sleep(0.001 * (number % 4))
        except NoPlace:
            pass

    await asyncio.gather(*(use(number) for number in range(400)))
    assert await is_whole(turns, 2)
