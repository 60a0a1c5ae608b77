"""Text that was written and could not be sent or stored: it is there again, for who wrote it, until it is sent."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, body, box, button, done, draft_is_stored, stop
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.people import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_first_question_outlives_being_signed_out_elsewhere(
    page: Page, instance: Instance, alice: Person, models: ModelServer
) -> None:
    await _sign_out_elsewhere(instance, alice)
    await box(page).fill("Precious")
    await box(page).press("Enter")
    await _sign_in(page, alice)
    await expect(box(page)).to_have_value("Precious")
    await ask(page, "Precious")
    await done(page)
    await page.get_by_role("link", name="New thread", exact=True).click()
    await expect(box(page)).to_have_value("")


async def test_a_later_question_outlives_being_signed_out_elsewhere(
    page: Page, windows: Windows, instance: Instance, alice: Person, models: ModelServer
) -> None:
    windows.expect([401])
    await ask(page, "First")
    await done(page)
    await page.route("**/draft", lambda route: route.abort())
    windows.expect_saying("net::ERR_FAILED")
    await box(page).fill("Precious")
    await _sign_out_elsewhere(instance, alice)
    await box(page).press("Enter")
    await _sign_in(page, alice)
    await expect(box(page)).to_have_value("Precious")
    await box(page).press("Enter")
    await expect(answers(page)).to_have_count(2)
    await done(page)
    await page.reload()
    await expect(box(page)).to_have_value("")


async def test_what_one_person_wrote_is_not_shown_to_the_next(
    page: Page, windows: Windows, instance: Instance, alice: Person
) -> None:
    bob = await instance.add_person("Bob")
    await _sign_out_elsewhere(instance, alice)
    await box(page).fill("Precious")
    await box(page).press("Enter")
    await _sign_in(page, bob)
    await expect(box(page)).to_have_value("")


async def test_going_back_after_sending_finds_an_empty_composer_that_sends(page: Page, models: ModelServer) -> None:
    await ask(page, "First")
    first = page.url
    await done(page)
    await page.go_back()
    await expect(box(page)).to_have_value("")
    await ask(page, "Another")
    await done(page)
    assert page.url != first
    await expect(page.locator("article.user .body")).to_have_text("Another")


async def test_a_draft_that_was_erased_stays_erased(page: Page) -> None:
    async with draft_is_stored(page, "Half a thou"):
        await box(page).fill("Half a thou")
    async with draft_is_stored(page, ""):
        await box(page).fill("")
    await page.reload()
    await expect(box(page)).to_have_value("")


async def test_a_thread_being_tried_again_or_continued_is_marked_in_the_sidebar(
    page: Page, models: ModelServer
) -> None:
    models.say("Once.")
    await ask(page, "Tell me")
    await done(page)
    await expect(page.locator("#threads .busy")).to_have_count(0)
    await _is_marked(page, False)
    models.say_until(asyncio.Event(), ["Twice"])
    await button(page, "Try again").click()
    await expect(body(page)).to_have_text("Twice")
    await _is_marked(page, True)
    await stop(page)
    await done(page, "stopped")
    await expect(box(page)).to_be_focused()
    await _is_marked(page, False)
    gate = asyncio.Event()
    models.say_until(gate, [" and"], [" more."])
    await button(page, "Continue").press("Enter")
    await expect(body(page)).to_have_text("Twice and")
    await _is_marked(page, True)
    await expect(answers(page).last).to_be_focused()
    gate.set()
    await done(page)
    await expect(answers(page).last).to_be_focused()


async def _is_marked(page: Page, is_busy: bool) -> None:
    """Behind the title of the open thread, by the news or by the stylesheet, a moment later at the latest; and once."""
    await page.wait_for_function(
        """(isBusy) => {
          const link = document.querySelector("#threads a[aria-current=page]");
          const drawn = getComputedStyle(link, "::after").content === '""';
          return Number(drawn) + link.querySelectorAll(".busy").length === Number(isBusy);
        }""",
        arg=is_busy,
    )


async def _sign_out_elsewhere(instance: Instance, person: Person) -> None:
    await instance.sql('DELETE FROM session WHERE "user" = $1', person.id)


async def _sign_in(page: Page, person: Person) -> None:
    await page.get_by_label("Email").fill(person.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(box(page)).to_be_visible()
