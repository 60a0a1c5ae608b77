"""Presets in the browser: chosen for a new thread, saved from one, with and without scripts."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import ask, box, done
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_thread_begins_with_the_preset_that_was_chosen(
    windows: Windows, instance: Instance, alice: Person, models: ModelServer, scripts: bool
) -> None:
    page = await windows.open(alice, java_script_enabled=scripts)
    await page.goto("/")
    await expect(page.get_by_text("Begin with a preset")).to_have_count(0)
    await page.locator(".account summary").click()
    await page.get_by_role("link", name="Presets", exact=True).click()
    await page.get_by_role("link", name="New preset").click()
    await page.get_by_label("Name", exact=True).fill("Harbour master")
    await page.get_by_label("Model", exact=True).select_option(label="tide-2b")
    await page.get_by_label("System prompt").fill("Speak like a harbour master.")
    await page.get_by_label("Temperature", exact=True).fill("9")
    await expect_refused(windows, page)
    await page.get_by_label("Temperature", exact=True).fill("0.5")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await page.locator(".new-thread").click()
    if scripts:
        await box(page).type("Hello")  # not stored yet when the preset is chosen
    await page.get_by_text("Begin with a preset").click()
    await page.get_by_role("link", name="Harbour master").click()
    await expect(page.locator(".presets summary")).to_have_text("Preset: Harbour master")
    await expect(page.locator("#model option:checked")).to_have_text("tide-2b")
    await expect(page.get_by_role("button", name="Options")).to_have_accessible_name("Options 2 changed")
    if scripts:
        await expect(box(page)).to_have_value("Hello")
    await box(page).fill("Where is the lighthouse?")
    await page.get_by_role("button", name="Send").click()
    await page.wait_for_url("**/threads/*")
    (thread,) = await instance.sql("SELECT * FROM thread WHERE id = $1", thread_of(page.url))
    await instance.until_final(thread["id"])
    assert thread["system_prompt"] == "Speak like a harbour master."
    assert json.loads(thread["options"]) == {"temperature": 0.5}
    sent = models.asked[0].json
    assert (sent["model"], sent["temperature"]) == ("tide-2b", 0.5)
    assert sent["messages"][0]["content"] == "Speak like a harbour master."


async def test_a_threads_options_become_a_preset_and_a_preset_is_deleted(page: Page, models: ModelServer) -> None:
    await ask(page, "Hello")
    await done(page)
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Top p").fill("0.5")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await page.get_by_role("button", name="Options").click()
    await page.get_by_role("link", name="Save as a preset…").click()
    await expect(page.get_by_label("Top p")).to_have_value("0.5")
    await page.get_by_label("Name", exact=True).fill("Calm")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("link", name="Calm", exact=True)).to_be_visible()
    await page.get_by_role("link", name="Delete Calm…").click()
    await page.locator("#dialog").get_by_role("link", name="Keep it").click()
    await expect(page.locator("#dialog")).to_be_hidden()
    await page.get_by_role("link", name="Delete Calm…").click()
    await page.locator("#dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("#flash")).to_have_text("Deleted.")
    await expect(page.get_by_role("link", name="Calm", exact=True)).to_have_count(0)


async def test_the_menu_of_presets_closes_as_menus_do(page: Page, instance: Instance, alice: Person) -> None:
    await instance.sql(
        'INSERT INTO preset (id, "user", name, created_at, updated_at) VALUES (gen_random_uuid(), $1, $2, now(), now())',
        alice.id, "One",
    )  # fmt: skip
    await page.reload()
    summary = page.locator(".presets summary")
    await summary.press("Enter")
    await expect(page.get_by_role("link", name="One")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="One")).to_be_hidden()
    await expect(summary).to_be_focused()


async def expect_refused(windows: Windows, page: Page) -> None:
    windows.expect([422])
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#error-temperature")).to_have_text("A number from 0 to 2.")
    await expect(page.get_by_label("Temperature", exact=True)).to_be_focused()
