"""A model server's hiccup, as a person sees it: another model answers, or the page counts down to the next try."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.e2e.chatting import answers, ask, body, button, done, load_again, load_until_status, see_the_end, stop
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.windows import Windows
from tests.scripted import Script, whole
from tests.watching import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
BROKEN = whole(b'{"error": {"message": "out of oil"}}', status=503)


@pytest_asyncio.fixture(loop_scope="session")
async def olive(instance: Instance) -> AsyncIterator[Person]:
    """The owner; scripts, fallbacks and circuits are as before afterwards."""
    yield await instance.add_person("Olive", is_owner=True)
    instance.models.forget()
    await instance.sql("UPDATE model SET fallbacks = '[]'")
    await instance.sql("UPDATE provider SET failures = 0, failing_since = NULL, state = 'ok', probe_at = NULL")


@SCRIPTS
async def test_another_model_answers_and_the_page_says_so(
    windows: Windows, instance: Instance, olive: Person, has_scripts: bool
) -> None:
    page = await windows.open(olive, java_script_enabled=has_scripts, width=390)
    await page.goto("/models")
    await page.get_by_role("link", name="lantern-7b").click()
    await page.get_by_label("Then try").select_option(label="tide-2b")
    await page.get_by_role("button", name="Set the order").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.get_by_label("Then try").locator("option:checked")).to_have_text("tide-2b")

    instance.models.scripts["lantern-7b"] = BROKEN
    instance.models.scripts["tide-2b"] = instance.models.defaults["openai"]
    await page.goto("/")
    await page.get_by_label("Model", exact=True).select_option(label="lantern-7b")
    if has_scripts:
        await ask(page, "Is anybody there?")
        await done(page)
    else:
        await page.get_by_label("Message", exact=True).fill("Is anybody there?")
        await page.get_by_role("button", name="Send").click()
        await instance.until_final(thread_of(page.url))
        await load_again(page)
    await expect(body(page)).to_contain_text("Seven quiet lanterns")
    await expect(answers(page).last).to_contain_text("lantern-7b did not answer:")
    await expect(answers(page).last.locator(".figures")).to_contain_text("tide-2b")


@SCRIPTS
async def test_the_form_shows_the_order_that_is_stored(
    windows: Windows, instance: Instance, olive: Person, has_scripts: bool
) -> None:
    page = await windows.open(olive, java_script_enabled=has_scripts)
    await page.goto("/models")
    await page.get_by_role("link", name="lantern-7b").click()
    await page.get_by_label("After that").select_option(label="tide-2b")
    await page.get_by_role("button", name="Set the order").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.get_by_label("Then try").locator("option:checked")).to_have_text("tide-2b")
    await expect(page.get_by_label("After that").locator("option:checked")).to_have_text("nothing")
    if has_scripts:
        await expect(page.get_by_role("button", name="Set the order")).to_be_focused()


@SCRIPTS
async def test_the_page_counts_down_to_the_next_try(
    windows: Windows, instance: Instance, olive: Person, has_scripts: bool
) -> None:
    """A long pause, which no machine misses, is stopped; the answer that comes after a short one is seen."""
    instance.models.script(*limited("59"))
    page = await windows.open(olive, java_script_enabled=has_scripts)
    await page.goto("/")
    await page.get_by_label("Message", exact=True).fill("How busy are you?")
    await page.get_by_role("button", name="Send").click()
    if has_scripts:
        await assert_counted_down(page)
        await stop(page)
        await done(page, "stopped")
    else:
        frame = page.frame_locator("iframe.live")
        await expect(frame.locator("body")).to_contain_text("Trying again in")
        await frame.get_by_role("button", name="Stop").click()
        await load_until_status(page, "stopped")
    instance.models.script(*limited("1"))
    await button(page, "Try again").click()
    await (done(page) if has_scripts else see_the_end(page))
    await expect(body(page)).to_contain_text("Seven quiet lanterns")


def limited(seconds: str) -> Script:
    """A server that wants to be asked again after so long."""
    return whole(b'{"error": {"message": "slow down"}}', status=429, Retry_After=seconds)


async def assert_counted_down(page: Page) -> None:
    """The seconds until the next try get fewer; there are dozens of them at first."""
    waiting = answers(page).last.locator(".waiting")
    await expect(waiting).to_contain_text(re.compile(r"Trying again in [1-5]\d"))

    async def left() -> int:
        found = re.search(r"in (\d+)", await waiting.inner_text())
        assert found, await waiting.inner_text()
        return int(found[1])

    first = await left()

    async def are_fewer() -> bool:
        return await left() < first

    await until("fewer seconds", are_fewer)


async def test_every_pause_is_counted_down(windows: Windows, instance: Instance, olive: Person) -> None:
    for seconds in ("2", "59"):
        instance.models.script(*limited(seconds))
    page = await windows.open(olive)
    await page.goto("/")
    await page.get_by_label("Message", exact=True).fill("How busy are you?")
    await page.get_by_role("button", name="Send").click()
    await assert_counted_down(page)
    await stop(page)
    await done(page, "stopped")


async def test_on_a_slow_link_waiting_is_counted_from_when_the_page_was_drawn(
    windows: Windows, instance: Instance, olive: Person
) -> None:
    async def hold(route: Route) -> None:
        await asyncio.sleep(3)
        await route.continue_()

    instance.models.say_until(gate := asyncio.Event(), (), ["Yes."])
    page = await windows.open(olive)
    await page.goto("/")
    await ask(page, "Are you awake?")
    await page.route("**/*.css*", hold)
    await load_again(page)
    waiting = answers(page).last.locator(".waiting")
    await expect(waiting).to_contain_text("·")
    assert int((await waiting.inner_text()).partition("·")[2].split()[0]) >= 3
    gate.set()
    await done(page)


async def test_when_it_is_down_the_question_is_kept_until_it_is_back(
    windows: Windows, instance: Instance, olive: Person
) -> None:
    page = await windows.open(olive)
    await page.goto("/")
    await ask(page, "One")
    await done(page)
    await instance.sql(
        "UPDATE provider SET failures = 5, failing_since = now(), state = 'down', error = 'Out of oil.', down_since = now(),"
        " probe_at = now() + interval '1 hour'"
    )
    await ask(page, "And two?")
    await done(page, "failed")
    await expect(answers(page).last).to_contain_text("Your question is kept")
    await expect(page.locator("article.user").last).to_contain_text("And two?")
    await instance.sql(
        "UPDATE provider SET failures = 0, failing_since = NULL, state = 'ok', error = '', down_since = NULL, probe_at = NULL"
    )
    # As whoever finds it up says: until then the page offers nothing to try.
    await instance.sql("""SELECT pg_notify('parley_news', '{"key": "everybody", "event": "catalog"}')""")
    await button(page, "Try again").click()
    await done(page)
    await expect(body(page)).to_contain_text("Seven quiet lanterns")


async def test_a_server_that_goes_is_found_out_and_its_return_said_where_it_failed(
    windows: Windows, instance: Instance, olive: Person
) -> None:
    """All of it by itself: the call fails, the server is looked at, shown as down, probed, and found back."""
    move = "UPDATE provider SET base_url = replace(base_url, $1, $2) WHERE kind = 'openai'"
    page = await windows.open(olive)
    await page.goto("/")
    await instance.sql(move, "127.0.0.1", "127.0.0.2")  # where nobody listens
    try:
        await ask(page, "Is anybody there?")
        await done(page, "failed")
        card = answers(page).last
        await expect(card).to_contain_text("could not be reached")
        await expect(card).to_contain_text("This page says when it is back.")
        await expect(card.locator(".figures")).to_contain_text("lantern-7b did not answer")
        await expect(page.locator("#model option:checked")).to_contain_text("down", timeout=120_000)
    finally:
        await instance.sql(move, "127.0.0.2", "127.0.0.1")
    await expect(card).to_contain_text("It answers again: you can try again now.", timeout=120_000)
    await button(page, "Try again").click()
    await done(page)
    await expect(body(page)).to_contain_text("Seven quiet lanterns")
