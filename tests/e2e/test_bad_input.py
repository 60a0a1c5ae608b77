"""What goes wrong at a person's end: too much, too little, a model that is gone. The text stays, the page says why."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, assert_as_reloaded, body, box, button, done, stop
from tests.e2e.instance import Instance, thread_of
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.scripted import OPENAI, Close, Send, chunk, whole
from tests.tiers import in_tiers, soaked

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT = 200_000


async def test_nothing_is_not_sent(page: Page, windows: Windows, models: ModelServer) -> None:
    windows.expect([422])
    await box(page).press("Enter")
    for nothing in ("   ", "\n\n"):
        await box(page).fill(nothing)
        async with page.expect_navigation():
            await box(page).press("Enter")
        await expect(page.locator("#error-text")).to_be_visible()
        await expect(box(page)).to_have_value("")
    await expect(answers(page)).to_have_count(0)
    assert models.questions == []


async def test_too_much_is_not_sent_and_says_by_how_much(page: Page) -> None:
    await box(page).fill("é" * (LIMIT + 1))
    await expect(page.locator(".counter")).to_have_text("1 character over the limit")
    await page.get_by_role("button", name="Send").click()
    assert await box(page).evaluate("area => area.validationMessage") == "1 character over the limit"
    await expect(answers(page)).to_have_count(0)
    await box(page).press("Backspace")
    await expect(page.locator(".counter")).to_have_text("0 characters left")


@pytest.mark.parametrize("length", in_tiers(1_000_000, 10_000_000))
async def test_very_many_characters_are_counted_and_kept(page: Page, models: ModelServer, length: int) -> None:
    text = "é" * length
    await _put(page, text)
    await expect(page.locator(".counter")).to_have_text(f"{length - LIMIT:,} characters over the limit")
    await page.get_by_role("button", name="Send").click()
    assert await box(page).evaluate("area => area.validationMessage") == f"{length - LIMIT:,} characters over the limit"
    assert await box(page).input_value() == text
    await box(page).fill("Short")
    await box(page).press("Enter")
    await page.wait_for_url("**/threads/*")
    await done(page)
    assert [each.json["messages"][0]["content"] for each in models.asked] == ["Short"]


@pytest.mark.parametrize("length", [LIMIT + 1, 1_000_000, soaked(10_000_000)])
async def test_too_much_is_refused_with_a_sentence_and_kept(page: Page, windows: Windows, length: int) -> None:
    windows.expect([413, 422])
    await ask(page, "Short")
    await done(page)
    text = "x" * length
    await _put(page, text)
    # What the page itself would not send.
    await page.locator("#composer").evaluate("form => { form.noValidate = true }")
    await page.get_by_role("button", name="Send").click()
    refusal = page.locator("#error-text").or_(page.locator("#notice p").first)
    await expect(refusal).to_contain_text("200,000" if length < 4_000_000 else "4,000,000 bytes")
    await _is_kept(page, text)
    await expect(answers(page)).to_have_count(1)
    await box(page).fill("Short again")
    await page.get_by_role("button", name="Send").click()
    await expect(answers(page)).to_have_count(2)
    await done(page)


async def test_too_much_for_a_new_thread_is_refused_with_a_sentence_and_kept(page: Page, windows: Windows) -> None:
    windows.expect([422])
    text = "x" * (LIMIT + 1)
    await _put(page, text)
    await page.locator("#composer").evaluate("form => { form.noValidate = true }")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#error-text")).to_contain_text("200,000")
    await _is_kept(page, text)


async def test_the_longest_question_is_taken_whole(page: Page, models: ModelServer, instance: Instance) -> None:
    text = "lantern " * (LIMIT // 8)
    await ask(page, text)
    await done(page)
    assert models.asked[0].json["messages"][0]["content"] == text
    assert (await instance.stored(thread_of(page.url)))[0]["content"] == text


async def test_odd_characters_arrive_as_they_were_typed(page: Page, models: ModelServer) -> None:
    text = "\u202eRTL \u0000NUL \ud83c\udffd 👩‍👩‍👧‍👦 e\u0301 \ufeff <b>&amp;</b>\n\n\tTab \\( \\) ``` ]]>"
    await _put(page, text)
    await box(page).press("Enter")
    await page.wait_for_url("**/threads/*")
    await done(page)
    assert models.asked[0].json["messages"][0]["content"].endswith("<b>&amp;</b>\n\n\tTab \\( \\) ``` ]]>")
    await expect(page.locator("article.user")).to_contain_text("<b>&amp;</b>")
    await assert_as_reloaded(page)


async def test_a_second_question_while_the_answer_runs_is_refused_with_a_sentence(
    page: Page, windows: Windows, models: ModelServer
) -> None:
    windows.expect([409])
    models.say_until(asyncio.Event(), ["It begins"])
    await ask(page, "Tell me")
    await expect(body(page)).to_have_text("It begins")
    await ask(page, "And this?")
    await expect(page.locator("#error-text")).to_be_visible()
    await expect(box(page)).to_have_value("And this?")
    await stop(page)
    await done(page, "stopped")
    models.say("Now.")
    await box(page).press("Enter")
    await expect(answers(page)).to_have_count(2)
    await expect(body(page)).to_have_text("Now.")


async def test_a_model_that_vanished_is_said_to_be_gone_and_another_one_answers(
    windows: Windows, page: Page, instance: Instance, models: ModelServer
) -> None:
    windows.expect([422])
    async with ModelServer(["passing-1b"]) as passing:
        await instance.connect("Passing", passing)
        await page.goto("/")
        await page.get_by_label("Model", exact=True).select_option(label="passing-1b")
        await ask(page, "First")
        await done(page)
        # The page does not hear of it before it asks: else its picker would be drawn anew, with another model.
        await page.route("**/catalog*", lambda route: route.fulfill(status=204))
        owner = await windows.open(await instance.add_person("Olive", is_owner=True))
        await owner.goto("/providers")
        await owner.get_by_role("link", name="Disconnect Passing").click()
        dialog = owner.locator("#dialog")
        await dialog.get_by_role("link", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        await expect(owner.get_by_role("link", name="Disconnect Passing")).to_be_visible()
        await owner.get_by_role("link", name="Disconnect Passing").click()
        await dialog.get_by_role("button", name="Disconnect").click()
        await expect(owner.get_by_text("Passing is disconnected.")).to_be_visible()
        await expect(owner.get_by_role("link", name="Disconnect Passing")).to_have_count(0)
    await ask(page, "Second")
    await expect(page.locator("#error-model")).to_contain_text("Choose a model")
    await expect(box(page)).to_have_value("Second")
    await page.get_by_label("Model", exact=True).select_option(label="lantern-7b")
    models.say("I am another.")
    await box(page).press("Enter")
    await expect(answers(page)).to_have_count(2)
    await expect(body(page)).to_have_text("I am another.")
    await page.reload()
    await expect(page.locator("#model option:checked")).to_have_text("lantern-7b")
    models.say("Again.")
    await answers(page).first.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_count(1)
    await expect(body(page)).to_have_text("Again.")


async def test_a_model_server_that_refuses_is_quoted_and_can_be_asked_again(page: Page, models: ModelServer) -> None:
    models.script(*whole(OPENAI.error_body("temperature is wrong <b>today</b>"), 400))
    await ask(page, "Tell me")
    await done(page, "failed")
    await expect(answers(page).last.locator(".problem")).to_have_text(
        "Harbour refused the request: temperature is wrong today"
    )
    await assert_as_reloaded(page)
    models.say("Well then.")
    await button(page, "Try again").click()
    await expect(body(page)).to_have_text("Well then.")
    await done(page)


async def test_an_answer_that_breaks_off_is_kept_and_goes_on(page: Page, models: ModelServer) -> None:
    models.script(OPENAI.head(), Send(chunk(OPENAI.text("Half an ans"))), Close())
    await ask(page, "Tell me")
    await done(page, "interrupted")
    await expect(body(page)).to_have_text("Half an ans")
    await expect(answers(page).last.locator(".problem")).to_contain_text("broke off")
    await assert_as_reloaded(page)
    models.say("wer.")
    await button(page, "Continue").click()
    await expect(body(page)).to_have_text("Half an answer.")
    await done(page)


async def test_a_page_of_another_sign_in_is_told_to_load_again(windows: Windows, page: Page) -> None:
    windows.expect([403])
    await page.locator("#composer [name=_csrf]").evaluate("field => { field.value = 'x'.repeat(43) }")
    await box(page).fill("Hello")
    await box(page).press("Enter")
    await expect(page.get_by_text("Load the page again")).to_be_visible()
    await expect(
        page.get_by_role("link", name="Go back").or_(page.get_by_role("link", name="To the start"))
    ).to_be_visible()


async def _is_kept(page: Page, text: str) -> None:
    """It is in the box again; compared in the page, as there may be ten million characters of it."""
    await page.wait_for_function("text => document.getElementById('text').value === text", arg=text)


async def _put(page: Page, text: str) -> None:
    """Paste: no keyboard types this much, or such characters."""
    await box(page).evaluate(
        "(area, text) => { area.value = text; area.dispatchEvent(new Event('input', {bubbles: true})) }", text
    )
