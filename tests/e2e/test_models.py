"""The owner knows a model better than its server does: set by hand, with a script and without, by keyboard alone."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, done
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])


@pytest_asyncio.fixture(loop_scope="session")
async def olive(instance: Instance) -> AsyncIterator[Person]:
    """The owner; what was set by hand is taken back afterwards."""
    await instance.sql("UPDATE model SET set_by_owner = '{}'")
    yield await instance.add_person("Olive", is_owner=True)
    await instance.sql("UPDATE model SET set_by_owner = '{}'")


async def _open_model(page: Page) -> None:
    await page.goto("/providers")
    await page.locator("main").get_by_role("link", name="Models", exact=True).first.click()
    await page.get_by_role("link", name="lantern-7b").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("lantern-7b")


@SCRIPTS
async def test_facts_are_set_refused_and_taken_back(windows: Windows, olive: Person, has_scripts: bool) -> None:
    windows.expect([422])
    page = await windows.open(olive, java_script_enabled=has_scripts, width=390)
    await _open_model(page)
    await page.get_by_label("Sees images").select_option("yes")
    await page.get_by_label("Tokens in", exact=True).fill("-1")
    await page.locator("#model-facts").get_by_role("button", name="Save").click()
    await expect(page.locator("#error-input_price")).to_contain_text("A number from 0 to 100,000.")
    await expect(page.get_by_label("Tokens in", exact=True)).to_have_value("-1")
    await expect(page.get_by_label("Sees images")).to_have_value("true")
    await page.get_by_label("Tokens in", exact=True).fill("0,25")
    await page.locator("#model-facts").get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.locator(".said")).to_contain_text("vision · $0.25 in")
    await page.get_by_role("link", name="All models").click()
    await expect(page.get_by_role("listitem").filter(has_text="lantern-7b").first).to_contain_text("vision")
    await page.get_by_role("link", name="lantern-7b").click()
    await page.get_by_role("button", name="Take back everything set by hand").click()
    await expect(page.get_by_text("Nothing is known of it.")).to_be_visible()
    await expect(page.get_by_label("Sees images")).to_have_value("")


async def test_the_form_is_filled_by_keyboard_alone(windows: Windows, olive: Person) -> None:
    page = await windows.open(olive)
    await _open_model(page)
    await page.get_by_label("Calls tools").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_label("Calls tools")).to_have_value("true")
    for _field in range(3):
        await page.keyboard.press("Tab")
    await expect(page.get_by_label("Context window, in tokens")).to_be_focused()
    await page.keyboard.type("4096")
    await page.keyboard.press("Enter")
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.locator(".said")).to_contain_text("tools · a context of 4,096 tokens")
    await expect(page.get_by_label("Context window, in tokens")).to_be_focused()


async def test_what_an_answer_cost_stands_under_it(windows: Windows, olive: Person, models: ModelServer) -> None:
    page = await windows.open(olive)
    await _open_model(page)
    await page.get_by_label("Reasons before it answers").select_option("yes")
    await page.get_by_label("Tokens in", exact=True).fill("1000")
    await page.get_by_label("Tokens out").fill("2000")
    await page.locator("#model-facts").get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await page.goto("/")
    await expect(page.locator("#says")).to_contain_text("It costs $1,000.00 in, $2,000.00 out, per million tokens.")
    assert "lantern-7b · reasoning" in await page.locator("#model").inner_text()
    await ask(page, "What do you cost?")
    await done(page)
    figures = answers(page).last.locator(".figures")
    stored = await page.evaluate("() => document.querySelector('[data-as=dollars]').value")
    assert float(stored) > 0
    await expect(figures).to_contain_text("$0.0")
    await page.reload()
    await expect(figures).to_contain_text("$0.0")
