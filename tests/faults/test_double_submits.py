"""A thousand double submits: whoever clicks twice, goes back, or tries again after a cut line asks once."""

import asyncio

from app.database import new_id
from tests.e2e.model_server import ModelServer
from tests.faults.site import Site, at_once
from tests.scripted import OPENAI


async def test_a_thousand_double_submits_make_one_turn_each(site: Site, models: ModelServer) -> None:
    models.defaults[OPENAI.kind] = at_once("w", 3)
    web = await site.serve()
    alice = await site.person(web.base_url)
    # Forms of new threads: 40 of them, each sent 10 times at once.
    requests = [new_id() for _ in range(40)]
    turns = await asyncio.gather(*(alice.ask(f"new {r}", request_id=r) for r in requests for _ in range(10)))
    assert len({turn.thread for turn in turns}) == 40
    await site.until_final()
    # Composers of threads: 30 of them, each sent 10 times at once, and again twice when all is over.
    again = [(turn.thread, new_id()) for turn in turns[::10][:30]]
    sends = [alice.ask(f"more {r}", thread, r) for thread, r in again for _ in range(10)]
    answers = {turn.answer for turn in await asyncio.gather(*sends)}
    await site.until_final()
    sends = [alice.ask(f"more {r}", thread, r) for thread, r in again for _ in range(10)]
    assert {turn.answer for turn in await asyncio.gather(*sends)} == answers
    assert len(site.ledger.turns) == 1_000
    await site.checker.check()
    assert (await site.row("SELECT count(*) AS n FROM message"))["n"] == 2 * 70
    assert len(models.asked) == 70
