"""Texts that are deadly to process, as question, streaming answer, title and reload: how long another person waits."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import msgspec

from tests.bench.instance import THEIRS, Instance, on_core
from tests.bench.timed_tab import TimedTab
from tests.bench.turns import percentile
from tests.programs import ROOT
from tests.wire import Caller

TIMEOUT_SECONDS = 30.0
PEOPLE = 3
#: An answer with nothing in it fails: it is answered all the same.
ENDED = "the answer ended as"
#: How long after an answer its title may still be asked for and stored.
TITLE_SECONDS = 0.3


class Waits(msgspec.Struct, frozen=True):
    """Milliseconds that another person's request took: in the middle, the longest, and the longest while each text was there."""

    usual: float
    longest: float
    by_text: Mapping[str, float]
    faults: Sequence[str]

    @property
    def worst(self) -> str:
        """The text beside which somebody waited longest."""
        return max(self.by_text, key=lambda name: self.by_text[name])


async def measure_waits(instance: Instance, model: Instance, texts: Mapping[str, str]) -> Waits:
    """Each text once, from question to reload, a few people at a time; another one asks for a page of their own meanwhile.

    `model`: the same instance, asking a model that says again what it is told.
    """
    bob, user = await instance.add_caller()
    (thread,) = await instance.add_threads(user, 1)
    await instance.fill_thread(thread, 2)
    waiting = _start_waiting(instance.address, f"/threads/{thread}", bob.cookie)
    spans: dict[str, tuple[float, float]] = {}
    faults: list[str] = []
    try:
        await asyncio.sleep(2)
        left = iter([(name, text, *await _someone(model)) for name, text in texts.items()])

        async def send_them() -> None:
            for name, text, caller, thread in left:
                began = time.monotonic()
                if fault := await _answer(TimedTab(caller, thread, model.model), caller, text):
                    faults.append(f"{name}: {fault}")
                spans[name] = (began, time.monotonic())

        await asyncio.gather(*(send_them() for _ in range(PEOPLE)))
    finally:
        said, _ = await asyncio.to_thread(waiting.communicate)
    asked: list[tuple[float, float]] = json.loads(said)
    by_text = {
        name: max((took for at, took in asked if began - took <= at <= ended), default=0.0) * 1000
        for name, (began, ended) in spans.items()
    }
    return Waits(percentile([took for _, took in asked], 50) * 1000, max(by_text.values()), by_text, faults)


def _start_waiting(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.waiting", *arguments]
    with on_core(THEIRS):
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def _someone(instance: Instance) -> tuple[Caller, str]:
    """A person with an empty thread, which gets its title from its first answer."""
    caller, user = await instance.add_caller()
    (thread,) = await instance.add_threads(user, 1)
    await instance.database.execute(
        "UPDATE thread SET is_named = false, title = 'New' WHERE id = $1::text::uuid", thread
    )
    return caller, thread


async def _answer(page: TimedTab, caller: Caller, text: str) -> str:
    """Question, answer and title in this thread, then its page anew. What went wrong."""
    await page.open()
    await page.turn(text, TIMEOUT_SECONDS)
    await asyncio.sleep(TITLE_SECONDS)
    for path in (f"/threads/{page.thread}", "/threads"):
        answer = await caller.fetch(caller.get(path))
        if answer.status != 200:
            return f"{path} answered {answer.status}"
    return "" if page.fault.startswith(ENDED) else page.fault
