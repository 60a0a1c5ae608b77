"""On touch everything that is pressed is at least 44 pixels in both directions, on every page and in what opens over it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.preview.pages import PAGES
from tests.preview.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Links within a line of text are as high as the line; a checkbox is pressed by its label.
_SMALL = """
() => [...document.querySelectorAll("button, .button, summary, select, textarea, a, input, label.choice")]
  .filter((one) => !one.matches("[type=hidden], [type=checkbox], [type=radio]") && getComputedStyle(one).display !== "inline")
  .filter((one) => !one.closest(".for-readers, .skip"))
  .filter((one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
  .map((one) => [one, one.getBoundingClientRect()])
  .filter(([, box]) => box.width && box.height && (box.width < 43.5 || box.height < 43.5))
  .map(([one, box]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${one.outerHTML.slice(0, 160)}`)
"""


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    yield await context.new_page()
    await context.close()


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_on_a_page_is_too_small_for_a_finger(site: Site, phone: Page, path: str) -> None:
    await phone.goto(site.address + path)
    assert await phone.evaluate(_SMALL) == []


async def test_nothing_that_opens_is_too_small_for_a_finger(site: Site, phone: Page) -> None:
    await phone.goto(site.address + "/full")
    await phone.get_by_role("button", name="Threads and settings").tap()
    await phone.locator(".account summary").tap()
    await phone.locator("#threads summary").first.tap()
    assert await phone.evaluate(_SMALL) == []
    await phone.locator("#sidebar").get_by_role("button", name="Close").tap()
    await phone.get_by_role("button", name="Options").tap()
    assert await phone.evaluate(_SMALL) == []
    await phone.locator("#options-panel").get_by_role("button", name="Close").tap()
    await phone.locator(".bar summary").tap()
    assert await phone.evaluate(_SMALL) == []
