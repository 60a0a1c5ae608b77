"""`kill -9` of workers at random points of many answers, and workers that stand still: nothing is lost or doubled."""

import asyncio
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.e2e.model_server import ModelServer
from tests.faults.site import Site, Visitor, at_once, held, in_background, paced, words
from tests.scripted import OPENAI, Request, Script
from tests.tiers import in_tiers

WORKERS = 6
KILLERS = 4
THREADS = 10


class Answering(ModelServer):
    """Answers each question with numbered words of its own, at a pace of its own; begins some of them late."""

    def _answer_to(self, request: Request) -> Script:
        if request.path != OPENAI.chat_path:
            return super()._answer_to(request)
        tag = request.json["messages"][-1]["content"].split()[-1]
        if not tag.startswith("q"):
            return at_once("Title", 1)
        if "last q" in str(request.json["messages"][-1]["content"]):
            return held(asyncio.Event(), f"{tag}-", 40, 40, before=4)
        return paced(f"{tag}-", random.choice((4, 20, 40)), random.choice((15, 40, 200)))


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    async with Answering(["lantern-7b"]) as server:
        yield server


@pytest.mark.timeout(1_200)  # two minutes on a busy machine: one worker is started after the other
@pytest.mark.parametrize("kills", in_tiers(4, 100))
async def test_killed_workers_lose_no_turn(site: Site, models: ModelServer, kills: int) -> None:
    web = await site.web()
    people = [await site.person(web.base_url) for _ in range(4)]
    nursery = await site.nursery()
    workers = list(await asyncio.gather(*(nursery.worker(site.database) for _ in range(WORKERS))))
    numbers = itertools.count()
    is_over = asyncio.Event()

    async def converse(person: Visitor) -> None:
        """One question after the other in one thread, watched by a tab that is cut now and then."""
        thread = (await person.ask(f"begin q{next(numbers)}")).thread
        tab = await person.tab(thread).open()
        try:
            while not is_over.is_set():
                await tab.until(lambda tab: tab.articles and tab.running is None)
                try:
                    await person.ask(f"go on q{next(numbers)}", thread)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != 409:  # the tab was quicker than the thread
                        raise
                    await asyncio.sleep(0.05)
            await tab.until(lambda tab: tab.running is None)
        finally:
            await tab.close()

    async def has_cut_enough() -> bool:
        """Most of them killed idle workers otherwise, which proves little."""
        return bool(await site.database.fetchval(_HAS_CUT, kills // 4))

    async def kill() -> None:
        for number in itertools.count():
            if number >= kills // KILLERS and await has_cut_enough():
                return
            os.kill(workers.pop(random.randrange(len(workers))), signal.SIGKILL)
            workers.append(await nursery.worker(site.database))
            await asyncio.sleep(random.uniform(0, 1))

    async def look() -> None:
        while True:
            await asyncio.sleep(5)
            await site.checker.check_log()

    talks = [asyncio.create_task(converse(people[n % len(people)])) for n in range(THREADS)]
    async with in_background(look):
        await asyncio.gather(*(kill() for _ in range(KILLERS)))
        is_over.set()
        await asyncio.gather(*talks)
        # Half of the proof is what the last worker leaves behind when nobody takes its place.
        for person in people * 3:
            await person.ask(f"last q{next(numbers)}")
        await site.until("SELECT count(*) > 3 FROM generation WHERE state = 'running'")
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        await site.until_final()
    await site.checker.check()
    statuses = {row["status"]: row["n"] for row in await site.database.fetch(_STATUSES)}
    assert set(statuses) == {"complete", "interrupted"}
    assert statuses["interrupted"] >= kills // 4
    # Of every question that a model answered to its end, all of the answer is there.
    for row in await site.database.fetch(_COMPLETE):
        tag = row["question"].split()[-1]
        assert row["content"] in {"".join(words(f"{tag}-", count)) for count in (4, 20, 40)}
    calls: dict[str, int] = {}
    for request in models.asked:
        tag = request.json["messages"][-1]["content"].split()[-1]
        calls[tag] = calls.get(tag, 0) + 1
    assert max(calls.values()) <= 3


_STATUSES = "SELECT status, count(*) AS n FROM message WHERE role = 'assistant' GROUP BY status"
_HAS_CUT = "SELECT count(*) >= $1 FROM message WHERE status = 'interrupted'"
_COMPLETE = """
SELECT q.content AS question, a.content FROM message AS a JOIN message AS q ON q.id = a.parent
WHERE a.role = 'assistant' AND a.status = 'complete'
"""
