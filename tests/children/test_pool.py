"""The pool against children that break in every way: the request fails, the pool goes on, nothing is left behind."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest
from structlog.testing import capture_logs

from app.children.pool import Busy, Failed, Pool
from app.html.render_requests import RenderParts, decode_answer, encode_request
from app.parts import TextPart
from tests.children.broken import DEADLY
from tests.tiers import in_tiers, soaked
from tests.watching import SECONDS, until

BROKEN = "tests.children.broken"
SOUND = '<p dir="auto">fine</p>'
WAIT_FOR_EVER = {"hang", "hold"}


async def ask(pool: Pool, text: str, *, person: str = "", seconds: float | None = None) -> str:
    request = encode_request(RenderParts([TextPart(text)], "a"))
    (html,) = decode_answer(await pool.ask(request, person=person, seconds=seconds))
    return html


def children() -> set[int]:
    """This process's children, zombies too."""
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """One of two children, with times for a machine that is busy with other tests."""
    before = children()
    made = Pool(BROKEN, size=2, deadline_seconds=60, wait_seconds=120)
    yield made
    await made.close()
    assert children() == before


async def test_nothing_is_started_before_the_first_request(pool: Pool) -> None:
    before = children()
    assert await ask(pool, "fine") == SOUND
    assert len(children() - before) == 1


async def test_a_child_answers_one_request_after_the_other(pool: Pool) -> None:
    await ask(pool, "fine")
    first = children()
    assert [await ask(pool, f"fine {number}") for number in range(20)] == [
        f'<p dir="auto">fine {n}</p>' for n in range(20)
    ]
    assert children() == first


async def test_a_long_request_and_a_long_answer_arrive_whole(pool: Pool) -> None:
    words = ("word " * 100).strip()
    assert await ask(pool, f"{words}\n\n" * 900) == f'<p dir="auto">{words}</p>' * 900


@pytest.mark.parametrize("moment", ["with its first request", "later"])
@pytest.mark.parametrize("fault", [soaked(fault) if fault == "burn" else fault for fault in DEADLY])
async def test_a_broken_child_costs_its_request_alone(pool: Pool, fault: str, moment: str) -> None:
    before = children()
    if moment == "later":
        assert await ask(pool, "fine") == SOUND
    with pytest.raises(Failed):
        await ask(pool, f"[[{fault}]]", seconds=1 if fault in WAIT_FOR_EVER else None)
    assert await ask(pool, "fine") == SOUND
    assert len(children() - before) == 1


async def test_a_child_that_computes_has_its_processor_time_however_busy_the_machine_is(pool: Pool) -> None:
    """The deadline on the wall is shorter than two seconds; it ends only what waits for something else.

    It is lengthened ten times at most. So a child that hardly gets a processor is given longer ones.
    """
    for seconds in (1.5, 1.5, 10):
        with capture_logs() as logs, pytest.raises(Failed):
            await ask(pool, "[[burn]]", seconds=seconds)
        if logs[0]["code"] == -signal.SIGXCPU:
            return
    pytest.fail(f"It was never ended by the kernel: {logs}")


async def test_what_a_library_prints_is_no_answer(pool: Pool) -> None:
    assert await ask(pool, "[[print]]") == '<p dir="auto">[[print]]</p>'
    assert await ask(pool, "fine") == SOUND


async def test_a_child_that_died_while_it_waited_costs_no_request(pool: Pool) -> None:
    before = children()
    await ask(pool, "fine")
    (idle,) = children() - before
    os.kill(idle, signal.SIGKILL)
    psutil.Process(idle).wait(SECONDS)
    assert await ask(pool, "fine") == SOUND


@pytest.mark.parametrize("module", ["tests.children.missing", "tests.children.ends_at_once", "tests.children.babbles"])
async def test_a_program_that_does_not_start_says_nothing_about_the_request(pool: Pool, module: str) -> None:
    pool.program = module
    with pytest.raises(Busy):
        await ask(pool, "fine")
    pool.program = BROKEN
    assert await ask(pool, "fine") == SOUND


async def test_a_program_that_hangs_at_its_start_is_given_up(pool: Pool) -> None:
    pool.program, pool.start_seconds = "tests.children.silent", 0.5
    with pytest.raises(Busy):
        await ask(pool, "fine")
    assert pool.counts == (0, 0)


async def test_a_cancelled_request_leaves_no_busy_child(pool: Pool) -> None:
    before = children()
    for person in ("Alice", "Alice", "Alice"):
        asking = asyncio.create_task(ask(pool, "[[hang]]", person=person))
        await until("a child is started", lambda: children() != before)
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert await ask(pool, "fine", person="Alice") == SOUND


async def test_one_person_never_keeps_all_children_busy(pool: Pool) -> None:
    hanging = [asyncio.create_task(ask(pool, "[[hang]]", person="Alice")) for _ in range(5)]
    assert await ask(pool, "fine", person="Bob") == SOUND
    for each in hanging:
        each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await each
    assert await ask(pool, "fine", person="Alice") == SOUND


async def test_who_finds_no_free_child_is_told_that_they_are_busy(pool: Pool) -> None:
    hanging = [asyncio.create_task(ask(pool, "[[hang]]", person=person)) for person in ("Alice", "Bob")]
    await until("two children are busy", lambda: pool.counts[0] == 2, shows=lambda: pool.counts)
    pool.wait_seconds = 0.1
    with pytest.raises(Busy):
        await ask(pool, "fine", person="Olive")
    for each in hanging:
        each.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert await ask(pool, "fine", person="Olive") == SOUND


async def test_closing_ends_a_request_under_way_and_blames_nobody(pool: Pool) -> None:
    asking = asyncio.create_task(ask(pool, "[[hang]]"))
    await until("a child is busy", lambda: pool.counts[0] == 1, shows=lambda: pool.counts)
    await pool.close()
    with pytest.raises(Busy):
        await asking


async def test_an_idle_child_ends(pool: Pool) -> None:
    before = children()
    await ask(pool, "fine")
    pool.idle_seconds = 0.1
    running = asyncio.create_task(pool.run())
    await until("the idle child has ended", lambda: children() == before, shows=children)
    running.cancel()
    assert await ask(pool, "fine") == SOUND


@pytest.mark.parametrize("kills", in_tiers(5, 50))
async def test_kills_leave_no_zombie_and_no_descriptor(pool: Pool, kills: int) -> None:
    await ask(pool, "fine")
    before, descriptors = len(children()), psutil.Process().num_fds()
    for _ in range(kills):
        with pytest.raises(Failed):
            await ask(pool, "[[killed]]")
    assert await ask(pool, "fine") == SOUND

    def left() -> tuple[int, int]:
        return len(children()), psutil.Process().num_fds()

    await until(f"{before} children and {descriptors} descriptors", lambda: left() == (before, descriptors), shows=left)
