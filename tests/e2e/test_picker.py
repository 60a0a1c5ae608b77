"""A model server goes and comes back while pages are open: the picker says so, and so does the page that waits for it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.chatting import answers, assert_as_reloaded, body, done, load_again
from tests.e2e.instance import Instance
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.tiers import crossed
from tests.watching import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Whether what the toast says looks like good news.
_IS_GOOD = """
() => {
  const toast = document.querySelector(".toast");
  const probe = toast.appendChild(document.createElement("i"));
  probe.style.color = "var(--ok)";
  const isGood = getComputedStyle(probe).color === getComputedStyle(toast).borderTopColor;
  probe.remove();
  return isGood;
}
"""

#: As five failed calls leave it. It is not looked at before the test has seen that.
DOWN = """
WITH down AS (
    UPDATE provider SET failures = 5, failing_since = now(), probes = 1, state = 'down', error = 'It does not answer.',
        down_since = now(), probe_at = now() + interval '1 hour'
    WHERE ($1 = '' AND is_enabled) OR name = $1 RETURNING id
)
SELECT pg_notify('parley_news', '{"key": "everybody", "event": "catalog"}') FROM down LIMIT 1
"""


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def all_are_up(instance: Instance) -> AsyncIterator[None]:
    """Whatever a test that failed left behind, the next one finds the servers as they were."""
    yield
    await instance.sql("UPDATE provider SET failures = 0, failing_since = NULL, state = 'ok', probe_at = NULL")
    await instance.sql("DELETE FROM provider WHERE name = 'Lighthouse'")


UNTOLD = DOWN.partition("SELECT pg_notify")[0] + "SELECT id FROM down"
#: Whatever is down is looked at now.
DUE = "UPDATE provider SET probe_at = now() WHERE probe_at IS NOT NULL"
TOLD = """SELECT pg_notify('parley_news', '{"key": "everybody", "event": "catalog"}')"""


async def test_a_server_that_goes_and_comes_back_is_seen_in_every_open_page(
    windows: Windows, instance: Instance
) -> None:
    async with ModelServer(["beam-3b", "gleam-1b"]) as other:
        await instance.connect("Lighthouse", other)
        olive = await instance.add_person("Olive", is_owner=True)
        thread = await instance.add_thread(olive, 1)
        page = await windows.open(olive)
        await page.goto(f"/threads/{thread}")
        await expect(page.locator("#messages article")).to_have_count(2)
        beam = page.locator("#model option", has_text="beam-3b")
        gleam = page.locator("#model option", has_text="gleam-1b")
        await page.locator("#model").select_option(label="beam-3b")
        await instance.sql(DOWN, "Lighthouse")

        async def is_heard() -> bool:
            await instance.sql(TOLD)  # said again: the page may not have listened yet
            return "down" in (await beam.text_content() or "")

        await until("the page's word that beam-3b is down", is_heard)
        await expect(beam).to_have_text("beam-3b · down")
        await expect(gleam).to_contain_text("down since")
        await expect(gleam).not_to_contain_text("UTC")  # it is the reader's own time
        assert await page.locator("#model").evaluate("select => select.selectedOptions[0].label.startsWith('beam')")
        assert not await beam.is_disabled()
        await instance.sql(DUE)
        await expect(page.locator("#notice")).to_have_text("Lighthouse is back.")
        assert await page.evaluate(_IS_GOOD)
        await expect(beam).not_to_contain_text("down")
        assert await page.locator("#model").evaluate("select => select.selectedOptions[0].label.startsWith('beam')")
        await instance.sql("DELETE FROM provider WHERE name = 'Lighthouse'")


async def test_the_page_of_a_new_thread_asks_by_itself(windows: Windows, instance: Instance) -> None:
    olive = await instance.add_person("Olive", is_owner=True)
    page = await windows.open(olive)
    await page.clock.install()
    await page.goto("/")
    await expect(page.locator("#model")).to_be_visible()
    async with ModelServer(["beam-3b"]) as other:
        await instance.connect("Lighthouse", other)
        await page.clock.fast_forward(21_000)
        await expect(page.locator("#model option", has_text="beam-3b")).to_have_count(1)
        await instance.sql("DELETE FROM provider WHERE name = 'Lighthouse'")


@pytest.mark.parametrize(("has_scripts", "has_other"), crossed([True, False], [True, False]))
async def test_a_question_that_nobody_could_answer_is_kept_and_tried_again_when_somebody_can(
    windows: Windows, instance: Instance, models: ModelServer, has_other: bool, has_scripts: bool
) -> None:
    async with ModelServer(["beam-3b"]) as other:
        if has_other:
            await instance.connect("Lighthouse", other)
        olive = await instance.add_person("Olive")
        thread = await instance.add_thread(olive, 1)
        page = await windows.open(olive, java_script_enabled=has_scripts)
        await page.goto(f"/threads/{thread}")
        await page.get_by_label("Model", exact=True).select_option(label="lantern-7b")
        await instance.sql(DOWN, "Harbour" if has_other else "")
        models.say("I am back.")
        await page.get_by_label("Message", exact=True).fill("And now?")
        await page.get_by_role("button", name="Send").click()
        if has_scripts:
            await done(page, "failed")
        else:
            await instance.until_final(thread)
            await load_again(page)
        problem = answers(page).last.locator(".problem")
        again = answers(page).last.get_by_role("button", name="Try again")
        await expect(problem).to_contain_text("Harbour does not answer at the moment. Your question is kept.")
        await expect(problem).not_to_contain_text("It answers again")
        await expect(again).to_be_visible() if has_other else await expect(again).to_be_hidden()
        await expect(problem.locator(".needs-script")).to_be_visible(visible=has_scripts)
        await expect(problem.locator("noscript")).to_be_visible(visible=not has_scripts)
        if has_scripts:
            await assert_as_reloaded(page)
        await instance.sql(DUE)
        if has_scripts:
            await expect(page.locator("#notice")).to_contain_text("is back.")
        else:
            await instance.until_found(
                "Harbour's return", "SELECT 1 FROM provider WHERE name = 'Harbour' AND state = 'ok'"
            )
            await load_again(page)
        await expect(problem).to_contain_text("It answers again: you can try again now.")
        await again.click()
        if not has_scripts:
            await instance.until_final(thread)
            await load_again(page)
        await expect(body(page)).to_have_text("I am back.")
        await instance.sql("DELETE FROM provider WHERE name = 'Lighthouse'")


async def test_a_page_that_did_not_hear_who_went_down_learns_it_with_the_answer(
    windows: Windows, instance: Instance
) -> None:
    """It was drawn before, and did not listen yet when it was told."""
    olive = await instance.add_person("Olive")
    page = await windows.open(olive)
    await page.goto(f"/threads/{await instance.add_thread(olive, 1)}")
    await page.get_by_label("Model", exact=True).select_option(label="lantern-7b")
    await instance.sql(UNTOLD, "")
    await page.get_by_label("Message", exact=True).fill("And now?")
    await page.get_by_role("button", name="Send").click()
    await done(page, "failed")
    await expect(page.locator("#model[data-none]")).to_have_count(1)
    await expect(answers(page).last.get_by_role("button", name="Try again")).to_be_hidden()
    await instance.sql(DUE)
    await expect(page.locator("#notice")).to_contain_text("is back.")
