"""The palette: threads by their titles and every place of the app, by the keyboard alone; and the same without scripts."""

import pytest
from playwright.async_api import Page, expect

from tests.axe import violations
from tests.e2e.instance import Instance, Person
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_thread_is_found_by_words_of_its_title_and_opened(
    page: Page, instance: Instance, alice: Person
) -> None:
    for title in ("Boats and 100% tides", "Tides of March", "Lamps"):
        await instance.add_thread(alice, 1, title=title)
    await page.goto("/profile")
    await page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Search and go")
    field = palette.get_by_role("combobox")
    await expect(field).to_be_focused()
    threads = palette.locator("#found [role=option] .cut")
    await expect(threads).to_have_text(["Lamps", "Tides of March", "Boats and 100% tides"])
    await page.keyboard.type("TIDES")
    await expect(threads).to_have_text(["Tides of March", "Boats and 100% tides"])
    await expect(palette.get_by_role("option", selected=True)).to_contain_text("Tides of March")
    await page.keyboard.press("ArrowDown")
    await expect(palette.get_by_role("option", selected=True)).to_contain_text("Boats")
    assert await violations(page) == []
    await page.keyboard.type(" 100%")
    await page.keyboard.press("Enter")  # at once: it waits for what is being looked for
    await page.wait_for_url("**/threads/*")
    await expect(page.locator("h1")).to_have_text("Boats and 100% tides")


async def test_places_and_actions_are_found_too(page: Page) -> None:
    await page.keyboard.press("Control+k")
    palette = page.locator("#palette")
    await page.keyboard.type("prof")
    await expect(palette.locator("#places [role=option]:visible")).to_have_text(["Profile"])
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/profile")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("shortcuts")
    await page.keyboard.press("Enter")
    await expect(page.locator("#shortcuts")).to_be_visible()
    await expect(page.locator("#shortcuts")).to_contain_text("Search threads, or go somewhere")


async def test_escape_and_the_same_keys_close_it_and_typing_goes_on(page: Page) -> None:
    await page.get_by_label("Message", exact=True).fill("Half")
    for key in ("Escape", "Control+k"):
        await page.keyboard.press("Control+k")
        await expect(page.locator("#palette")).to_be_visible()
        await page.keyboard.type("x")
        await page.keyboard.press(key)
        await expect(page.locator("#palette")).to_be_hidden()
        await expect(page.get_by_label("Message", exact=True)).to_be_focused()


async def test_the_sidebar_leads_to_it(page: Page) -> None:
    await page.locator("#sidebar").get_by_role("link", name="Search").click()
    await expect(page.locator("#palette")).to_be_visible()


async def test_without_scripts_threads_are_found_on_their_own_page(
    windows: Windows, instance: Instance, alice: Person
) -> None:
    for title in ("Boats", "Tides"):
        await instance.add_thread(alice, 1, title=title)
    plain = await windows.open(alice, java_script_enabled=False)
    await plain.goto("/")
    await plain.locator("#sidebar").get_by_role("link", name="Search").click()
    await plain.get_by_label("Words in titles").fill("tid")
    await plain.get_by_role("button", name="Search").click()
    await expect(plain.locator("main .rows a")).to_have_text(["Tides"])
    await plain.get_by_label("Words in titles").fill("nothing of the kind")
    await plain.get_by_role("button", name="Search").click()
    await expect(plain.locator("main .rows")).to_contain_text("No thread has that in its title.")
