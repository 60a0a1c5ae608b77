"""One model of a server that fails, as people see it: which one it is, what still works, and that it is back."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from app.chat.circuit import MOST_FAILURES
from tests.e2e.chatting import answers, body, button, done, load_again
from tests.e2e.instance import Instance, thread_of
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.scripted import whole

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
BROKEN = whole(b'{"error": {"message": "out of oil"}}', status=503)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def lighthouse_goes(instance: Instance) -> AsyncIterator[None]:
    """What a test connects is gone after it."""
    yield
    await instance.sql("DELETE FROM provider WHERE name = 'Lighthouse'")


async def send(page: Page, instance: Instance, model: str, text: str, *, has_scripts: bool, status: str) -> None:
    # By its value: what the picker calls a model changes when it stops answering.
    found = await page.locator("#model option", has_text=model).first.get_attribute("value")
    await page.get_by_label("Model", exact=True).select_option(value=found)
    await page.get_by_label("Message", exact=True).fill(text)
    before = await answers(page).count()
    await page.get_by_role("button", name="Send").click()
    if has_scripts:
        await expect(answers(page)).to_have_count(before + 1)  # the one before may have ended in the same way
    else:
        await page.wait_for_url("**/threads/*")
        await instance.until_final(thread_of(page.url))
        await load_again(page)
    await done(page, status)


#: As the failed calls left it, for as long as the test looks at it: by itself its circuit would close after some seconds.
SILENCED = """
WITH silenced AS (
    UPDATE model SET failures = $1, down_since = coalesce(down_since, now()), trial_at = now() + interval '1 hour'
    WHERE name = 'beam-3b' AND failures >= $1 - 1 RETURNING id
)
SELECT pg_notify('parley_news', '{"key": "everybody", "event": "catalog"}') FROM silenced
"""


@SCRIPTS
async def test_the_one_that_fails_is_named_everywhere_and_its_neighbour_answers(
    windows: Windows, instance: Instance, has_scripts: bool
) -> None:
    async with ModelServer(["beam-3b", "gleam-1b"]) as server:
        await instance.connect("Lighthouse", server)
        server.scripts["beam-3b"] = BROKEN
        olive = await instance.add_person("Olive", is_owner=True)
        page = await windows.open(olive, java_script_enabled=has_scripts, width=390)
        thread = await instance.add_thread(olive, 1)
        await page.goto(f"/threads/{thread}")
        for question in ("One?", "Two?"):
            await send(page, instance, "beam-3b", question, has_scripts=has_scripts, status="failed")
        await expect(answers(page).last).to_contain_text("out of oil")
        assert await instance.sql(SILENCED, MOST_FAILURES)
        await send(page, instance, "beam-3b", "Three?", has_scripts=has_scripts, status="failed")
        await expect(answers(page).last.locator(".problem")).to_contain_text(
            "The model beam-3b does not answer at the moment, but its server does. Your question is kept."
        )
        await expect(button(page, "Try again")).to_be_visible()
        if not has_scripts:
            await load_again(page)
        beam = page.locator("#model option", has_text="beam-3b")
        await expect(beam).to_have_text("beam-3b · not answering")
        assert not await beam.is_disabled()
        await expect(page.locator("#model option", has_text="gleam-1b")).not_to_contain_text("not answering")
        await send(page, instance, "gleam-1b", "And you?", has_scripts=has_scripts, status="complete")
        await expect(body(page)).to_contain_text("Seven quiet lanterns")

        other = await windows.open(olive, java_script_enabled=has_scripts, width=390)
        await other.goto("/models")
        await expect(other.locator("li.model", has_text="beam-3b").locator(".tag.down")).to_have_text("not answering")
        await expect(other.locator("li.model", has_text="gleam-1b").locator(".tag.down")).to_have_count(0)
        await other.get_by_role("link", name="beam-3b").click()
        await expect(other.locator("#model-summary .error")).to_contain_text("Not answering since")
        await expect(other.locator("#model-summary .error")).to_contain_text("It answers with errors.")
        await other.goto("/providers")
        card = other.locator("ul.rows > li", has_text="Lighthouse")
        await expect(card.locator(".tag").first).to_have_text("working")
        await expect(card.locator(".error")).to_contain_text("Not answering: beam-3b")
        await other.goto("/status")
        row = other.locator("tr", has=other.get_by_role("rowheader", name="beam-3b · Lighthouse"))
        await expect(row).to_contain_text("The model has not answered for")

        server.scripts.clear()
        await instance.sql("UPDATE model SET trial_at = now() WHERE name = 'beam-3b'")
        if has_scripts:
            await expect(beam).not_to_contain_text("not answering")
        await send(page, instance, "beam-3b", "Back?", has_scripts=has_scripts, status="complete")
        await expect(body(page)).to_contain_text("Seven quiet lanterns")


@SCRIPTS
async def test_a_list_that_is_refused_keeps_its_models_and_says_what_it_is(
    windows: Windows, instance: Instance, has_scripts: bool
) -> None:
    async with ModelServer(["beam-3b"]) as server:
        await instance.connect("Lighthouse", server)
        server.answers["/v1/models"] = whole(b'{"error": {"message": "later"}}', 429, Retry_After="600")
        olive = await instance.add_person("Olive", is_owner=True)
        page = await windows.open(olive, java_script_enabled=has_scripts, width=390)
        await page.goto("/providers")
        await page.get_by_role("button", name="Check now: Lighthouse").click()
        card = page.locator("ul.rows > li", has_text="Lighthouse")
        await expect(card.locator(".tag").first).to_have_text("list not refreshed")
        await expect(card).to_contain_text("Lighthouse asks to slow down: later")
        await expect(card).to_contain_text("Its models stay available.")
        await expect(card.locator(".error")).to_have_count(0)  # red is for faults
        await page.goto(f"/threads/{await instance.add_thread(olive, 1)}")
        await send(page, instance, "beam-3b", "Hello?", has_scripts=has_scripts, status="complete")
        await expect(body(page)).to_contain_text("Seven quiet lanterns")
