"""Copying: an answer as its Markdown, code as it is; also without the clipboard API and without the server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.chromium import MOST_MS
from tests.preview.rows import ANSWER
from tests.preview.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: What a browser has where a page came by plain http from elsewhere.
WITHOUT_CLIPBOARD = "delete Navigator.prototype.clipboard"
#: A text that does not come within three seconds is not waited for; a busy machine may take that long.
PATIENTLY = "const soon = AbortSignal.timeout; AbortSignal.timeout = (time) => soon.call(AbortSignal, 20 * time);"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    await opened.add_init_script(PATIENTLY)
    await opened.clock.install(time=0)
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda entry: said.append(entry.text) if "Content Security" in entry.text else None)
    yield opened
    await context.close()
    assert said == []


async def open_answer(site: Site, page: Page) -> None:
    """The page of an answer, on which "Copied" stays."""
    await page.goto(site.address + "/full")
    await page.clock.pause_at(3_600_000)


async def copied(page: Page, kind: str = "text/plain") -> str:
    """What the clipboard holds, read in a fresh page: the one that copied may have no clipboard API."""
    reader = await page.context.new_page()
    await reader.goto(page.url.split("/full")[0] + "/short")
    await reader.bring_to_front()
    text = await reader.evaluate(
        "async kind => { const [item] = await navigator.clipboard.read();"
        " return item.types.includes(kind) ? await (await item.getType(kind)).text() : '' }",
        kind,
    )
    await reader.close()
    return str(text)


async def copy_answer(page: Page) -> None:
    button = page.locator("[data-copy-from]").first
    await button.click()
    await button.get_by_text("Copied").wait_for()


@pytest.mark.parametrize("script", ["", WITHOUT_CLIPBOARD], ids=["clipboard", "no-clipboard"])
async def test_an_answer_is_copied_as_its_markdown_and_as_rich_text(site: Site, page: Page, script: str) -> None:
    await page.add_init_script(script)
    await open_answer(site, page)
    await copy_answer(page)
    assert await copied(page) == ANSWER
    rich = await copied(page, "text/html")
    assert "<table" in rich
    assert "<button" not in rich
    assert await page.locator(".copy-stage").count() == 0


@pytest.mark.parametrize("script", ["", WITHOUT_CLIPBOARD], ids=["clipboard", "no-clipboard"])
@pytest.mark.parametrize("status", [0, 303, 503])
async def test_what_is_shown_is_copied_where_the_text_cannot_be_fetched(
    site: Site, page: Page, status: int, script: str
) -> None:
    async def refuse(route: Any) -> None:
        if not status:
            await route.abort()
        else:
            await route.fulfill(status=status, headers={"location": "/sign-in"}, body="not this")

    await page.add_init_script(script)
    await page.route("**/messages/*/text", refuse)
    await open_answer(site, page)
    await copy_answer(page)
    text = await copied(page)
    assert "Bayer and McCreight" in text
    assert "not this" not in text
    assert "```" not in text


async def test_code_is_copied_alone(site: Site, page: Page) -> None:
    await open_answer(site, page)
    block = page.locator(".code").first
    await block.get_by_role("button", name="Copy").click()
    await block.get_by_text("Copied").wait_for()
    code = await copied(page)
    assert code.strip() in ANSWER
    assert code == await block.locator("pre").text_content()
    assert await copied(page, "text/html") == ""


async def test_the_line_under_an_answer_is_copied_with_its_dots_and_read_without(site: Site, page: Page) -> None:
    await page.goto(site.address + "/full")
    line = page.locator(".figures").first
    selected = await line.evaluate(
        "line => { getSelection().selectAllChildren(line); return getSelection().toString() }"
    )
    assert selected.startswith(
        "qwen3:8b · 1,812 tokens in (1,024 cached), 214 out · $0.0041 · 43.5 tokens/s · first token "
    )
    assert "·" not in await line.aria_snapshot()
