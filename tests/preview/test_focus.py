"""What opens over a page: where it stands, who has the focus meanwhile, and who has it afterwards."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.chromium import MOST_MS
from tests.preview.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

_IS_INSIDE = "id => document.getElementById(id).contains(document.activeElement)"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    yield opened
    await context.close()


async def test_the_options_keep_the_focus_until_they_close(site: Site, page: Page) -> None:
    await page.goto(site.address + "/short")
    await page.get_by_role("button", name="Options").click()
    await expect(page.locator("#options-title")).to_be_focused()
    for _ in range(14):
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement === document.body") or await page.evaluate(
            _IS_INSIDE, "options-panel"
        )
    await page.keyboard.press("Escape")
    await expect(page.locator("#options-panel")).to_be_hidden()
    await expect(page.get_by_role("button", name="Options")).to_be_focused()
    await expect(page.locator("[inert]")).to_have_count(0)


async def test_shortcuts_opened_from_the_drawer_leave_the_page_usable(site: Site, page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(site.address + "/short")
    await page.get_by_role("button", name="Threads and settings").click()
    assert await page.evaluate(_IS_INSIDE, "sidebar")
    await page.locator(".account summary").click()
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await expect(page.locator("#shortcuts-title")).to_be_focused()
    await page.locator("#shortcuts").get_by_role("button", name="Close").click()
    await expect(page.locator("[inert]")).to_have_count(0)


async def test_deleting_is_not_one_enter_away(site: Site, page: Page) -> None:
    await page.goto(site.address + "/short")
    await page.locator(".bar summary").click()
    await page.locator(".bar").get_by_role("link", name="Delete…").click()
    await expect(page.locator("#dialog").get_by_role("link", name="Keep it")).to_be_focused()


@pytest.mark.parametrize("has_scripts", [True, False])
async def test_the_menu_of_a_thread_opens_inside_a_phone(site: Site, browser: Browser, has_scripts: bool) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=has_scripts)
    page = await context.new_page()
    await page.goto(site.address + "/short")
    await page.locator(".bar summary").click()
    menu = await page.locator(".bar .menu").bounding_box()
    assert menu is not None
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 390
    await context.close()


async def test_a_second_click_on_the_name_only_closes_the_menu(site: Site, page: Page) -> None:
    await page.goto(site.address + "/short")
    name = page.locator(".account summary")
    before = await name.bounding_box()
    await name.click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert await name.bounding_box() == before
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    await expect(name).to_be_focused()


async def test_while_an_answer_runs_there_is_one_stop_and_no_send(site: Site, page: Page) -> None:
    for path in ("/queued", "/streaming"):
        await page.goto(site.address + path)
        await expect(page.get_by_role("button", name="Stop")).to_have_count(1)
        await expect(page.get_by_role("button", name="Send")).to_have_count(0)
    await page.goto(site.address + "/short")
    await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    await expect(page.get_by_role("button", name="Send")).to_have_count(1)


async def test_the_greeting_speaks_of_the_chosen_model(site: Site, page: Page) -> None:
    await page.goto(site.address + "/")
    await expect(page.locator(".state")).to_contain_text("qwen3:8b (Ollama) is loaded and ready.")
    await page.locator("#model").select_option(index=1)
    await expect(page.locator(".state")).to_contain_text("gemma3:27b (Ollama) will be loaded with the first question.")


async def test_the_buttons_of_the_options_stay_in_sight_on_a_phone(site: Site, page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 600})
    await page.goto(site.address + "/short")
    await page.get_by_role("button", name="Options").click()
    await expect(page.locator("#options-panel").get_by_role("button", name="Save")).to_be_in_viewport(ratio=1)


async def test_figures_read_the_same_with_and_without_scripts(site: Site, browser: Browser) -> None:
    read = []
    for has_scripts in (True, False):
        context = await browser.new_context(locale="en-US", java_script_enabled=has_scripts)
        page = await context.new_page()
        await page.goto(site.address + "/full")
        read.append(await page.locator(".figures data").all_inner_texts())
        await context.close()
    assert read[0] == read[1]
    assert "5.2\u202fs" in read[0]
