"""Threads in the sidebar and in the header: new names, deletion, drafts, the way back."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.e2e.chatting import answers, ask, box, done, draft_is_stored
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.model_server import TITLE, ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def thread(page: Page, models: ModelServer) -> Page:
    """Alice's window on a thread of hers with one turn and its title."""
    await ask(page, "When?")
    await done(page)
    await expect(page.locator("h1")).to_have_text(TITLE)
    return page


async def test_a_new_name_from_the_header_is_shown_everywhere_and_in_other_tabs(thread: Page, windows: Windows) -> None:
    other = await windows.tab(thread)
    await other.goto(thread.url)
    await thread.bring_to_front()
    await thread.get_by_label("Rename or delete this thread").click()
    field = thread.locator(".bar").get_by_label("Title")
    await expect(field).to_be_focused()
    await field.fill("Of lamps & <b>light</b>")
    await field.press("Enter")
    for one in (thread, other):
        await expect(one.locator("h1")).to_have_text("Of lamps & <b>light</b>")
        await expect(one.locator("#threads .title")).to_have_text("Of lamps & <b>light</b>")
        await expect(one).to_have_title("Of lamps & <b>light</b> · Parley")
    await expect(field).to_be_hidden()
    await expect(thread.get_by_label("Rename or delete this thread")).to_be_focused()


async def test_a_new_name_from_the_sidebar_is_shown_everywhere(thread: Page) -> None:
    await thread.get_by_label(f"Rename or delete “{TITLE}”").click()
    field = thread.locator("#sidebar").get_by_label("Title")
    await field.fill("Lamps")
    await field.press("Enter")
    await expect(thread.locator("h1")).to_have_text("Lamps")
    await expect(thread.locator("#threads .title")).to_have_text("Lamps")
    await expect(thread.locator("#threads a[aria-current=page]")).to_have_count(1)
    await expect(thread.get_by_label("Rename or delete “Lamps”")).to_be_focused()
    await thread.reload()
    await expect(thread.locator("h1")).to_have_text("Lamps")


async def test_who_has_gone_on_before_a_new_name_is_stored_keeps_the_focus(thread: Page) -> None:
    stored = asyncio.Event()

    async def hold(route: Route) -> None:
        await stored.wait()
        await route.continue_()

    await thread.route("**/threads/*?_method=PATCH", hold)
    await thread.get_by_label("Rename or delete this thread").click()
    field = thread.locator(".bar").get_by_label("Title")
    await field.fill("Lamps")
    await field.press("Enter")
    await box(thread).focus()
    stored.set()
    await expect(thread.locator("h1")).to_have_text("Lamps")
    await expect(field).to_be_hidden()
    await expect(box(thread)).to_be_focused()


async def test_deleting_asks_first(thread: Page, instance: Instance) -> None:
    number = thread_of(thread.url)
    dialog = thread.locator("#dialog")
    await _ask_deletion(thread)
    await dialog.get_by_role("link", name="Keep it").click()
    await expect(dialog).to_be_hidden()
    assert await instance.stored(number)
    await _ask_deletion(thread)
    await thread.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await _ask_deletion(thread)
    await dialog.get_by_role("button", name="Delete").click()
    await thread.wait_for_url(lambda url: url.endswith("/"))
    await expect(thread.locator("#threads .thread-item")).to_have_count(0)
    assert await instance.stored(number) == []


async def test_deleting_a_thread_leads_its_other_tabs_away(thread: Page, windows: Windows) -> None:
    other = await windows.tab(thread)
    await other.goto(thread.url)
    await _ask_deletion(thread)
    await thread.locator("#dialog").get_by_role("button", name="Delete").click()
    await other.wait_for_url(lambda url: url.endswith("/"))


async def test_another_thread_is_renamed_and_deleted_from_the_sidebar_and_this_one_stays(
    thread: Page, models: ModelServer
) -> None:
    first = thread.url
    models.title = "Another"
    await thread.get_by_role("link", name="New thread", exact=True).click()
    await ask(thread, "And now?")
    await expect(thread.locator("h1")).to_have_text("Another")
    await expect(thread.locator("#threads .title")).to_have_text(["Another", TITLE])
    current = thread.locator("#threads a[aria-current=page]")
    await thread.get_by_label(f"Rename or delete “{TITLE}”").click()
    field = thread.locator("#sidebar").get_by_label("Title").filter(visible=True)
    await field.fill("Older")
    await thread.keyboard.press("Enter")
    await expect(thread.locator("#threads .title")).to_have_text(["Another", "Older"])
    await expect(current).to_have_text("Another")
    await expect(field).to_have_count(0)  # the menu has closed
    await thread.get_by_label("Rename or delete “Older”").click()
    await thread.locator("#sidebar").get_by_role("link", name="Delete…").filter(visible=True).click()
    await thread.locator("#dialog").get_by_role("button", name="Delete").click()
    await expect(thread.locator("#threads .title")).to_have_text(["Another"])
    assert thread.url != first
    await expect(answers(thread)).to_have_count(1)


async def test_a_draft_survives_a_reload_and_leaving(thread: Page) -> None:
    async with draft_is_stored(thread, "Half a thought"):
        await box(thread).press_sequentially("Half a thought")
    await thread.reload()
    await expect(box(thread)).to_have_value("Half a thought")
    await box(thread).press_sequentially(", and more")
    address = thread.url
    await thread.get_by_role("link", name="New thread", exact=True).click()
    await expect(box(thread)).to_have_value("")
    await thread.goto(address)
    await expect(box(thread)).to_have_value("Half a thought, and more")


async def test_the_draft_of_a_new_thread_survives_until_it_is_sent(page: Page) -> None:
    async with draft_is_stored(page, "A first thought"):
        await box(page).press_sequentially("A first thought")
    await page.reload()
    await expect(box(page)).to_have_value("A first thought")
    await box(page).press("Enter")
    await page.wait_for_url("**/threads/*")
    await expect(box(page)).to_have_value("")
    await page.goto("/")
    await expect(box(page)).to_have_value("")


async def test_what_cannot_be_sent_is_not_lost(thread: Page, windows: Windows) -> None:
    for words in ("net::ERR_INTERNET_DISCONNECTED", "Failed to fetch"):
        windows.expect_saying(words)
    await thread.context.set_offline(True)
    await box(thread).fill("Precious")
    await box(thread).press("Enter")
    await expect(thread.get_by_role("alert")).to_contain_text("Nothing is lost")
    await expect(box(thread)).to_have_value("Precious")
    await thread.context.set_offline(False)
    await box(thread).press("Enter")
    await expect(answers(thread)).to_have_count(2)
    await done(thread)


async def test_the_sidebar_loads_on_as_one_scrolls(windows: Windows, instance: Instance, alice: Person) -> None:
    for number in range(90):
        await instance.add_thread(alice, 1, title=f"Thread {number:02}")
    page = await windows.open(alice)
    await page.goto("/")
    items = page.locator("#threads .thread-item")
    await expect(items).to_have_count(40)
    await expect(items.first).to_contain_text("Thread 89")
    for count in (80, 90):
        await page.locator("#threads .more").scroll_into_view_if_needed()
        await expect(items).to_have_count(count)
    await expect(items.last).to_contain_text("Thread 00")
    await expect(page.locator("#threads .more")).to_have_count(0)


async def _ask_deletion(page: Page) -> None:
    await page.get_by_label("Rename or delete this thread").click()
    await page.locator(".bar").get_by_role("link", name="Delete…").click()
    await expect(page.locator("#dialog")).to_be_visible()


async def test_a_thread_just_begun_is_in_sight_wherever_the_sidebar_was(
    page: Page, instance: Instance, alice: Person, models: ModelServer
) -> None:
    for number in range(39):
        await instance.add_thread(alice, 1, title=f"Thread {number:02}")
    await page.goto("/")
    await page.locator("#threads").evaluate("list => { list.scrollTop = list.scrollHeight }")
    await expect(page.locator("#threads").get_by_role("link", name="Thread 00")).to_be_in_viewport()
    await ask(page, "When?")
    await expect(page.locator("#threads a[aria-current=page]")).to_be_in_viewport(ratio=1)
    await page.locator("#threads").evaluate("list => { list.scrollTop = 200 }")
    await page.locator("#threads").get_by_role("link", name="Thread 25").click()
    await expect(page.locator("h1")).to_have_text("Thread 25")
    await page.wait_for_function("document.getElementById('threads').scrollTop === 200")


async def test_what_was_done_is_not_said_over_the_field_that_is_typed_in(thread: Page) -> None:
    await thread.evaluate("document.getElementById('flash').textContent = 'Saved.'")
    await expect(thread.locator("#flash")).to_be_visible()
    await thread.get_by_label("Rename or delete this thread").click()
    await expect(thread.locator(".bar").get_by_label("Title")).to_be_visible()
    await expect(thread.locator("#flash")).to_be_hidden()


async def test_a_link_to_a_message_marks_it_lightly(thread: Page) -> None:
    answer = answers(thread).last
    name = await answer.get_attribute("id")
    await thread.keyboard.press("Tab")  # by the keyboard: where the focus is, is shown
    await thread.goto(f"{thread.url.partition('#')[0]}#{name}")
    await answer.focus()
    assert await answer.evaluate("one => one.matches(':target')")
    width = await answer.evaluate("one => parseFloat(getComputedStyle(one).outlineWidth)")
    assert width <= 1
