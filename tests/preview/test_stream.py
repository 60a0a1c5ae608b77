"""The live page against a server that says what a test wants: lost, doubled and late events end in the same page."""

import asyncio
import queue
import uuid
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.chromium import MOST_MS
from tests.preview import pages
from tests.preview.rows import message, question, running, thread
from tests.preview.site import Live, Site
from tests.watching import SECONDS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def live(site: Site) -> Live:
    """A thread with a question and a queued answer, and nothing said yet."""
    site.live = Live()
    site.live.messages = [question(0, "How?"), running(1)]
    site.live.threads = [pages.LIVE, thread(1, "Another")]
    return site.live


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site, live: Live) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1000, "height": 700})
    opened = await context.new_page()
    opened.set_default_timeout(MOST_MS)
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda entry: "Security Policy" in entry.text and said.append(entry.text))
    await opened.goto(f"{site.address}/threads/{pages.LIVE.id}")
    assert await connection(live) is None
    yield opened
    live.cut()
    await context.close()
    assert said == []


async def connection(live: Live) -> str | None:  # its Last-Event-ID
    return await asyncio.to_thread(live.connections.get, True, SECONDS)


def block(row: SimpleNamespace, start: int, end: int, html: str) -> tuple[str, str]:
    """A frame that adds a finished block to a running answer."""
    return f'<hx-partial hx-target="#t-{row.short}" hx-swap=before>{html}</hx-partial>', f"7.{row.short}.{start}.{end}"


def body(page: Page, row: SimpleNamespace) -> Any:
    return page.locator(f"#b-{row.short}")


def fetched(live: Live, path: str) -> int:
    return sum(request.startswith(f"GET {path}") for request in live.requests)


async def test_frames_are_shown_as_they_come(page: Page, live: Live) -> None:
    answer = live.messages[1]
    live.send(*block(answer, 0, 3, "<p>One.</p>"))
    live.send(*block(answer, 3, 4, "<p>Two.</p>"))
    await expect(body(page, answer).locator("p")).to_have_text(["One.", "Two."])
    await expect(page.locator(f"#t-{answer.short}")).to_have_attribute("data-seq", "4")
    assert fetched(live, "/messages/") == 0


async def test_a_frame_that_comes_twice_is_shown_once(page: Page, live: Live) -> None:
    answer = live.messages[1]
    for _ in range(2):
        live.send(*block(answer, 0, 3, "<p>One.</p>"))
    live.send(*block(answer, 3, 5, "<p>Two.</p>"))
    await expect(body(page, answer).locator("p")).to_have_text(["One.", "Two."])
    assert fetched(live, "/messages/") == 0


async def test_a_gap_is_filled_from_the_stored_answer(page: Page, live: Live) -> None:
    answer = live.messages[1]
    live.messages[1] = running(1, "<p>One.</p><p>Two.</p><p>Three.</p>", seq=9)
    live.send(*block(answer, 6, 9, "<p>Three.</p>"))
    live.send(*block(answer, 9, 11, "<p>Four.</p>"))
    await expect(body(page, answer).locator("p")).to_have_text(["One.", "Two.", "Three.", "Four."])
    assert fetched(live, "/messages/") == 1


async def test_a_frame_that_is_half_shown_is_not_applied(page: Page, live: Live) -> None:
    answer = live.messages[1]
    live.send(*block(answer, 0, 5, "<p>One.</p>"))
    live.messages[1] = running(1, "<p>One.</p><p>Two.</p>", seq=8)
    live.send(*block(answer, 3, 8, "<p>e.</p><p>Two.</p>"))
    await expect(body(page, answer).locator("p")).to_have_text(["One.", "Two."])


async def test_a_finished_answer_replaces_the_running_one_and_keeps_focus_and_selection(page: Page, live: Live) -> None:
    answer = live.messages[1]
    live.send(*block(answer, 0, 3, "<p>One two three.</p>"))
    await expect(body(page, answer).locator("p")).to_have_text(["One two three."])
    await page.evaluate(
        "id => { const text = document.querySelector(`#b-${id} p`).firstChild;"
        " getSelection().setBaseAndExtent(text, 4, text, 7); }",
        answer.short,
    )
    await page.locator("article").last.focus()
    live.messages[1] = message(1, text="One two three.\n\nFour.")
    live.tell("message", message=answer.id)
    await expect(page.locator("article").last).to_have_attribute("data-status", "complete")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert await page.evaluate("getSelection().toString()") == "two"
    await expect(page.locator("article").last).to_be_focused()
    live.send(*block(answer, 3, 4, "<p>Late.</p>"))
    live.tell("title", thread=pages.LIVE.id, title="After the late frame")
    await expect(page.locator("h1")).to_have_text("After the late frame")
    await expect(body(page, answer).locator("p")).to_have_text(["One two three.", "Four."])
    assert await body(page, answer).evaluate("element => element.outerHTML") == str(live.messages[1].body)


async def test_a_turn_from_another_tab_appears_once(page: Page, live: Live) -> None:
    live.messages[1] = message(1, text="Done.")
    live.tell("message", message=live.messages[1].id)
    live.messages += [question(2, "And then?"), running(3)]
    for _ in range(2):
        live.tell("turn", messages=[row.id for row in live.messages[2:]], parent=live.messages[1].id)
    await expect(page.locator("article")).to_have_count(4)
    live.send(*block(live.messages[3], 0, 2, "<p>Then.</p>"))
    await expect(body(page, live.messages[3])).to_have_text("Then.")
    await expect(page.locator("article")).to_have_count(4)
    assert fetched(live, f"/threads/{pages.LIVE.id}/messages?after=") == 1


async def test_another_answer_takes_the_place_of_the_first(page: Page, live: Live) -> None:
    live.messages[1] = running(101, depth=1, parent=live.messages[0].id)
    live.tell("turn", messages=[live.messages[1].id], parent=live.messages[0].id)
    await expect(page.locator("article").last).to_have_id(f"message-{live.messages[1].id}")
    await expect(page.locator("article")).to_have_count(2)


async def test_another_branch_is_shown(page: Page, live: Live) -> None:
    live.messages[1:] = [message(21, text="Other.", depth=1), question(22, "More?"), message(23, text="Yes.")]
    live.tell("branch")
    await expect(page.locator(".body")).to_have_text(["How?", "Other.", "More?", "Yes."])


async def test_a_frame_of_an_unknown_answer_fetches_what_is_missing(page: Page, live: Live) -> None:
    live.messages += [question(2, "Lost"), running(3, "<p>Begun.</p>", seq=2)]
    live.send(*block(live.messages[3], 1, 2, "<p>egun.</p>"))
    await expect(page.locator("article")).to_have_count(4)
    await expect(body(page, live.messages[3])).to_have_text("Begun.")


async def test_a_title_is_text_wherever_it_stands(page: Page, live: Live) -> None:
    live.tell("title", thread=pages.LIVE.id, title="<b>Trees</b> & $& rows")
    await expect(page.locator("h1")).to_have_text("<b>Trees</b> & $& rows")
    await expect(page.locator("#threads .title").first).to_have_text("<b>Trees</b> & $& rows")
    assert await page.title() == "<b>Trees</b> & $& rows · Parley"


async def test_the_sidebar_shows_new_threads_first_and_forgets_deleted_ones(page: Page, live: Live) -> None:
    live.threads = [thread(600, "Newest", updated_at=pages.NOW), pages.LIVE]
    live.tell("sidebar", mark="another")
    await expect(page.locator("#threads .title")).to_have_text(["Newest", "A live thread"])
    await expect(page.locator("#threads [aria-current=page]")).to_have_text("A live thread")


async def test_a_cut_stream_comes_back_with_its_last_event_id(page: Page, live: Live) -> None:
    answer = live.messages[1]
    live.send(*block(answer, 0, 3, "<p>One.</p>"))
    await expect(body(page, answer)).to_have_text("One.")
    live.cut()
    assert await connection(live) == f"7.{answer.short}.0.3"
    live.send(*block(answer, 3, 4, "<p>Two.</p>"))
    await expect(body(page, answer).locator("p")).to_have_text(["One.", "Two."])


async def test_a_page_whose_first_connection_failed_tries_again(page: Page, live: Live) -> None:
    address = page.url
    await leave(page, live)
    live.refuse_next = 1
    await page.goto(address)
    assert await connection(live) is None
    await expect(page.locator("article")).to_have_count(2)


async def test_a_thread_that_is_gone_leads_to_the_start(page: Page, live: Live) -> None:
    live.tell("gone")
    await page.wait_for_url("**/")


async def test_sending_shows_the_turn_and_keeps_what_is_typed_meanwhile(page: Page, live: Live) -> None:
    live.messages = [question(2, "Next question"), running(3)]
    await page.route("**/messages", lambda route: _after_typing(page, route))
    await page.get_by_label("Message", exact=True).fill("Next question")
    await page.keyboard.press("Enter")
    await expect(page.locator("article")).to_have_count(4)
    await expect(page.get_by_label("Message", exact=True)).to_have_value("and another")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()


async def test_what_could_not_be_sent_is_still_in_the_composer(page: Page, live: Live) -> None:
    await page.route("**/messages", lambda route: route.abort())
    await page.get_by_label("Message", exact=True).fill("Precious")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Precious")


async def test_a_notice_outlives_what_the_stream_brings_and_can_be_closed(page: Page, live: Live) -> None:
    await page.route("**/messages", lambda route: route.abort())
    await page.get_by_label("Message", exact=True).fill("Precious")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    live.send(*block(live.messages[1], 0, 3, "<p>One.</p>"))
    await expect(body(page, live.messages[1])).to_have_text("One.")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    await page.locator("[data-forget]").click()
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_notice_that_parley_is_away_goes_when_it_is_back(page: Page, live: Live) -> None:
    await page.route("**/messages", lambda route: route.abort())
    await page.get_by_label("Message", exact=True).fill("Precious")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    live.cut()
    await connection(live)
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_text_that_could_not_be_stored_is_put_back_until_it_is_sent(page: Page, live: Live) -> None:
    await page.route("**/draft", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/draft")):
        await page.get_by_label("Message", exact=True).fill("Precious")
    await _reload(page, live)
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Precious")
    live.messages = [*live.messages[:1], message(1, text="Done."), question(2, "Precious"), running(3)]
    await page.keyboard.press("Enter")
    await expect(page.locator("article")).to_have_count(4)
    await _reload(page, live)
    await expect(page.get_by_label("Message", exact=True)).to_have_value("")


async def test_the_focus_stays_where_a_button_hid(page: Page, live: Live) -> None:
    await page.get_by_role("button", name="Stop the answer").focus()
    live.messages[1] = message(1, text="Done.", status="stopped", can_continue=True)
    live.tell("message", message=live.messages[1].id)
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()
    await page.get_by_role("button", name="Continue").focus()
    live.messages[1] = running(1, "<p>Done.</p>", seq=2)
    live.tell("message", message=live.messages[1].id)
    await expect(page.locator("article").last).to_be_focused()


async def test_an_answer_to_a_send_that_the_stream_overtook_changes_nothing(page: Page, live: Live) -> None:
    late = [question(2, "Quick"), running(3)]
    done = [late[0], message(3, text="Already done.")]

    async def overtaken(route: Any) -> None:
        live.messages[2:] = done
        live.tell("turn", messages=[row.id for row in done], parent=live.messages[1].id)
        await expect(page.locator("article")).to_have_count(4)
        live.messages[2:] = late
        response = await route.fetch()
        live.messages[2:] = done
        await route.fulfill(response=response)

    await page.route("**/messages", overtaken)
    drawn_with = await page.locator("[name=request_id]").get_attribute("value")
    live.request_id = uuid.uuid4()
    await page.get_by_label("Message", exact=True).fill("Quick")
    await page.keyboard.press("Enter")
    await expect(page.locator("[name=request_id]")).not_to_have_value(drawn_with or "")
    await expect(page.locator("article").last.locator(".body")).to_have_text("Already done.")
    await expect(page.locator("article").last).to_have_attribute("data-status", "complete")


async def test_a_draft_is_kept_on_the_server(page: Page, live: Live) -> None:
    async with page.expect_request("**/draft") as asked:
        await page.get_by_label("Message", exact=True).fill("Half a thou")
    request_id = await page.locator("#composer [name=request_id]").input_value()
    assert (await asked.value).post_data == f"text=Half+a+thou&request_id={request_id}"


async def test_escape_stops_the_answer(page: Page, live: Live) -> None:
    live.messages[1] = running(1, "<p>One.</p>", seq=3)
    live.tell("message", message=live.messages[1].id)
    await expect(body(page, live.messages[1])).to_have_text("One.")
    async with page.expect_request("**/generation?_method=DELETE"):
        await page.keyboard.press("Escape")


async def test_reading_further_up_is_not_moved_by_what_comes(page: Page, live: Live, site: Site) -> None:
    live.messages = [question(0, "line\n" * 80), running(1, "<p>One.</p>", seq=1)]
    await _reload(page, live)
    await page.evaluate("document.getElementById('main').scrollTop = -600")
    before = await top_of_first(page)
    for start in range(1, 9):
        live.send(*block(live.messages[1], start, start + 1, "<p>More.</p>"))
    await expect(body(page, live.messages[1]).locator("p")).to_have_count(9)
    assert abs(await top_of_first(page) - before) < 1
    await page.locator("#to-end").click()
    live.send(*block(live.messages[1], 9, 10, "<p>The end.</p>"))
    await expect(page.get_by_text("The end.")).to_be_in_viewport()


async def test_earlier_messages_load_above_without_a_jump(page: Page, live: Live, site: Site) -> None:
    live.messages = [question(0, "line\n" * 120), message(1, text="Done.")]
    await leave(page, live)
    await page.goto(f"{site.address}/threads/{pages.LIVE.id}?older=1")
    await connection(live)
    await expect(page.locator("article")).to_have_count(2)
    first = page.locator(f"#message-{live.messages[0].id}")
    async with page.expect_response("**/messages?before=*"):
        top = await first.evaluate(
            "article => { const main = document.getElementById('main'); main.scrollTop = 700 - main.scrollHeight + 300;"
            " return article.getBoundingClientRect().top; }"
        )
    await expect(page.locator("article")).to_have_count(22)
    await expect(page.locator("#older")).to_have_count(0)
    assert abs(await first.evaluate("article => article.getBoundingClientRect().top") - top) < 1


async def test_whole_sentences_are_spoken(page: Page, live: Live) -> None:
    answer = live.messages[1]
    live.send(*block(answer, 0, 1, "<p>A whole sentence. And a half</p>"))
    await expect(page.locator("#speech")).to_have_text("A whole sentence.")
    live.messages[1] = message(1, text="A whole sentence. And a half is whole now.")
    live.tell("message", message=answer.id)
    await expect(page.locator("#speech")).to_contain_text("And a half is whole now.")


async def leave(page: Page, live: Live) -> None:
    """Leave the page, and end what it was told: a stream that nobody reads would take the next word for itself."""
    await page.goto("about:blank")
    while live.open:
        for _ in range(live.open):
            live.cut()
        await until("the end of the streams", lambda: not live.open)
    live.connections = queue.Queue()


async def _reload(page: Page, live: Live) -> None:
    address = page.url
    await leave(page, live)
    await page.goto(address)
    await connection(live)


async def top_of_first(page: Page) -> float:
    return float(await page.locator("article").first.evaluate("article => article.getBoundingClientRect().top"))


async def _after_typing(page: Page, route: Any) -> None:
    await page.get_by_label("Message", exact=True).fill("and another")
    await route.continue_()
