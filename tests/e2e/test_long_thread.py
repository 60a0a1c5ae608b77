"""A thread of 300 messages: opened at its end, read upward without a jump, left alone while something comes below."""

import asyncio
import uuid

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, body, done
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.scripted import OPENAI, Paced, Send, Wait, chunk

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURNS = 150


@pytest_asyncio.fixture(loop_scope="session")
async def thread(instance: Instance, alice: Person, models: ModelServer) -> uuid.UUID:
    return await instance.add_thread(alice, TURNS)


@pytest_asyncio.fixture(loop_scope="session")
async def page(windows: Windows, alice: Person, thread: uuid.UUID) -> Page:
    opened = await windows.open(alice)
    await opened.goto(f"/threads/{thread}")
    return opened


async def test_it_opens_at_its_end_with_a_window_of_messages(page: Page) -> None:
    await expect(answers(page).last).to_be_in_viewport()
    await expect(answers(page).last).to_contain_text(f"Answer {2 * TURNS - 1}")
    assert await page.locator("article").count() <= 80
    await expect(page.locator("#to-end")).to_be_hidden()


async def test_older_messages_load_above_without_a_jump(page: Page) -> None:
    shown = await page.locator("article").count()
    while shown < 2 * TURNS:
        eye = page.locator("article").nth(3)
        number = await eye.get_attribute("id")
        held = page.locator(f"#{number}")
        # Near enough to the top for more to be loaded, and what is read is in the middle of the window.
        await held.evaluate("element => element.scrollIntoView({ block: 'center' })")
        before = await held.bounding_box()
        await expect(page.locator("article").nth(shown)).to_be_attached()
        await expect(page.locator("#older.htmx-request")).to_have_count(0)
        after = await held.bounding_box()
        assert before
        assert after
        assert abs(after["y"] - before["y"]) < 2
        shown = await page.locator("article").count()
    await expect(page.locator("article").first).to_contain_text("Question 0")
    await expect(page.locator("#older")).to_have_count(0)
    numbers = await page.locator("article").evaluate_all("all => all.map((each) => Number(each.dataset.depth))")
    assert numbers == list(range(2 * TURNS))


async def test_a_question_goes_to_the_end_and_its_answer_is_followed(page: Page, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ["One line.\n\n"] * 60, ["Line.\n\n"] * 60 + ["The last line."])
    await ask(page, "And now?")
    await expect(body(page).locator("p")).to_have_count(60)
    await expect(body(page).locator("p").last).to_be_in_viewport()
    gate.set()
    await done(page)
    await expect(page.get_by_text("The last line.")).to_be_in_viewport()
    assert await page.locator("article").count() <= 82


async def test_who_reads_further_up_is_left_alone_and_told(page: Page, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ["It begins.\n\n"], ["More.\n\n"] * 80 + ["The last line."])
    await ask(page, "And now?")
    await expect(body(page)).to_contain_text("It begins.")
    eye = answers(page).nth(-4)
    await eye.evaluate("element => element.scrollIntoView({ block: 'center' })")
    before = await eye.bounding_box()
    button = page.locator("#to-end")
    gate.set()
    await done(page)
    after = await eye.bounding_box()
    assert before
    assert after
    assert abs(after["y"] - before["y"]) < 2
    await expect(button).to_be_visible()
    await button.click()
    await expect(page.get_by_text("The last line.")).to_be_in_viewport()
    await expect(button).to_be_hidden()


async def test_words_that_are_added_further_down_are_told_while_they_come(page: Page, models: ModelServer) -> None:
    gate, end = asyncio.Event(), asyncio.Event()
    begins, words = (chunk(OPENAI.text(text)) for text in ("It begins", " and goes on"))
    models.script(
        OPENAI.head(), Send(begins), Wait(gate), Paced((words,) * 100, 100), Wait(end), *OPENAI.answer(["."])[1:]
    )
    await ask(page, "And now?")
    await expect(body(page)).to_contain_text("It begins")
    await answers(page).nth(-4).evaluate("element => element.scrollIntoView({ block: 'center' })")
    button = page.locator("#to-end")
    await expect(button).to_be_visible()
    await expect(button.get_by_text("New")).to_be_hidden()
    gate.set()
    await expect(button.get_by_text("New")).to_be_visible()
    await expect(body(page)).to_contain_text("It begins" + " and goes on" * 100)
    end.set()
    await done(page)


async def test_coming_back_to_the_thread_from_elsewhere_opens_it_at_its_end(page: Page, thread: uuid.UUID) -> None:
    await page.goto("/profile")
    await page.go_back()
    await expect(answers(page).last).to_be_in_viewport()


async def test_a_link_to_a_message_shows_it(page: Page, thread: uuid.UUID, instance: Instance) -> None:
    message = (await instance.stored(thread))[-8]["id"]
    await page.goto("about:blank")
    await page.goto(f"/threads/{thread}#message-{message}")
    await expect(page.locator(f"#message-{message}")).to_be_in_viewport()
