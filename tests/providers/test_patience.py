"""Waiting with deadlines: expired, answered in time, cancelled from outside, and not expired by a slow reader."""

import asyncio
import contextlib

import pytest

from app.parts import TextDelta
from app.providers.base import Limits, Provider
from app.providers.patience import Patience
from tests.providers.conftest import collect, question
from tests.scripted import Dialect, Repeat, ScriptedServer, Send, Sleep, chunk


async def test_a_wait_ends_at_its_deadline_and_not_before() -> None:
    patience, clock = Patience(), asyncio.get_running_loop().time
    assert await patience.wait(asyncio.sleep(0.01, "done"), clock() + 120) == "done"
    began = clock()
    with pytest.raises(TimeoutError):
        await patience.wait(asyncio.Event().wait(), began + 0.1)  # earlier than the timer that is set
    assert 0.1 <= clock() - began < 60
    patience.end()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await asyncio.sleep(0)


async def test_deadlines_that_move_on_are_kept() -> None:
    patience, clock = Patience(), asyncio.get_running_loop().time
    with contextlib.suppress(TimeoutError):  # the machine may stand still
        await patience.wait(asyncio.sleep(0.06), clock() + 0.1)
    for _ in range(4):
        await patience.wait(asyncio.sleep(0.06), clock() + 60)  # meanwhile the first timer is due
    with pytest.raises(TimeoutError):
        await patience.wait(asyncio.Event().wait(), clock() + 0.1)
    patience.end()


async def test_time_between_waits_does_not_count() -> None:
    patience, clock = Patience(), asyncio.get_running_loop().time
    with contextlib.suppress(TimeoutError):  # the machine may stand still
        await patience.wait(asyncio.sleep(0), clock() + 0.05)
    await asyncio.sleep(0.1)
    assert await patience.wait(asyncio.sleep(0, "done"), clock() + 60) == "done"
    patience.end()


async def test_a_deadline_in_the_past_ends_at_once() -> None:
    patience = Patience()
    with pytest.raises(TimeoutError):
        await patience.wait(asyncio.Event().wait(), asyncio.get_running_loop().time() - 1)
    patience.end()


async def test_cancelling_from_outside_stays_cancelling() -> None:
    patience = Patience()
    waiting = asyncio.create_task(patience.wait(asyncio.Event().wait(), asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience.end()


async def test_being_cancelled_at_the_deadline_is_being_cancelled() -> None:
    patience, clock = Patience(), asyncio.get_running_loop().time

    async def wait() -> None:
        await patience.wait(asyncio.Event().wait(), clock() + 0.05)

    waiting = asyncio.create_task(wait())
    asyncio.get_running_loop().call_later(0.05, waiting.cancel)
    await asyncio.wait((waiting,))
    assert waiting.cancelled() or isinstance(waiting.exception(), TimeoutError)
    patience.end()


#: The server has said everything before it is asked for the rest.
SHORTLY = Limits(60, 0.4)


@pytest.fixture
def limits() -> Limits:
    return SHORTLY


async def test_a_slow_reader_is_not_taken_for_a_silent_server(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    word = chunk(dialect.text("word "))
    server.script(dialect.head(), Send(word * 2), Sleep(0.1), Send(word), Repeat(chunk(dialect.finish()), 1))
    events = provider.stream(question())
    heard = []
    for _ in range(3):
        heard.append(await anext(events))
        await asyncio.sleep(SHORTLY.between_frames_seconds * 1.5)
    outcome = await collect(events)
    assert heard == [TextDelta("word ")] * 3
    assert outcome.error is None
    assert len(outcome.finish) == 1
