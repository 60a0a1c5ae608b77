"""Double submits: whoever clicks twice, goes back, or tries again after a cut line asks once."""

import asyncio

import pytest

from app.database import new_id
from tests.e2e.model_server import ModelServer
from tests.faults.site import Site, at_once
from tests.scripted import OPENAI
from tests.tiers import in_tiers


@pytest.mark.parametrize(("begun", "continued"), in_tiers((4, 3), (40, 30)))
async def test_double_submits_make_one_turn_each(site: Site, models: ModelServer, begun: int, continued: int) -> None:
    models.defaults[OPENAI.kind] = at_once("w", 3)
    web = await site.serve()
    alice = await site.person(web.base_url)
    # Forms of new threads, each sent 10 times at once.
    requests = [new_id() for _ in range(begun)]
    turns = await asyncio.gather(*(alice.ask(f"new {r}", request_id=r) for r in requests for _ in range(10)))
    assert len({turn.thread for turn in turns}) == begun
    await site.until_final()
    # Composers of threads, each sent 10 times at once, and again twice when all is over.
    again = [(turn.thread, new_id()) for turn in turns[::10][:continued]]
    sends = [alice.ask(f"more {r}", thread, r) for thread, r in again for _ in range(10)]
    answers = {turn.answer for turn in await asyncio.gather(*sends)}
    await site.until_final()
    sends = [alice.ask(f"more {r}", thread, r) for thread, r in again for _ in range(10)]
    assert {turn.answer for turn in await asyncio.gather(*sends)} == answers
    assert len(site.ledger.turns) == 10 * begun + 20 * continued
    await site.checker.check()
    assert (await site.row("SELECT count(*) AS n FROM message"))["n"] == 2 * (begun + continued)
    assert len(models.asked) == begun + continued
