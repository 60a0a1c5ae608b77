"""Connecting a model server that is not quite as it should be: with a script and without, on a phone too."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.controllers.test_proposals import NOTHING, speak_only
from tests.e2e.chatting import ask, body, done
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.scripted import OPENAI

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPTS = pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
PHONE = {"width": 390, "height": 844}


@pytest_asyncio.fixture(loop_scope="session")
async def olive(instance: Instance) -> AsyncIterator[Person]:
    """The owner; what was connected is disconnected afterwards."""
    yield await instance.add_person("Olive", is_owner=True)
    await instance.sql("DELETE FROM provider WHERE name IN ('Pier', 'Quay')")


@pytest_asyncio.fixture(loop_scope="session")
async def pier() -> AsyncIterator[ModelServer]:
    """A server that speaks one protocol alone."""
    async with ModelServer(["lantern-7b"]) as running:
        speak_only(running, OPENAI)
        yield running


def form_of(page: Page) -> Locator:
    return page.locator("form").filter(has=page.get_by_label("Kind"))


async def assert_no_wider(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@SCRIPTS
async def test_a_pasted_endpoint_is_put_right_with_one_click(
    windows: Windows, olive: Person, pier: ModelServer, has_scripts: bool
) -> None:
    page = await windows.open(olive, java_script_enabled=has_scripts, **PHONE)
    await page.goto("/providers")
    form = form_of(page)
    await form.get_by_label("Name").fill("Pier")
    await form.get_by_label("Kind").select_option("ollama")
    await form.get_by_label("Base URL").fill(f"{pier.url}/v1/chat/completions")
    await form.get_by_label("It is on this machine or in my own network").check()
    await form.get_by_role("button", name="Test", exact=True).click()
    await expect(form.locator("#error-base_url")).to_contain_text(f"Did you mean {pier.url}/v1 (OpenAI-compatible)?")
    await assert_no_wider(page)
    await form.get_by_role("button", name="Use http").click()
    await expect(form.locator("#test")).to_contain_text("1 model in")
    await expect(form.get_by_label("Base URL")).to_have_value(f"{pier.url}/v1")
    await expect(form.get_by_label("Kind")).to_have_value("openai")
    await expect(form.locator(".proposal")).to_have_count(0)
    await form.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.get_by_role("listitem").filter(has_text="Pier").first).to_contain_text("working")


@SCRIPTS
async def test_what_connect_refused_is_connected_with_one_click(
    windows: Windows, olive: Person, pier: ModelServer, has_scripts: bool
) -> None:
    windows.expect([422])
    page = await windows.open(olive, java_script_enabled=has_scripts)
    await page.goto("/providers")
    form = form_of(page)
    await form.get_by_label("Name").fill("Quay")
    await form.get_by_label("Base URL").fill(pier.url.removeprefix("http://"))
    await form.get_by_label("It is on this machine or in my own network").check()
    await form.get_by_label("Base URL").press("Enter")
    await form.get_by_role("button", name="Use http").click()
    await expect(page.get_by_role("listitem").filter(has_text="Quay").first).to_contain_text("1 model")


@SCRIPTS
async def test_a_server_without_a_list_answers_by_a_model_that_was_named(
    windows: Windows, olive: Person, pier: ModelServer, has_scripts: bool
) -> None:
    windows.expect([422])
    pier.answers["/v1/models"] = NOTHING
    page = await windows.open(olive, java_script_enabled=has_scripts, **PHONE)
    await page.goto("/providers")
    form = form_of(page)
    await form.get_by_label("Name").fill("Pier")
    await form.get_by_label("Base URL").fill(f"{pier.url}/v1")
    await form.get_by_label("It is on this machine or in my own network").check()
    await form.get_by_role("button", name="Test", exact=True).click()
    await expect(form.locator("#test")).to_contain_text("Server found, but it does not list models.")
    await form.get_by_role("button", name="Connect", exact=True).click()
    card = page.get_by_role("listitem").filter(has_text="Pier").first
    await expect(card).to_contain_text("This server does not list models; add one by name.")
    await card.get_by_role("button", name="Add", exact=True).click()
    await expect(card.locator("details[open] .error")).to_be_visible()
    await card.get_by_label("Model name, exactly as the server calls it").fill("harbour-70b")
    await assert_no_wider(page)
    await card.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("#flash")).to_have_text("harbour-70b added.")
    await page.goto("/models")
    await page.get_by_role("link", name="harbour-70b").click()
    await expect(page.get_by_text("added by name").first).to_be_visible()
    await page.get_by_role("link", name="Start a thread").click()
    pier.say("At dusk.")
    if has_scripts:
        await ask(page, "When?")
        await done(page)
        await expect(body(page)).to_have_text("At dusk.")
    await page.goto("/models")
    await page.get_by_role("link", name="harbour-70b").click()
    await page.get_by_role("link", name="Delete…").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator("#flash")).to_have_text("Deleted.")
    await expect(page.get_by_role("link", name="harbour-70b")).to_have_count(0)
