"""A turn in the browser: asked, streamed, stopped, continued, tried again; whatever happens, the page is the truth."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, articles, ask, assert_as_reloaded, body, box, button, done, stop
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.model_server import TITLE, ModelServer
from tests.e2e.windows import Windows
from tests.watching import within

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANSWER = ("# Lanterns\n\n", "They are **lit** ", "at dusk.\n\n", "```python\nlit = True\n```\n\n", "- one\n", "- two\n")


async def test_a_question_is_answered_as_it_streams_and_stored(
    page: Page, models: ModelServer, instance: Instance
) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ANSWER[:3], ANSWER[3:])
    await ask(page, "When are the lanterns lit?")
    await expect(body(page).locator("strong")).to_have_text("lit")
    await expect(answers(page)).to_have_attribute("data-status", "running")
    gate.set()
    await done(page)
    await expect(body(page).get_by_role("listitem")).to_have_text(["one", "two"])
    await expect(answers(page).last.locator(".figures")).to_contain_text("lantern-7b")
    question, answer = await instance.stored(thread_of(page.url))
    assert question["content"] == "When are the lanterns lit?"
    assert (answer["content"], answer["status"], answer["finish_reason"]) == ("".join(ANSWER), "complete", "stop")
    assert (answer["input_tokens"], answer["output_tokens"], answer["usage_is_exact"]) == (12, 6, True)
    await assert_as_reloaded(page)


async def test_what_was_refused_while_an_answer_was_written_is_not_said_any_more_after_it(
    page: Page, models: ModelServer, windows: Windows
) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ANSWER[:3], ANSWER[3:])
    await ask(page, "First")
    await expect(body(page).locator("strong")).to_have_text("lit")
    windows.expect([409])
    await ask(page, "Second")
    await expect(page.locator("#error-text")).to_contain_text("An answer is still being written")
    gate.set()
    await done(page)
    await expect(page.locator("#error-text")).to_have_count(0)
    await expect(box(page)).to_have_value("Second")
    models.say("At dawn.")
    await box(page).press("Enter")
    await expect(answers(page)).to_have_count(2)
    await done(page)


async def test_the_first_turn_names_the_thread_everywhere(page: Page, models: ModelServer) -> None:
    models.say("At dusk.")
    await ask(page, "When are the lanterns lit?")
    await expect(page.locator("h1")).to_have_text(TITLE)
    await expect(page.locator("#threads .title").first).to_have_text(TITLE)
    await expect(page).to_have_title(f"{TITLE} · Parley")
    await expect(page.locator("#threads .busy")).to_have_count(0)


async def test_after_sending_the_composer_is_ready_for_the_next_question(page: Page, models: ModelServer) -> None:
    models.say("One.")
    await ask(page, "First")
    await done(page)
    models.say("Two.")
    await ask(page, "Second")
    await expect(box(page)).to_have_value("")
    await expect(box(page)).to_be_focused()
    await expect(answers(page)).to_have_count(2)
    await done(page)
    await expect(body(page)).to_have_text("Two.")
    await assert_as_reloaded(page)


async def test_stopping_keeps_the_text_and_closes_the_connection_to_the_model(
    page: Page, models: ModelServer, instance: Instance
) -> None:
    models.say_until(asyncio.Event(), ["It begins ", "and "])
    await ask(page, "Tell me")
    await expect(body(page)).to_contain_text("It begins and")
    asked = await models.next_question()
    await stop(page)
    async with within("the end of the connection to the model"):
        await asked.closed.wait()
    await done(page, "stopped")
    await expect(body(page)).to_have_text("It begins and")
    await expect(answers(page).last).to_contain_text("You stopped this answer.")
    assert (await instance.stored(thread_of(page.url)))[1]["content"] == "It begins and "
    await assert_as_reloaded(page)


async def test_a_stopped_answer_goes_on_where_it_was(page: Page, models: ModelServer, instance: Instance) -> None:
    models.say_until(asyncio.Event(), ["It begins ", "and "])
    await ask(page, "Tell me")
    await expect(body(page)).to_contain_text("It begins and")
    await page.keyboard.press("Escape")
    await done(page, "stopped")
    models.say("goes on ", "to its end.")
    await button(page, "Continue").click()
    await done(page)
    await expect(body(page)).to_have_text("It begins and goes on to its end.")
    assert len(await instance.stored(thread_of(page.url))) == 2
    sent = models.asked[1].json["messages"]
    assert sent[1] == {"role": "assistant", "content": "It begins and "}
    await assert_as_reloaded(page)


async def test_an_answer_tried_again_stands_beside_the_first(page: Page, models: ModelServer) -> None:
    models.say("The first answer.")
    await ask(page, "Tell me")
    await done(page)
    models.say("The second answer.")
    await button(page, "Try again").click()
    await expect(body(page)).to_have_text("The second answer.")
    await done(page)
    await expect(answers(page)).to_have_count(1)
    await expect(page.locator(".siblings")).to_contain_text("2 of 2")
    await button(page, "Previous answer").click()
    await expect(body(page)).to_have_text("The first answer.")
    await expect(page.locator(".siblings")).to_contain_text("1 of 2")
    await assert_as_reloaded(page)
    await button(page, "Next answer").click()
    await expect(body(page)).to_have_text("The second answer.")
    await assert_as_reloaded(page)


async def test_what_followed_another_answer_comes_back_with_it(page: Page, models: ModelServer) -> None:
    models.say("First.")
    await ask(page, "Tell me")
    await done(page)
    models.say("A second turn.")
    await ask(page, "And then?")
    await expect(answers(page)).to_have_count(2)
    await done(page)
    models.say("Instead.")
    await answers(page).first.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_count(1)
    await done(page)
    await expect(body(page)).to_have_text("Instead.")
    await button(page, "Previous answer").click()
    await expect(answers(page)).to_have_count(2)
    await expect(body(page)).to_have_text("A second turn.")
    await assert_as_reloaded(page)


async def test_reloading_in_the_middle_goes_on(page: Page, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ANSWER[:3], ANSWER[3:])
    await ask(page, "Tell me")
    await expect(body(page)).to_contain_text("at dusk.")
    await page.reload()
    await expect(body(page)).to_contain_text("at dusk.")
    gate.set()
    await done(page)
    await expect(body(page).get_by_role("listitem")).to_have_text(["one", "two"])
    await assert_as_reloaded(page)


async def test_leaving_and_coming_back_goes_on(page: Page, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ANSWER[:2], ANSWER[2:])
    await ask(page, "Tell me")
    await expect(body(page)).to_contain_text("lit")
    await page.get_by_role("link", name="New thread", exact=True).click()
    await expect(page.locator("#threads .busy")).to_have_count(1)
    await page.go_back()
    gate.set()
    await done(page)
    await assert_as_reloaded(page)


async def test_reasoning_is_there_to_be_opened(page: Page, models: ModelServer) -> None:
    models.say("Dusk.", thoughts=["Let me ", "think."])
    await ask(page, "When?")
    await done(page)
    await expect(page.get_by_text("Let me think.")).to_be_hidden()
    await body(page).locator("summary").click()
    await expect(page.get_by_text("Let me think.")).to_be_visible()


async def test_an_answer_at_its_longest_length_can_go_on(page: Page, models: ModelServer) -> None:
    models.say("Half of ", reason="length")
    await ask(page, "Tell me")
    await done(page)
    await expect(answers(page).last).to_contain_text("longest allowed length")
    models.say("it.")
    await button(page, "Continue").click()
    await expect(body(page)).to_have_text("Half of it.")
    await done(page)
    await assert_as_reloaded(page)


async def test_a_question_from_another_tab_is_shown_and_answered_in_both(
    page: Page, windows: Windows, models: ModelServer
) -> None:
    models.say("First.")
    await ask(page, "From the first tab")
    await done(page)
    await expect(page.locator("h1")).to_have_text(TITLE)
    other = await windows.tab(page)
    await other.goto(page.url)
    gate = asyncio.Event()
    models.say_until(gate, ANSWER[:3], ANSWER[3:])
    await ask(other, "From the second tab")
    for one in (page, other):
        await expect(answers(one)).to_have_count(2)
        await expect(body(one)).to_contain_text("at dusk.")
    gate.set()
    for one in (page, other):
        await done(one)
        await assert_as_reloaded(one)
    assert await articles(page) == await articles(other)


async def test_stopping_in_one_tab_stops_in_the_other(page: Page, windows: Windows, models: ModelServer) -> None:
    models.say_until(asyncio.Event(), ["It begins"])
    await ask(page, "Tell me")
    await expect(body(page)).to_have_text("It begins")
    other = await windows.tab(page)
    await other.goto(page.url)
    await stop(other)
    for one in (page, other):
        await done(one, "stopped")
        await assert_as_reloaded(one)


async def test_a_branch_chosen_in_one_tab_is_shown_in_the_other(
    page: Page, windows: Windows, models: ModelServer
) -> None:
    models.say("The first answer.")
    await ask(page, "Tell me")
    await done(page)
    other = await windows.tab(page)
    await other.goto(page.url)
    models.say("The second answer.")
    await button(other, "Try again").click()
    for one in (page, other):
        await expect(body(one)).to_have_text("The second answer.")
        await done(one)
    await button(page, "Previous answer").click()
    for one in (page, other):
        await expect(body(one)).to_have_text("The first answer.")
        await assert_as_reloaded(one)


async def test_another_persons_thread_is_not_there(
    windows: Windows, page: Page, models: ModelServer, instance: Instance
) -> None:
    await ask(page, "A secret")
    await done(page)
    bob: Person = await instance.add_person("Bob")
    window = await windows.open(bob)
    windows.expect([404])
    answer = await window.goto(page.url)
    assert answer is not None
    assert answer.status == 404
    await expect(window.get_by_role("heading", level=1)).to_have_text("Page not found")
    await expect(window.locator("#threads .thread-item")).to_have_count(0)


async def test_a_page_that_was_cut_off_catches_up(
    page: Page, windows: Windows, models: ModelServer, alice: Person
) -> None:
    for words in ("net::ERR_", "Failed to fetch", "htmx:error"):
        windows.expect_saying(words)
    models.say("First.")
    await ask(page, "Tell me")
    await done(page)
    await expect(page.locator("h1")).to_have_text(TITLE)
    elsewhere = await windows.open(alice)
    await elsewhere.goto(page.url)
    await page.context.set_offline(True)
    await elsewhere.get_by_label("Rename or delete this thread").click()
    await elsewhere.locator(".bar").get_by_label("Title").fill("Meanwhile")
    await elsewhere.keyboard.press("Enter")
    await expect(elsewhere.locator("h1")).to_have_text("Meanwhile")
    models.say("Second.")
    await ask(elsewhere, "From elsewhere")
    await expect(answers(elsewhere)).to_have_count(2)
    await done(elsewhere)
    await page.context.set_offline(False)
    await expect(page.locator("h1")).to_have_text("Meanwhile")
    await expect(page.locator("#threads .title")).to_have_text("Meanwhile")
    await expect(body(page)).to_have_text("Second.")
    await done(page)
    assert await articles(page) == await articles(elsewhere)
    await assert_as_reloaded(page)
