"""The sheet of options: what it says of the model that is picked."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.chromium import MOST_MS
from tests.preview.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = "Kept, not sent: this model does not take it."


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    yield opened
    await context.close()


@pytest.mark.parametrize("path", ["/", "/short"])
async def test_picking_a_model_says_anew_what_is_not_sent(site: Site, page: Page, path: str) -> None:
    await page.goto(site.address + path)
    assert await _untaken(page) == ["top_k"]
    model = await page.locator("#model option", has_text="gpt-5-mini").get_attribute("value")
    await page.get_by_label("Model", exact=True).select_option(value=model)
    assert await _untaken(page) == ["reasoning_effort", "repeat_penalty", "stop"]
    await expect(page.locator("#hint-stop")).to_have_text(KEPT)
    await page.get_by_label("Model", exact=True).select_option(value="00000000-0000-0000-0000-000000000002")
    assert await _untaken(page) == []


async def test_without_scripts_the_mark_is_there_too(site: Site, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(site.address + "/short")
    assert await _untaken(page) == ["top_k"]
    await context.close()


async def _untaken(page: Page) -> list[str]:
    """The fields that say so, by name; each says it to the eye and to screen readers."""
    found: list[str] = []
    for field in await page.locator("[data-parameter]").all():
        name = await field.get_attribute("data-parameter")
        said = await page.locator(f"#hint-{name}").text_content()
        is_marked = "untaken" in (await field.get_attribute("class") or "")
        assert (said == KEPT) is is_marked
        assert f"hint-{name}" in (await page.locator(f"#{name}").get_attribute("aria-describedby") or "")
        found += [name] * is_marked if name else []
    return sorted(found)
