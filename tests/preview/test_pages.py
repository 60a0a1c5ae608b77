"""Every page in every theme, on a phone and on a desk: axe-core, console and policy find nothing, nothing overflows."""

import gzip
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.axe import IN_THEMES, Look, assert_accessible, violations
from tests.chromium import MOST_MS
from tests.preview.pages import PAGES
from tests.preview.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    opened.said = []  # type: ignore[attr-defined]
    opened.on("pageerror", lambda error: opened.said.append(str(error)))  # type: ignore[attr-defined]
    opened.on("console", lambda entry: entry.type in ("error", "warning") and opened.said.append(entry.text))  # type: ignore[attr-defined]
    yield opened
    await context.close()


def unexpected(page: Page) -> list[str]:
    """What the console said, but that an answer had the status of an error, which some pages are meant to have."""
    said: list[str] = page.said  # type: ignore[attr-defined]
    return [entry for entry in said if "the server responded with a status of 4" not in entry]


#: The free pixels between a dialog's heading, its sentence and its form.
_GAPS = """
() => {
  const boxes = [...document.querySelectorAll("#dialog section > *")].map((one) => one.getBoundingClientRect());
  return boxes.slice(1).map((box, i) => box.top - boxes[i].bottom);
}
"""


@IN_THEMES
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_accessible_in_every_theme_and_width(
    site: Site, page: Page, path: str, looks: list[Look]
) -> None:
    await page.goto(site.address + path)
    await assert_accessible(page, looks)
    assert unexpected(page) == []


async def test_what_opens_over_a_page_is_accessible(site: Site, page: Page) -> None:
    await page.goto(site.address + "/full")
    await page.keyboard.press("Escape")
    await page.locator("h1").click()
    await page.keyboard.press("?")
    await page.locator("#shortcuts").wait_for(state="visible")
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Options").click()
    await page.locator("#options-panel").wait_for(state="visible")
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.locator(".bar summary").click()
    assert await violations(page) == []
    await page.locator(".bar").get_by_role("link", name="Delete…").click()
    await page.locator("#dialog[open]").wait_for()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.locator("#dialog[open]").wait_for(state="detached")
    assert unexpected(page) == []


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("opened", ["Delete…", "Edit"])
async def test_what_a_dialog_asks_on_the_page_of_a_thread_has_room(
    site: Site, page: Page, opened: str, width: int
) -> None:
    """The page of a thread goes without the stylesheet of the pages of forms."""
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(site.address + "/full")
    if opened == "Delete…":
        await page.locator(".bar summary").click()
    await page.locator("main").get_by_role("link", name=opened).first.click()
    await page.locator("#dialog[open]").wait_for()
    gaps = await page.evaluate(_GAPS)
    assert len(gaps) == 2
    assert min(gaps) >= 7.5


async def test_what_answers_in_the_place_of_a_hidden_model_is_said_until_another_one_is_picked(
    site: Site, page: Page
) -> None:
    await page.goto(site.address + "/hidden-model")
    offer = page.locator("#offer")
    await expect(offer).to_have_text(
        re.compile(r"^\s*lantern-7b is hidden\.\s+qwen3:8b will answer\.\s+Show lantern-7b\s*$")
    )
    await expect(offer.locator(".instead")).to_be_visible()
    await page.locator("#model").select_option(index=1)
    await expect(offer.locator(".instead")).to_be_hidden()
    await expect(offer).to_contain_text("lantern-7b is hidden.")


async def test_the_drawer_of_a_phone_is_accessible(site: Site, page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(site.address + "/full")
    assert not await page.locator("#sidebar").is_visible()
    await page.get_by_role("button", name="Threads and settings").click()
    await page.locator(".account summary").click()
    assert await page.get_by_role("button", name="Sign out").is_visible()
    assert await violations(page) == []
    assert unexpected(page) == []


async def test_without_scripts_nothing_is_shown_that_needs_one(site: Site, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = await context.new_page()
    await page.goto(site.address + "/streaming")
    # The frame has one of its own, which goes when the answer is over.
    assert not await page.get_by_role("button", name="Stop", exact=True).is_visible()
    await page.frame_locator("iframe.live").get_by_role("button", name="Stop", exact=True).wait_for()
    assert not await page.get_by_role("button", name="Stop the answer").is_visible()
    for width in (390, 1440):
        await page.set_viewport_size({"width": width, "height": 844})
        for path in ("/queued", "/streaming"):
            await page.goto(site.address + path)
            assert await page.locator("iframe.live").evaluate(
                "frame => frame.clientWidth === frame.closest('#messages').clientWidth"
            )
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_role("button", name="Options").click()
    assert await page.get_by_label("Temperature").is_visible()
    await page.goto(site.address + "/full")
    assert not await page.get_by_role("button", name="Copy").first.is_visible()
    await page.get_by_role("button", name="Threads and settings").click()
    await page.locator(".thread-item summary").first.click()
    assert await page.get_by_label("Title").first.is_visible()
    await context.close()


async def test_a_thread_opens_at_its_end(site: Site, page: Page) -> None:
    await page.goto(site.address + "/full")
    last = page.locator("article").last
    box = await last.bounding_box()
    dock = await page.locator(".dock").bounding_box()
    assert box is not None
    assert dock is not None
    assert box["y"] + box["height"] <= dock["y"] + 24


async def test_times_and_numbers_are_the_readers(site: Site, browser: Browser) -> None:
    context = await browser.new_context(locale="de-DE", timezone_id="Europe/Berlin")
    page = await context.new_page()
    await page.goto(site.address + "/full")
    figures = page.locator(".figures").first
    await expect(figures).to_contain_text("1.812")
    await expect(figures.locator("time")).to_have_attribute("title", re.compile("10:27"))
    await context.close()


async def test_the_whole_chat_page_is_light(site: Site, page: Page) -> None:
    sizes: list[int] = []

    async def weigh(response: Any) -> None:
        if "/events" not in response.url:
            sizes.append(len(gzip.compress(await response.body())))

    page.on("response", weigh)
    await page.goto(site.address + "/full")
    await page.evaluate("() => document.fonts.ready")
    assert len(sizes) <= 11, "with the event stream: twelve requests"
    assert sum(sizes) <= 70 * 1024
