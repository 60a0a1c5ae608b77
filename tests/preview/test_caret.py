"""The caret of a running answer stands once, at the end of its text, whatever the open block is."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from app.html.markdown import render
from tests.preview import pages
from tests.preview.rows import question, running, thread
from tests.preview.site import Live, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: The elements that draw a caret, and the one that holds the last of the text.
_CARETS = """
() => {
  const tail = document.querySelector("article .tail");
  const drawn = [...tail.querySelectorAll("*")].filter((one) => getComputedStyle(one, "::after").content !== "none");
  const walker = document.createTreeWalker(tail, NodeFilter.SHOW_TEXT, (node) => node.data.trim() ? 1 : 2);
  let last;
  while (walker.nextNode()) last = walker.currentNode;
  return [drawn.map((one) => one.localName), drawn.every((one) => one.contains(last)), last.data.trim()];
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    site.live = Live()
    site.live.threads = [pages.LIVE, thread(1, "Another")]
    context = await browser.new_context(viewport={"width": 1000, "height": 700})
    yield await context.new_page()
    await context.close()


@pytest.mark.parametrize(
    ("source", "holder"),
    [
        ("A paragraph\nof two lines", "p"),
        ("## A heading", "h3"),
        ("- one\n- two", "li"),
        ("- one\n\n  a paragraph", "p"),
        ("1. one\n   - within", "li"),
        ("> quoted", "p"),
        ("> quoted\n>\n> - a list\n> - in it", "li"),
        ("> ```py\n> x = 1\n> ```\n>\n> behind the code", "p"),
        ("> > twice", "p"),
        ("- item\n\n  > quoted in it", "p"),
        ("```py\nx = 1", "code"),
        ("> ```\n> quoted code", "code"),
        ("- item\n  ```\n  code in it", "code"),
        ("| a | b |\n|---|---|\n| c | d |", "td"),
        ("Text with *marks*", "p"),
    ],
)
async def test_the_caret_stands_once_at_the_end(page: Page, site: Site, source: str, holder: str) -> None:
    site.live.messages = [question(0, "How?"), running(1, "<p>Before.</p>", render(source), seq=2)]
    await page.goto(f"{site.address}/threads/{pages.LIVE.id}")
    await expect(page.locator("article .tail")).to_be_attached()
    drawn, is_at_end, last = await page.evaluate(_CARETS)
    assert (drawn, is_at_end) == ([holder], True), last
