"""A thread's options, and the request that came of them."""

import json
import re

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, box, done
from tests.e2e.instance import Instance, thread_of
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_options_are_stored_sent_and_shown_in_the_request(
    page: Page, models: ModelServer, instance: Instance
) -> None:
    await ask(page, "First")
    await done(page)
    await _open_options(page)
    await page.get_by_label("System prompt").fill("Speak like a harbour master.\nBriefly.")
    await page.get_by_label("Temperature", exact=True).fill("0.25")
    await page.get_by_label("Top p").fill("0.9")
    await page.get_by_label("Longest answer, in tokens").fill("64")
    await page.get_by_label("Stop sequences, one per line").fill("END\nSTOP")
    await page.get_by_label("Reasoning effort").select_option("high")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.locator("#options-panel")).to_be_hidden()
    await expect(page.get_by_role("button", name="Options")).to_be_focused()
    await page.reload()
    await _open_options(page)
    await expect(page.get_by_label("Temperature", exact=True)).to_have_value("0.25")
    await expect(page.get_by_label("Stop sequences, one per line")).to_have_value("END\nSTOP")
    await page.keyboard.press("Escape")
    await ask(page, "Second")
    await expect(answers(page)).to_have_count(2)
    await done(page)
    sent = models.asked[-1].json
    assert sent["messages"][0] == {"role": "system", "content": "Speak like a harbour master.\nBriefly."}
    wanted = {"temperature": 0.25, "top_p": 0.9, "max_tokens": 64, "stop": ["END", "STOP"]}
    assert wanted.items() <= sent.items()
    assert "top_k" not in sent
    stored = await instance.sql("SELECT options FROM thread WHERE id = $1", thread_of(page.url))
    kept = json.loads(stored[0]["options"])
    assert (kept["temperature"], kept["reasoning_effort"]) == (0.25, "high")

    await answers(page).last.get_by_role("link", name="Request").click()
    shown = json.loads(await page.locator("#request-json").inner_text())
    assert shown == sent
    await expect(page.locator(".attempts")).to_contain_text("Harbour · lantern-7b")
    await page.get_by_role("link", name="Back to the answer").click()
    await expect(answers(page).last).to_be_in_viewport()


async def test_options_of_a_new_thread_are_taken_along(page: Page, models: ModelServer) -> None:
    await _open_options(page)
    await page.get_by_label("System prompt").fill("Be brief.")
    await page.get_by_label("Temperature", exact=True).fill("0")
    await page.keyboard.press("Escape")
    await ask(page, "Hello")
    await done(page)
    sent = models.asked[0].json
    assert (sent["messages"][0]["content"], sent["temperature"]) == ("Be brief.", 0)
    await _open_options(page)
    await expect(page.get_by_label("System prompt")).to_have_value("Be brief.")


async def test_a_value_that_cannot_be_is_explained_beside_its_field(page: Page, windows: Windows) -> None:
    await ask(page, "First")
    await done(page)
    windows.expect([422])
    await _open_options(page)
    await page.get_by_label("Temperature", exact=True).fill("3")
    await page.get_by_label("Top p").fill("a lot")
    await page.get_by_label("Context window, in tokens").fill("12")
    await page.get_by_label("System prompt").fill("Kept.")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(page.locator("#error-temperature")).to_have_text("A number from 0 to 2.")
    await expect(page.locator("#error-context_window")).to_have_text("A whole number from 256 to 10,000,000.")
    await expect(page.locator("#error-top_p")).to_have_text("A number from 0 to 1.")
    await expect(page.get_by_label("Temperature", exact=True)).to_have_accessible_description("A number from 0 to 2.")
    await expect(page.get_by_label("Temperature", exact=True)).to_have_value("3")
    await expect(page.get_by_label("Top p")).to_have_value("a lot")
    await expect(page.get_by_label("Temperature", exact=True)).to_be_focused()
    await expect(page.get_by_label("System prompt")).to_have_value("Kept.")
    await page.reload()
    await expect(page.get_by_label("System prompt")).to_have_value("")


async def test_a_new_thread_is_not_begun_with_options_that_cannot_be(
    page: Page, windows: Windows, models: ModelServer
) -> None:
    windows.expect([422])
    await _open_options(page)
    await page.get_by_label("Temperature", exact=True).fill("3")
    await page.locator("#options-panel").get_by_role("button", name="Close").click()
    await box(page).fill("Hello")
    await box(page).press("Enter")
    await expect(page.locator("#error-temperature")).to_have_text("A number from 0 to 2.")
    await expect(page.locator("#error-options")).to_contain_text("Some options cannot be used.")
    await expect(page.get_by_label("Temperature", exact=True)).to_be_focused()
    await expect(box(page)).to_have_value("Hello")
    await page.get_by_label("Temperature", exact=True).fill("1")
    await page.locator("#options-panel").get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Send").click()
    await page.wait_for_url("**/threads/*")
    await done(page)
    assert models.asked[0].json["temperature"] == 1


async def test_what_a_model_does_not_take_is_said_kept_and_not_sent(page: Page, models: ModelServer) -> None:
    await _open_options(page)
    await expect(page.locator("#options-panel")).to_contain_text("They go along with your first question")
    await _assert_untaken(page)
    await page.get_by_label("Top k").fill("40")
    await page.keyboard.press("Escape")
    await ask(page, "First")
    await done(page)
    assert "top_k" not in models.asked[0].json
    await _open_options(page)
    await _assert_untaken(page)
    await expect(page.get_by_label("Top k")).to_have_value("40")
    await page.get_by_label("Temperature", exact=True).fill("0,5")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await _open_options(page)
    await _assert_untaken(page)
    await expect(page.get_by_label("Top k")).to_have_value("40")
    await expect(page.get_by_label("Temperature", exact=True)).to_have_value("0.5")


async def test_another_model_can_be_picked_for_the_next_question(page: Page, models: ModelServer) -> None:
    await ask(page, "First")
    await done(page)
    await page.get_by_label("Model", exact=True).select_option(label="tide-2b")
    await ask(page, "Second")
    await expect(answers(page)).to_have_count(2)
    await done(page)
    assert [request.json["model"] for request in models.asked] == ["lantern-7b", "tide-2b"]
    await expect(page.locator("#model option:checked")).to_have_text("tide-2b")
    await expect(answers(page).last.locator(".figures")).to_contain_text("tide-2b")


async def test_what_differs_from_the_defaults_is_marked_and_has_a_way_back(
    page: Page, models: ModelServer, instance: Instance
) -> None:
    await ask(page, "First")
    await done(page)
    options = page.get_by_role("button", name="Options")
    await expect(options).to_have_accessible_name("Options")
    await _open_options(page)
    await page.get_by_label("Temperature", exact=True).fill("0.5")
    await page.get_by_label("System prompt").fill("Be brief.")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(options).to_have_accessible_name("Options 2 changed")
    await page.reload()
    await expect(options).to_have_accessible_name("Options 2 changed")
    await _open_options(page)
    said = "Changed here. Without that: automatic."
    await expect(page.get_by_label("Temperature", exact=True)).to_have_accessible_description(said)
    await expect(page.get_by_label("Top k")).to_have_accessible_description(re.compile("^(Kept.*)?$"))
    await page.get_by_role("button", name="Back to the default: Temperature").click()
    await expect(page.get_by_label("Temperature", exact=True)).to_be_focused()
    await expect(page.get_by_label("Temperature", exact=True)).to_have_value("")
    await expect(page.get_by_label("Temperature", exact=True)).to_have_accessible_description("")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(options).to_have_accessible_name("Options 1 changed")
    stored = await instance.sql("SELECT options FROM thread WHERE id = $1", thread_of(page.url))
    assert json.loads(stored[0]["options"]) == {}


async def _assert_untaken(page: Page) -> None:
    untaken = re.compile(r"Kept, not sent: this model does not take it\.$")
    await expect(page.get_by_label("Top k")).to_have_accessible_description(untaken)
    await expect(page.get_by_label("Temperature", exact=True)).not_to_have_accessible_description(untaken)


async def _open_options(page: Page) -> None:
    await page.get_by_role("button", name="Options").click()
    await expect(page.get_by_label("Temperature", exact=True)).to_be_visible()
