"""Answers that break their renderer, in the real program: they are final, others notice nothing, and a restart serves at once."""

import asyncio

import httpx
import pytest

from app.children.pool import DEADLINE_SECONDS
from tests.e2e.model_server import ModelServer
from tests.faults.drawn_tab import DrawnArticle
from tests.faults.renderers import serve
from tests.faults.site import Site, Visitor
from tests.renderers import GIVEN_UP, NOT_YET, poison
from tests.tab import ARTICLE
from tests.tiers import soaked
from tests.watching import PROGRAM_SECONDS, until

FORMATTED = "# So\n\n```python\nprint(1)\n```\n\n$$x^2$$\n\n| a |\n|---|\n| b |\n"


async def answered(person: Visitor, models: ModelServer, *texts: str) -> list[str]:
    """Threads with an answer each, which no page has shown yet."""
    threads = []
    for text in texts:
        models.say(text)
        threads.append(str((await person.ask("Show me")).thread))
        await person.site.until_final()
    return threads


@pytest.mark.parametrize("fault", ["hang", soaked("hold"), soaked("burn")])
async def test_while_a_renderer_hangs_everything_else_is_answered(fault: str, site: Site, models: ModelServer) -> None:
    program = await serve(site, seconds=DEADLINE_SECONDS)
    alice, bob = [await site.person(program.base_url, name=name) for name in ("Alice", "Bob")]
    (healthy,) = await answered(alice, models, "**Well**")

    async def are_answered_meanwhile() -> bool:
        """Unless the machine was so busy that the renderer had been given up by then."""
        (hanging,) = await answered(alice, models, poison(fault))
        page = asyncio.create_task(alice.client.get(f"/threads/{hanging}"))
        await asyncio.sleep(0.2)
        async with httpx.AsyncClient(base_url=program.base_url, timeout=PROGRAM_SECONDS) as monitor:
            is_healthy = (await monitor.get("/health")).status_code == 200
        assert (await bob.client.get("/")).status_code == 200
        is_meanwhile = not page.done()
        assert NOT_YET in (await page).text
        return is_healthy and is_meanwhile

    await until("everybody is answered while a renderer hangs", are_answered_meanwhile, PROGRAM_SECONDS)
    assert "<strong>Well</strong>" in (await alice.client.get(f"/threads/{healthy}")).text
    await site.checker.check()


@pytest.mark.parametrize("fault", ["abort", soaked("hang")])
async def test_killed_before_and_during_a_rendering_the_program_serves_again(
    fault: str, site: Site, models: ModelServer
) -> None:
    program = await serve(site, seconds=DEADLINE_SECONDS)
    alice = await site.person(program.base_url)
    (thread,) = await answered(alice, models, poison(fault))
    await asyncio.to_thread(program.kill, with_children=False)
    again = await serve(site, seconds=DEADLINE_SECONDS)
    alice = await site.device(alice, again.base_url)
    page = asyncio.create_task(alice.client.get(f"/threads/{thread}"))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(again.kill, with_children=False)
    await asyncio.gather(page, return_exceptions=True)
    await until("its renderers end by themselves", lambda: not again.living_descendants(), PROGRAM_SECONDS)
    third = await serve(site, seconds=DEADLINE_SECONDS)
    alice = await site.device(alice, third.base_url)
    row = await site.row("SELECT status, content FROM message WHERE role = 'assistant'")
    assert (row["status"], row["content"]) == ("complete", poison(fault))

    async def is_given_up() -> bool:
        """After the second failure; on a busy machine, where no renderer is free, later."""
        page_text = (await alice.client.get(f"/threads/{thread}")).text
        assert f"[[{fault}]] &lt;b&gt;&amp;" in page_text
        return GIVEN_UP in page_text

    await until("the answer is not formatted any more", is_given_up, PROGRAM_SECONDS)
    models.say("*on*")
    assert (await alice.ask("Go on", thread)).answer
    await site.until_final()
    assert "<em>on</em>" in (await alice.client.get(f"/threads/{thread}")).text
    await site.checker.check()


async def test_alice_keeps_the_renderers_busy_and_bob_reads_his_answer(site: Site, models: ModelServer) -> None:
    program = await serve(site, seconds=DEADLINE_SECONDS)
    alice, bob = [await site.person(program.base_url, name=name) for name in ("Alice", "Bob")]

    async def reads_meanwhile() -> bool:
        """Unless the machine was so busy that Alice's renderers had been given up by then."""
        threads = await answered(alice, models, *[poison("hang")] * 5)
        pages = [asyncio.create_task(alice.client.get(f"/threads/{thread}")) for thread in threads]
        await asyncio.sleep(0.3)
        (his,) = await answered(bob, models, FORMATTED)
        assert "print" in (shown := (await bob.client.get(f"/threads/{his}")).text)
        assert 'data-status="complete"' in shown
        is_meanwhile = not all(page.done() for page in pages)
        for page in await asyncio.gather(*pages):
            assert NOT_YET in page.text
        return is_meanwhile

    await until("Bob reads while Alice keeps renderers busy", reads_meanwhile, PROGRAM_SECONDS)
    await site.checker.check()


async def test_a_tab_that_watched_shows_what_a_fresh_page_does(site: Site, models: ModelServer) -> None:
    program = await serve(site, seconds=PROGRAM_SECONDS)
    alice = await site.person(program.base_url)
    for text in (FORMATTED, poison("raise")):
        gate = asyncio.Event()
        models.say_until(gate, [text[:10]], [text[10:]])
        turn = await alice.begin("Show me")
        tab = await alice.tab(turn.thread, is_prose=False).open()
        gate.set()
        await tab.until(lambda tab, answer=str(turn.answer): tab.shows_end(answer))  # type: ignore[misc]
        if text != FORMATTED:  # the tab and this page failed; from now on all pages are the same
            assert NOT_YET in tab.articles[str(turn.answer)].html()
            await alice.client.get(f"/threads/{turn.thread}")
            await tab.close()
            tab = await alice.tab(turn.thread, is_prose=False).open()
        fresh = (await alice.client.get(f"/threads/{turn.thread}")).text
        articles = [DrawnArticle(found[0]) for found in ARTICLE.finditer(fresh)]
        assert [tab.articles[article.id].html() for article in articles] == [article.html() for article in articles]
        assert (GIVEN_UP in fresh) is (text != FORMATTED)
        await tab.close()
    await site.checker.check()
