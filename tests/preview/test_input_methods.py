"""A key that belongs to an input method does nothing of ours: Safari sends it with the code 229 alone."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.chromium import MOST_MS
from tests.preview import pages
from tests.preview.rows import message, question, running, thread
from tests.preview.site import Site
from tests.tiers import thinned

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: As Safari sends the key that confirms a character (229 alone), and as other browsers do.
KINDS = [{"keyCode": 229}, {"isComposing": True}, {"keyCode": 229, "isComposing": True}]
PRESS = """
(element, [key, options]) => {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...options });
  element.dispatchEvent(event);
  return event.defaultPrevented;
}
"""

#: Every test for every kind; on every change for one.
OF_EACH_KIND = pytest.mark.parametrize("kind", thinned(KINDS, keep=1), ids=str)


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    site.live.messages = [question(0, "How?"), message(1), question(2, "And?"), running(3)]
    site.live.threads = [pages.LIVE, thread(1, "Another")]
    context = await browser.new_context(viewport={"width": 1000, "height": 700})
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    await opened.goto(f"{site.address}/threads/{pages.LIVE.id}")
    await opened.wait_for_function("document.readyState === 'complete'")
    yield opened
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def posted(page: Page) -> list[str]:
    """What this page sends. The site's own list may show what the page of another test sent at its end."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if request.method == "POST" else None)
    return found


async def press(page: Page, selector: str, key: str, **options: object) -> bool:
    return bool(await page.locator(selector).evaluate(PRESS, [key, options]))


@OF_EACH_KIND
async def test_enter_of_an_input_method_sends_nothing(page: Page, posted: list[str], kind: dict[str, object]) -> None:
    await page.fill("#text", "にほん")
    assert not await press(page, "#text", "Enter", **kind)
    assert not await press(page, "#text", "Enter", ctrlKey=True, **kind)
    await expect(page.locator("#text")).to_have_value("にほん")
    assert posted == []
    assert await press(page, "#text", "Enter", keyCode=13)


@OF_EACH_KIND
async def test_escape_of_an_input_method_stops_nothing(page: Page, posted: list[str], kind: dict[str, object]) -> None:
    await press(page, "#text", "Escape", **kind)
    await page.locator(".bar details.item-menu > summary").click()
    await press(page, "#text", "Escape", **kind)
    await expect(page.locator(".bar details.item-menu")).to_have_attribute("open", "")
    assert posted == []
    await press(page, "#text", "Escape", keyCode=27)
    await expect(page.locator(".bar details.item-menu")).not_to_have_attribute("open", "")


@OF_EACH_KIND
async def test_shortcuts_of_the_page(page: Page, kind: dict[str, object]) -> None:
    await page.locator("#main").focus()
    for key in ("?", "/", "j", "k", "End"):
        assert not await press(page, "#main", key, **kind)
    await expect(page.locator("#shortcuts")).to_be_hidden()
    assert await press(page, "#main", "?", keyCode=191)


@OF_EACH_KIND
async def test_the_palette(page: Page, kind: dict[str, object]) -> None:
    assert not await press(page, "#text", "k", ctrlKey=True, **kind)
    await expect(page.locator("#palette")).to_be_hidden()
    assert await press(page, "#text", "k", ctrlKey=True, keyCode=75)
    await expect(page.locator("#palette")).to_be_visible()
    address = page.url
    for key in ("Enter", "ArrowDown", "ArrowUp", "PageDown"):
        assert not await press(page, "#palette-text", key, **kind)
    assert page.url == address
    assert await press(page, "#palette-text", "ArrowDown", keyCode=40)


@OF_EACH_KIND
async def test_the_last_question_and_its_change(page: Page, site: Site, kind: dict[str, object]) -> None:
    assert not await press(page, "#text", "ArrowUp", **kind)
    assert await press(page, "#text", "ArrowUp", keyCode=38)
    await page.locator("#revision-text").evaluate("""(field) => field.form.addEventListener(
        "submit", (event) => { event.preventDefault(); event.stopImmediatePropagation(); }, true)""")
    assert not await press(page, "#revision-text", "Enter", **kind)
    assert await press(page, "#revision-text", "Enter", keyCode=13)


@OF_EACH_KIND
async def test_the_menu_of_slash_prompts(page: Page, kind: dict[str, object]) -> None:
    await page.evaluate("""() => {
        const menu = document.getElementById("slash-menu");
        for (const name of ["a", "b"]) {
            const choice = document.createElement("a");
            choice.role = "option";
            choice.textContent = choice.dataset.name = name;
            choice.ariaSelected = String(name === "a");
            menu.append(choice);
        }
        menu.hidden = false;
    }""")
    for key in ("ArrowDown", "ArrowUp", "Enter", "Escape"):
        assert not await press(page, "#text", key, **kind)
    await expect(page.locator('#slash-menu [aria-selected="true"]')).to_have_text("a")
    assert await press(page, "#text", "ArrowDown", keyCode=40)
    await expect(page.locator('#slash-menu [aria-selected="true"]')).to_have_text("b")
