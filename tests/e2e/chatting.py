"""What people do in a thread, and what they see: the words that the browser tests are written in."""

from playwright.async_api import Locator, Page, expect

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
    is_new = "/threads/" not in page.url
    await box(page).fill(text)
    await box(page).press("Enter")
    if is_new:
        await page.wait_for_url("**/threads/*")


async def done(page: Page, status: str = "complete") -> None:
    """The newest answer has come to its end."""
    await expect(answers(page).last).to_have_attribute("data-status", status)


async def load_again(page: Page) -> None:
    """As a person does where no script tells of what has happened since; not in the middle of the loading before."""
    await page.wait_for_load_state()
    await page.reload()


async def articles(page: Page) -> list[str]:
    """Every message as the page shows it, but for nonces, tokens and the order of attributes."""
    found: list[str] = await page.evaluate(_ARTICLES)
    return found


async def assert_as_reloaded(page: Page) -> None:
    """The page shows what a fresh page would."""
    shown = await articles(page)
    fresh = await page.context.new_page()
    await fresh.goto(page.url.partition("#")[0])
    drawn = await articles(fresh)
    await fresh.close()
    assert shown == drawn


async def stop(page: Page) -> None:
    """The button beside Send."""
    await page.get_by_role("button", name="Stop the answer").click()
