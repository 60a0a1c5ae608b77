"""Who may not see a thread any more is not told of it any more: within five seconds, in the middle of an answer."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.e2e.model_server import ModelServer
from tests.faults.ledger import Acknowledged
from tests.faults.site import Site, Visitor, paced
from tests.scripted import OPENAI
from tests.watching import PROGRAM_SECONDS, within

Leave = Callable[[Visitor, Visitor, Acknowledged], Awaitable[httpx.Response]]

WAYS: dict[str, tuple[Leave, str]] = {
    "signing out": (lambda alice, olive, turn: alice.post("/sign-out"), "signed_out"),
    "ending all sign-ins": (lambda alice, olive, turn: olive.post("/sessions?_method=DELETE"), ""),
    "deactivation": (
        lambda alice, olive, turn: olive.post(f"/users/{alice.user}?_method=PATCH", is_active="false"),
        "signed_out",
    ),
    "deletion": (lambda alice, olive, turn: alice.post(f"/threads/{turn.thread}?_method=DELETE"), "gone"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_ends_when_its_reader_may_not_read_on(site: Site, models: ModelServer, way: str) -> None:
    leave, event = WAYS[way]
    models.defaults[OPENAI.kind] = paced("w", 2_000, 20)
    web = await site.serve()
    olive = await site.person(web.base_url, name="Olive")
    alice = await site.person(web.base_url)
    turn, others = await alice.begin("mine"), await olive.begin("hers")
    tabs = [await alice.tab(turn.thread).open() for _ in range(3)]
    elsewhere = await olive.tab(others.thread).open()
    await asyncio.gather(
        *(tab.until(lambda tab: tab.running and "w3" in tab.running.text) for tab in (*tabs, elsewhere))
    )
    assert (await leave(alice, olive, turn)).status_code < 400
    for tab in tabs if event else []:
        await tab.until(lambda tab: tab.is_gone)
        assert event in tab.events[-2:]
        assert (await alice.client.get(f"/threads/{turn.thread}/events")).status_code in (303, 401, 404)
    shown = elsewhere.running.text if elsewhere.running else ""
    await elsewhere.until(lambda tab: len(tab.running.text) > len(shown) if tab.running else False)
    if way == "deletion":
        # Nobody will read it: the model is not kept at it.
        async with within("the model's connection is closed", PROGRAM_SECONDS):
            await next(question for question in models.asked if b"mine" in question.body).closed.wait()
    await olive.stop(others.answer)
    for tab in (*tabs, elsewhere):
        await tab.close()
