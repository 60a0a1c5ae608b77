"""A question in other words: another version beside it, with a branch of its own; from the keyboard, and without scripts."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.e2e.chatting import answers, ask, assert_as_reloaded, body, box, done
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.model_server import TITLE, ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def thread(page: Page, models: ModelServer) -> Page:
    """Alice's window on a thread with two turns."""
    for question, answer in (("Where?", "Here."), ("When?", "Now.")):
        models.say(answer)
        await ask(page, question)
        await done(page)
        await expect(body(page)).to_have_text(answer)
    await expect(page.locator("h1")).to_have_text(TITLE)
    return page


def questions(page: Page) -> Locator:
    """The texts of the questions on the page, oldest first."""
    return page.locator("article.user > .body")


async def test_arrow_up_in_an_empty_composer_changes_the_last_question(
    thread: Page, windows: Windows, models: ModelServer
) -> None:
    other = await windows.tab(thread)
    await other.goto(thread.url)
    await thread.bring_to_front()
    await box(thread).press("ArrowUp")
    field = thread.locator("#dialog").get_by_label("Question", exact=True)
    await expect(field).to_be_focused()
    await expect(field).to_have_value("When?")
    models.say("Tomorrow.")
    await thread.keyboard.type(" Tomorrow?")
    await thread.keyboard.press("Enter")
    await expect(thread.locator("#dialog")).to_be_hidden()
    for one in (thread, other):
        await expect(questions(one)).to_have_text(["Where?", "When? Tomorrow?"])
        await expect(answers(one).locator(".body")).to_have_text(["Here.", "Tomorrow."])
    await expect(box(thread)).to_be_focused()
    assert [message["content"] for message in models.asked[-1].json["messages"]] == [
        "Where?",
        "Here.",
        "When? Tomorrow?",
    ]
    for one in (thread, other):
        await assert_as_reloaded(one)


async def test_the_versions_of_a_question_lead_to_what_followed_each(thread: Page, models: ModelServer) -> None:
    first = thread.locator("article.user").first
    await first.hover()
    await first.get_by_role("link", name="Edit").click()
    models.say("There.")
    await thread.locator("#dialog").get_by_label("Question", exact=True).fill("Where else?")
    await thread.locator("#dialog").get_by_role("button", name="Ask").click()
    await expect(questions(thread)).to_have_text(["Where else?"])
    await done(thread)
    await thread.get_by_role("button", name="Previous version").click()
    await expect(questions(thread)).to_have_text(["Where?", "When?"])
    await assert_as_reloaded(thread)
    await thread.get_by_role("button", name="Next version").click()
    await expect(questions(thread)).to_have_text(["Where else?"])
    await expect(body(thread)).to_have_text("There.")
    await assert_as_reloaded(thread)


async def test_a_frame_that_comes_while_the_dialog_closes_does_not_open_it_again(thread: Page) -> None:
    question = thread.locator("article.user").last
    dialog = thread.locator("#dialog")
    for _ in range(2):
        await question.hover()
        await question.get_by_role("link", name="Edit").click()
        await expect(dialog).to_be_visible()
        # A dialog closes at once, and says so a task later: what an answer brings is swapped in between.
        await thread.evaluate("""() => {
            document.getElementById("dialog").close();
            document.dispatchEvent(new CustomEvent("htmx:after:swap", { detail: { ctx: {} } }));
        }""")
        await expect(dialog).to_be_empty()
        await expect(dialog).to_be_hidden()


async def test_a_draft_and_a_typed_text_are_left_alone(thread: Page) -> None:
    await box(thread).fill("Half a thought")
    await box(thread).press("ArrowUp")
    await expect(thread.locator("#dialog")).to_be_hidden()
    question = thread.locator("article.user").last
    await question.hover()
    await question.get_by_role("link", name="Edit").click()
    await expect(thread.locator("#dialog")).to_be_visible()
    await thread.keyboard.press("Escape")
    await expect(thread.locator("#dialog")).to_be_hidden()
    await expect(box(thread)).to_have_value("Half a thought")


async def test_what_cannot_be_asked_now_stays_in_the_dialog_with_the_reason(
    thread: Page, windows: Windows, models: ModelServer
) -> None:
    windows.expect({409})
    release = asyncio.Event()
    models.say_until(release, ["Wait. "], ["Done."])
    await ask(thread, "And?")
    await expect(body(thread)).to_have_text("Wait.")
    await box(thread).press("ArrowUp")
    field = thread.locator("#dialog").get_by_label("Question", exact=True)
    await field.fill("And now?")
    await field.press("Enter")
    await expect(thread.locator("#dialog .error")).to_contain_text("An answer is still being written")
    await expect(field).to_have_value("And now?")
    release.set()
    await done(thread)
    await field.press("Enter")
    await expect(thread.locator("#dialog")).to_be_hidden()
    await expect(questions(thread)).to_have_text(["Where?", "When?", "And now?"])
    await done(thread)
    await assert_as_reloaded(thread)


async def test_a_question_far_up_is_changed_and_the_page_begins_there(
    page: Page, windows: Windows, instance: Instance, alice: Person, models: ModelServer
) -> None:
    thread = await instance.add_thread(alice, 30)
    await page.goto(f"/threads/{thread}")
    other = await windows.tab(page)
    await other.goto(page.url)
    await page.bring_to_front()
    await page.locator("#older").scroll_into_view_if_needed()
    await expect(page.locator("article")).to_have_count(60)
    first = page.locator("article.user").first
    await first.hover()
    await first.get_by_role("link", name="Edit").click()
    await page.locator("#dialog").get_by_label("Question", exact=True).fill("From the beginning")
    await page.locator("#dialog").get_by_role("button", name="Ask").click()
    for one in (page, other):
        await expect(one.locator("article")).to_have_count(2)
        await done(one)
        await assert_as_reloaded(one)
        await expect(one.locator("#older")).to_have_count(0)


async def test_without_scripts_a_question_is_changed_on_a_page_of_its_own(
    windows: Windows, thread: Page, alice: Person, instance: Instance, models: ModelServer
) -> None:
    plain = await windows.open(alice, java_script_enabled=False)
    await plain.goto(thread.url)
    windows.expect({422})
    await plain.get_by_role("link", name="Edit").last.click()
    field = plain.get_by_label("Question", exact=True)
    await expect(field).to_have_value("When?")
    await field.fill(" ")
    await plain.get_by_role("button", name="Ask").click()
    await expect(plain.locator(".error")).to_contain_text("Write something first.")
    await field.fill("When else?")
    await plain.get_by_role("button", name="Ask").click()
    await instance.until_final(thread_of(thread.url))
    await plain.goto(thread.url)
    await expect(questions(plain)).to_have_text(["Where?", "When else?"])
    await plain.get_by_role("button", name="Previous version").click()
    await expect(questions(plain)).to_have_text(["Where?", "When?"])
