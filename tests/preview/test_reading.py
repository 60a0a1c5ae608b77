"""Reading a thread: what is new, how fast it comes, in which direction it runs, and on paper."""

import asyncio
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
import pytest_asyncio
from markupsafe import Markup
from playwright.async_api import Browser, Page, expect

from tests.chromium import MOST_MS
from tests.preview import pages
from tests.preview.rows import message, question, running, thread, unformatted
from tests.preview.site import Live, Site
from tests.watching import SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIDE = "$" + " + ".join(f"a_{{{number}}} x^{{{number}}}" for number in range(30)) + "$"
MIXED = (
    "שלום *עולם* (2).\n\nHello, world.\n\n- פריט ראשון\n- second item\n\n> ציטוט\n\n| א | b |\n|---|---|\n| `code` ערך | c |\n\n"
    f"`print` אומר $x$\n\n{WIDE} end\n\n$${WIDE[1:-1]}$$\n\n<details>\n<summary>סיכום</summary>\n\nhidden words\n\n</details>\n\n"
    "```py\n" + "x = " + "1 + " * 80 + "1\n```"
)


@pytest.fixture
def live(site: Site) -> Live:
    site.live = Live()
    site.live.threads = [pages.LIVE, thread(1, "שלום")]
    return site.live


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site, live: Live) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 390, "height": 700})
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    yield opened
    live.cut()
    await context.close()


async def show(page: Page, site: Site, *rows: SimpleNamespace, query: str = "") -> None:
    site.live.messages = list(rows)
    await page.goto(f"{site.address}/threads/{pages.LIVE.id}{query}")
    assert await asyncio.to_thread(site.live.connections.get, True, SECONDS) is None


def append(live: Live, row: SimpleNamespace, start: int, words: str) -> None:
    """A frame that adds words to the open paragraph."""
    live.send(
        f'<hx-partial hx-target="#t-{row.short} p" hx-swap=append>{words}</hx-partial>',
        f"7.{row.short}.{start}.{start + 1}",
    )


async def test_a_block_that_is_too_deep_scrolls_and_an_unformatted_answer_wraps(page: Page, site: Site) -> None:
    deep = message(1, text="Before\n\n" + "> " * 300 + "deep " * 50)
    await show(page, site, question(0, "How?"), deep, question(2, "Why?"), unformatted(3, is_given_up=True))
    styles = await page.locator(".body > pre").evaluate_all(
        "all => all.map((each) => [getComputedStyle(each).whiteSpace, each.scrollWidth > each.clientWidth])"
    )
    assert styles == [["pre", True], ["pre-wrap", False]]
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_show_it_formatted_stays_where_the_reader_is(page: Page, site: Site) -> None:
    row = unformatted(1, is_given_up=False)
    row.content = "x" * 2000
    row.body += Markup("<p>more</p>" * 100)
    await show(page, site, question(0, "How?"), row)
    fresh = f'<article id="message-{row.id}" class="message assistant"><h2 dir="auto">Formatted</h2></article>'
    await page.route(f"**/messages/{row.id}", lambda route: route.fulfill(body=fresh, content_type="text/html"))
    await page.get_by_role("link", name="Show it formatted").last.click()
    await expect(page.locator(f"#message-{row.id}")).to_have_text("Formatted")
    assert page.url.endswith(f"/threads/{pages.LIVE.id}")
    assert await page.locator("#main").evaluate("(main) => main.scrollTop") == 0


async def test_new_is_said_only_of_what_is_new(page: Page, site: Site, live: Live) -> None:
    answer = running(3, "<p>a</p>" * 60, "<p>b</p>", 1)
    await show(page, site, question(0, "How?"), message(1), question(2, "Why?"), answer, query="?older=1")
    button = page.locator("#to-end")
    await page.locator("#main").evaluate("main => { main.scrollTop = -400; }")
    await expect(button).to_be_visible()
    await page.locator("#main").evaluate("main => { main.scrollTop = -main.scrollHeight; }")
    await expect(page.get_by_text("Earlier question -20")).to_be_attached()  # earlier messages have come
    await expect(button.locator(".fresh")).to_be_hidden()
    append(live, answer, 1, " and more")
    await expect(button.locator(".fresh")).to_be_visible()
    await button.click()
    await expect(button).to_be_hidden()
    await page.locator("#main").evaluate("main => { main.scrollTop = -400; }")
    await expect(button).to_be_visible()
    await expect(button.locator(".fresh")).to_be_hidden()
    # The answer is over: its figures come, and no word.
    shown = await page.locator(f"#b-{answer.short}").inner_text()
    done = message(3, "assistant", "")
    done.body = type(answer.body)(f'<div class="body" id="b-{answer.short}">{"<p>a</p>" * 60}<p>b and more</p></div>')
    live.messages[-1] = done
    live.tell("message", message=done.id)
    await expect(page.locator(f"#message-{answer.id}")).to_have_attribute("data-status", "complete")
    assert await page.locator(f"#b-{answer.short}").inner_text() == shown
    await expect(button.locator(".fresh")).to_be_hidden()


async def test_tokens_per_second_are_shown_while_an_answer_comes(page: Page, site: Site, live: Live) -> None:
    await page.clock.install(time=0)
    answer = running(1, "", "<p>One</p>", 1)
    await show(page, site, question(0, "How?"), answer)
    await page.clock.pause_at(3_600_000)
    speed = page.locator(f"#message-{answer.id} .figures")
    assert await speed.text_content() == ""
    for number in range(1, 30):
        append(live, answer, number, " wordsword" * 2)
        await expect(page.locator(f"#t-{answer.short}")).to_have_attribute("data-seq", str(number + 1))
        await page.clock.run_for(100)
    await expect(speed).to_have_text(re.compile(r"^≈ [\d.]+ tokens/s$"))
    rate = float((await speed.text_content() or "").split()[1])
    assert 30 < rate < 60  # 200 bytes a second are 50 tokens
    live.messages[-1] = message(1)
    live.tell("message", message=answer.id)
    await expect(speed).to_contain_text("43.5")
    shown = await page.locator(f"#message-{answer.id}").evaluate("article => article.querySelector('.about').innerText")
    assert "≈" not in shown


async def test_one_token_per_second_is_singular(page: Page, site: Site, live: Live) -> None:
    await page.clock.install(time=0)
    answer = running(1, "", "<p>One</p>", 1)
    await show(page, site, question(0, "How?"), answer)
    await page.clock.pause_at(3_600_000)
    await page.clock.run_for(10_000)
    await page.locator(f"#b-{answer.short}").evaluate("body => body.append('x'.repeat(20))")
    await page.clock.run_for(1_000)  # 20 bytes in the last five seconds are one token a second
    await expect(page.locator(f"#message-{answer.id} .figures")).to_have_text("≈ 1 token/s")


async def test_text_has_its_own_direction(page: Page, site: Site) -> None:
    await show(page, site, question(0, "שלום\nHello"), message(1, text=MIXED))
    directions = await page.locator("article.assistant .body").evaluate("""body =>
        [...body.querySelectorAll("p, li, blockquote, th, td, summary, code, .formula, .code")].map((one) =>
            [one.localName, one.textContent.slice(0, 9), getComputedStyle(one).direction])""")
    found = {(name, text.strip()[:5].strip()): direction for name, text, direction in directions}
    assert found["p", "שלום"] == "rtl"
    assert found["p", "Hello"] == "ltr"
    assert found["li", "פריט"] == "rtl"
    assert found["li", "secon"] == "ltr"
    assert found["blockquote", "ציטוט"] == "rtl"
    assert found["td", "code"] == "rtl"
    assert found["summary", "סיכום"] == "rtl"
    assert {direction for name, _text, direction in directions if name in ("code", "span")} == {"ltr"}
    assert await page.locator("article.user .body").evaluate("one => getComputedStyle(one).direction") == "rtl"
    await page.fill("#text", "שלום")
    assert await page.locator("#text").evaluate("one => getComputedStyle(one).direction") == "rtl"
    title = page.locator(f"#thread-{site.live.threads[1].id} .title")
    assert await title.evaluate("one => getComputedStyle(one).direction") == "rtl"


async def test_wide_formulas_and_code_stay_in_their_column(page: Page, site: Site) -> None:
    await show(page, site, question(0, "How?"), message(1, text=MIXED))
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("#main").evaluate("main => main.scrollWidth <= main.clientWidth")
    for css in (".formula.wide", ".formula.display"):
        formula = page.locator(css)
        assert await formula.evaluate("one => one.scrollWidth > one.clientWidth")
        column = await page.locator("article.assistant .body").bounding_box()
        box = await formula.bounding_box()
        assert box
        assert column
        assert box["width"] <= column["width"] + 1


async def test_long_words_stay_in_their_column(page: Page, site: Site) -> None:
    long = "word" * 80
    disclosure = f"<details><summary>{long}</summary>\n\n{long}\n\n</details>"
    text = f"{disclosure}\n\n- [ ] {long}\n\n> {long}[^1]\n\n[^1]: {long}\n\n    Two."
    await show(page, site, question(0, long), message(1, text=text))
    assert await page.locator("#main").evaluate("main => main.scrollWidth <= main.clientWidth")
    first, second = [await each.bounding_box() for each in await page.locator(".footnote > p").all()]
    assert first
    assert second
    assert second["y"] >= first["y"] + first["height"]


async def test_on_paper_everything_is_whole(page: Page, site: Site) -> None:
    await show(
        page,
        site,
        question(0, "How?"),
        message(1, text=MIXED),
        *(message(n, text="word\n\n" * 40) for n in range(2, 9)),
    )
    await page.emulate_media(media="print")
    assert await page.evaluate("""() => {
        dispatchEvent(new Event("beforeprint"));
        return document.querySelector(".body details").open;
    }""")
    await expect(page.get_by_text("hidden words")).to_be_visible()
    clipped = await page.locator(".body pre, .body .formula, .body .table").evaluate_all(
        "all => all.filter((one) => getComputedStyle(one).overflowX !== 'visible').length"
    )
    assert clipped == 0
    await expect(page.locator(".dock")).to_be_hidden()
    await expect(page.locator(".actions").first).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollHeight > 5 * innerHeight")  # not one screen, scrolled
    assert not await page.evaluate("""() => {
        dispatchEvent(new Event("afterprint"));
        return document.querySelector(".body details").open;
    }""")
    await page.emulate_media(media="null")
    pdf = await page.pdf()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 3
