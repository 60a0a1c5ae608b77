"""What people do in a thread, and what they see: the words that the browser tests are written in."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

from playwright.async_api import Error, Locator, Page, Response, expect

from tests.watching import PROGRAM_SECONDS, until

#: Every article of the page as text, with attributes in order, and without what a page draws anew each time.
_ARTICLES = """
() => [...document.querySelectorAll("#messages > article")].map((article) => {
  const write = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    const names = node.getAttributeNames().filter((name) => name !== "hx-nonce").sort();
    const isToken = node.name === "_csrf";
    const attributes = names.map((name) => (isToken && name === "value" ? "" : ` ${name}="${node.getAttribute(name)}"`));
    return `<${node.localName}${attributes.join("")}>${[...node.childNodes].map(write).join("")}</${node.localName}>`;
  };
  return write(article);
})
"""


def box(page: Page) -> Locator:
    """Where a message is typed."""
    return page.get_by_label("Message", exact=True)


def answers(page: Page) -> Locator:
    """The answers on the page, oldest first."""
    return page.locator("article.assistant")


def body(page: Page) -> Locator:
    """The text of the newest answer."""
    return answers(page).last.locator(".body")


def button(page: Page, name: str) -> Locator:
    """A button under the newest answer."""
    return answers(page).last.get_by_role("button", name=name, exact=True)


async def ask(page: Page, text: str) -> None:
    """Type a question and press Enter; on the page of a new thread, wait for the thread."""
    await page.wait_for_load_state()  # before the scripts are there, Enter begins a line
    is_new = "/threads/" not in page.url
    await box(page).fill(text)
    await box(page).press("Enter")
    if is_new:
        await page.wait_for_url("**/threads/*")


async def done(page: Page, status: str = "complete") -> None:
    """The newest answer has come to its end, and is formatted: what a busy machine had no time for is asked for again."""
    await expect(answers(page).last).to_have_attribute("data-status", status)
    again = answers(page).last.locator(".source-note a")

    async def is_formatted() -> bool:
        if await again.count():
            with contextlib.suppress(Error):  # it may just be going
                await again.click(timeout=1_000)
        return not await again.count()

    await until("a formatted answer", is_formatted)


async def load_again(page: Page) -> None:
    """As a person does where no script tells of what has happened since; not in the middle of the loading before."""
    await page.wait_for_load_state()
    await page.reload()


async def load_until(page: Page, place: Locator, words: str) -> None:
    """Load the page again, as a person without scripts would, until these words are there."""

    async def is_said() -> bool:
        if words in await place.inner_text():
            return True
        await load_again(page)
        return False

    await until(f"“{words}” on the page", is_said, PROGRAM_SECONDS)


async def load_until_status(page: Page, status: str) -> None:
    """As `load_until`, until the newest answer has come to its end."""

    async def has_ended() -> bool:
        if await answers(page).last.get_attribute("data-status") == status:
            return True
        await load_again(page)
        return False

    await until(f"an answer that is {status}", has_ended, PROGRAM_SECONDS)


async def see_the_end(page: Page) -> None:
    """Without scripts: follow the link that the frame ends with; an answer that was quicker than the page has no frame."""
    # Before that the frame may not be there yet; "load" would wait for the answer in it.
    await page.wait_for_load_state("domcontentloaded")
    await expect(page.locator("article").last).to_be_attached()
    if await page.locator("iframe.live").count():
        await page.frame_locator("iframe.live").get_by_role("link", name="Show the finished answer").click()
    await done(page)


async def articles(page: Page) -> list[str]:
    """Every message as the page shows it, but for nonces, tokens and the order of attributes."""
    found: list[str] = await page.evaluate(_ARTICLES)
    return found


async def assert_as_reloaded(page: Page) -> None:
    """The page shows what a fresh page would."""
    await _written(page)
    shown = await articles(page)
    fresh = await page.context.new_page()
    await fresh.goto(page.url.partition("#")[0])
    await _written(fresh)
    drawn = await articles(fresh)
    await fresh.close()
    assert shown == drawn


async def _written(page: Page) -> None:
    """Times and numbers are the reader's own a moment after the page is loaded (see page.js)."""
    await page.evaluate("() => new Promise((done) => setTimeout(done))")


@contextlib.asynccontextmanager
async def draft_is_stored(page: Page, text: str) -> AsyncIterator[None]:
    """What the block types ends as this draft: where the machine is slow, parts of it are stored before."""

    def is_all(response: Response) -> bool:
        sent = parse_qs(response.request.post_data or "").get("text", [""])
        return response.url.endswith("/draft") and response.status == 204 and sent == [text]

    async with page.expect_response(is_all):
        yield


async def stop(page: Page) -> None:
    """The button beside Send."""
    await page.get_by_role("button", name="Stop the answer").click()
