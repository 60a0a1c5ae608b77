"""The keyboard alone: the order of Tab, sending, breaking lines, stopping, help, and where the focus goes."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, body, box, done
from tests.e2e.model_server import TITLE, ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

_WHERE = """
() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const isMarked = style.outlineStyle !== "none" || style.boxShadow !== "none" || element.matches("textarea");
  const name = element.getAttribute("aria-label") ?? element.innerText.trim();
  return [name, isMarked, element.matches(":focus-visible")];
}
"""


async def test_tab_reaches_everything_in_the_order_of_the_page_and_shows_where_it_is(page: Page) -> None:
    await ask(page, "Hello")
    await done(page)
    await expect(page.locator("h1")).to_have_text(TITLE)
    await page.reload()
    await page.locator(".skip").focus()
    seen: list[str] = ["Skip to the content"]
    for _ in range(40):
        await page.keyboard.press("Tab")
        name, is_marked, is_visible = await page.evaluate(_WHERE)
        assert is_marked, name
        assert is_visible, name
        seen.append(name)
        if name == "Send":
            break
    wanted = [
        "Skip to the content", "Parley", "New thread", TITLE, f"Rename or delete “{TITLE}”", "Alice",
        "Rename or delete this thread", "Try again", "Copy", "Request",
    ]  # fmt: skip
    places = [seen.index(name) for name in wanted]
    assert places == sorted(places), seen
    assert seen[-1] == "Send"


async def test_the_skip_link_leads_to_the_content(page: Page) -> None:
    await page.locator(".skip").focus()
    await expect(page.locator(".skip")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()


async def test_enter_sends_and_shift_enter_breaks_the_line(page: Page, models: ModelServer) -> None:
    await expect(box(page)).to_be_focused()
    await page.keyboard.type("One")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("Two")
    await expect(box(page)).to_have_value("One\nTwo")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/threads/*")
    await done(page)
    assert models.asked[0].json["messages"][0]["content"] == "One\nTwo"
    await expect(page.locator("article.user .body")).to_have_text("One\nTwo", use_inner_text=True)


async def test_the_composer_grows_with_its_text_up_to_a_part_of_the_page(page: Page) -> None:
    small = await box(page).bounding_box()
    await box(page).fill("line\n" * 6)
    grown = await box(page).bounding_box()
    await box(page).fill("line\n" * 300)
    most = await box(page).bounding_box()
    assert small
    assert grown
    assert most
    assert small["height"] < grown["height"] < most["height"] < 900 * 0.7


async def test_after_each_send_typing_goes_on_in_the_composer(page: Page, models: ModelServer) -> None:
    await page.keyboard.type("One")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/threads/*")
    await expect(box(page)).to_be_focused()
    await done(page)
    gate = asyncio.Event()
    models.say_until(gate, ["It begins"])
    await page.keyboard.type("Two")
    await page.keyboard.press("Enter")
    await page.keyboard.type("Three")
    await expect(body(page)).to_have_text("It begins")
    await expect(box(page)).to_have_value("Three")
    await expect(box(page)).to_be_focused()
    gate.set()
    await done(page)
    await expect(box(page)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(answers(page)).to_have_count(3)
    await done(page)


async def test_escape_closes_what_is_open_before_it_stops_the_answer(page: Page, models: ModelServer) -> None:
    models.say_until(asyncio.Event(), ["It begins"])
    await ask(page, "Tell me")
    await expect(body(page)).to_have_text("It begins")
    await page.get_by_role("button", name="Options").click()
    await page.keyboard.press("Escape")
    await expect(page.locator("#options-panel")).to_be_hidden()
    await page.get_by_label("Rename or delete this thread").click()
    await page.keyboard.press("Escape")
    await expect(page.locator(".bar").get_by_label("Title")).to_be_hidden()
    await expect(answers(page)).to_have_attribute("data-status", "running")
    await page.keyboard.press("Escape")
    await done(page, "stopped")


async def test_the_question_mark_lists_the_keys_and_letters_move_between_messages(page: Page) -> None:
    await ask(page, "One")
    await done(page)
    await box(page).press("Tab")
    await page.locator("h1").click()
    await page.keyboard.press("?")
    await expect(page.locator("#shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#shortcuts")).to_be_hidden()
    await page.keyboard.press("k")
    await expect(page.locator("article").last).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator("article").first).to_be_focused()
    await page.keyboard.press("j")
    await expect(page.locator("article").last).to_be_focused()
    await page.keyboard.press("/")
    await expect(box(page)).to_be_focused()
    await page.keyboard.type("?/jk")
    await expect(box(page)).to_have_value("?/jk")


async def test_a_thread_is_renamed_and_deleted_by_keys_alone(page: Page) -> None:
    await ask(page, "One")
    await done(page)
    await expect(page.locator("h1")).to_have_text(TITLE)
    await page.get_by_label("Rename or delete this thread").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".bar").get_by_label("Title")).to_be_focused()
    await page.keyboard.type("By keys")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("By keys")
    await expect(page.get_by_label("Rename or delete this thread")).to_be_focused()  # the menu has closed
    await page.keyboard.press("Enter")
    await expect(page.locator(".bar").get_by_label("Title")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(page.locator(".bar").get_by_role("link", name="Print…")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#dialog")).to_be_visible()
    await expect(page.locator("#dialog").locator(":focus")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(page.locator("#dialog")).to_be_hidden()
    await expect(page.locator("h1")).to_have_text("By keys")


async def test_the_button_that_had_the_focus_is_gone_and_the_focus_stays_at_its_message(
    page: Page, models: ModelServer
) -> None:
    models.say("One.")
    await ask(page, "Tell me")
    await done(page)
    models.say("Two.")
    await answers(page).last.get_by_role("button", name="Try again").focus()
    await page.keyboard.press("Enter")
    await expect(body(page)).to_have_text("Two.")
    await done(page)
    await expect(answers(page).last).to_be_focused()
    await answers(page).last.get_by_role("button", name="Previous answer").focus()
    await page.keyboard.press("Enter")
    await expect(body(page)).to_have_text("One.")
    await expect(answers(page).last).to_be_focused()
