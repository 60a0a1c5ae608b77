"""Slash-prompts in the browser: the menu by keyboard and by touch, the dialog, and the way without scripts."""

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, box, done, draft_is_stored
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPTS = {
    "greet": "Say hello.\n\n  Then   go.",
    "letter": "Write a {{tone:choice=formal|casual}} letter to {{name}} about {{body:long}}.",
    "lighthouse": "Count {{how_many:number=3}} lighthouses.",
}


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def prompts(instance: Instance, alice: Person) -> None:
    """What Alice may call up."""
    for name, text in PROMPTS.items():
        await instance.sql(
            'INSERT INTO slash_prompt (id, "user", name, description, text, created_at, updated_at)'
            " VALUES (gen_random_uuid(), $1, $2, $3, $4, now(), now())",
            alice.id, name, f"About {name}", text,
        )  # fmt: skip


def _menu(page: Page) -> Any:
    return page.locator("#slash-menu")


def _chosen(page: Page) -> Any:
    return page.locator('#slash-menu [aria-selected="true"] .slash-name')


async def test_the_menu_by_keyboard(page: Page, models: ModelServer) -> None:
    await box(page).press("/")
    await expect(_menu(page).get_by_role("option")).to_have_count(3)
    await expect(_chosen(page)).to_have_text("/greet")
    selected = await page.locator('#slash-menu [aria-selected="true"]').get_attribute("id")
    assert await box(page).get_attribute("aria-activedescendant") == selected
    await expect(_menu(page).get_by_role("status")).to_contain_text("3 slash-prompts")
    await page.keyboard.press("ArrowUp")
    await expect(_chosen(page)).to_have_text("/lighthouse")
    await page.keyboard.press("ArrowDown")
    await expect(_chosen(page)).to_have_text("/greet")
    await page.keyboard.type("l")
    await expect(_menu(page).get_by_role("option")).to_have_count(2)
    await expect(_chosen(page)).to_have_text("/letter")
    await page.keyboard.press("Backspace")
    await page.keyboard.press("Enter")
    await expect(box(page)).to_have_value(PROMPTS["greet"])
    await expect(box(page)).to_be_focused()
    await expect(_menu(page)).to_be_hidden()
    assert models.asked == []
    await page.keyboard.press("Enter")
    await done(page)
    assert models.asked[0].json["messages"][-1]["content"] == PROMPTS["greet"]


async def test_escape_closes_the_menu_and_what_is_no_name_is_sent(page: Page, models: ModelServer) -> None:
    await box(page).press("/")
    await expect(_menu(page)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(_menu(page)).to_be_hidden()
    await page.keyboard.type("gre")
    await expect(_menu(page)).to_be_hidden()
    await expect(box(page)).to_have_value("/gre")
    await box(page).fill("")
    await box(page).press("/")
    await expect(_menu(page)).to_be_visible()
    await page.keyboard.type("nothing")
    await expect(_menu(page)).to_be_hidden()
    await page.keyboard.press("Enter")
    await done(page)
    assert models.asked[0].json["messages"][-1]["content"] == "/nothing"
    await box(page).fill("A path like ")
    await page.keyboard.type("/usr")
    await expect(_menu(page)).to_be_hidden()


async def test_a_dialog_asks_for_what_a_text_needs(page: Page, windows: Windows, models: ModelServer) -> None:
    windows.expect([422])
    await ask(page, "Hello")
    await done(page)
    await box(page).type("/let")
    await expect(_chosen(page)).to_have_text("/letter")
    await page.keyboard.press("Enter")
    dialog = page.locator("#dialog")
    await expect(dialog.get_by_label("tone")).to_be_focused()
    await dialog.get_by_label("tone").select_option("casual")
    await dialog.get_by_label("name").fill("Bob")
    await dialog.get_by_role("button", name="Put it into the message").click()
    await expect(dialog.locator(".error")).to_have_text("Please fill this in.")
    await expect(dialog.get_by_label("body")).to_be_focused()
    await expect(dialog.get_by_label("name")).to_have_value("Bob")
    await expect(dialog.get_by_label("tone")).to_have_value("casual")
    await dialog.get_by_label("body").fill("the tide,\nand {{name}}")
    text = "Write a casual letter to Bob about the tide,\nand {{name}}."
    async with draft_is_stored(page, text):
        await dialog.get_by_role("button", name="Put it into the message").click()
        await expect(dialog).to_be_hidden()
        await expect(box(page)).to_have_value(text)
        await expect(box(page)).to_be_focused()
    await page.reload()
    await expect(box(page)).to_have_value(text)
    assert len(models.asked) == 1


async def test_a_dialog_that_is_closed_leaves_everything(page: Page) -> None:
    await box(page).fill("What about the tide?")
    await box(page).press("Home")
    await page.keyboard.type("/lig")
    await expect(_chosen(page)).to_have_text("/lighthouse")
    await page.keyboard.press("Enter")
    await expect(page.locator("#dialog").get_by_label("how many")).to_have_value("3")
    await page.keyboard.press("Escape")
    await expect(page.locator("#dialog")).to_be_hidden()
    await expect(box(page)).to_have_value("/ligWhat about the tide?")
    await expect(box(page)).to_be_focused()
    await page.get_by_role("link", name="Slash-prompts", exact=True).last.click()
    await page.get_by_role("option", name="/lighthouse").click()
    await page.locator("#dialog").get_by_label("how many").press("Enter")
    await expect(box(page)).to_have_value("Count 3 lighthouses.\n\nligWhat about the tide?")


async def test_by_touch(windows: Windows, alice: Person, models: ModelServer) -> None:
    page = await windows.open(alice, width=390, height=800, has_touch=True, is_mobile=True)
    await page.goto("/")
    await box(page).fill("Kept")
    await page.locator(".slash-opener").tap()
    await expect(_menu(page).get_by_role("option")).to_have_count(3)
    for option in await _menu(page).get_by_role("option").all():
        place = await option.bounding_box()
        assert place is not None
        assert place["height"] >= 44
        assert place["x"] + place["width"] <= 390
    await page.locator(".slash-opener").tap()
    await expect(_menu(page)).to_be_hidden()
    await expect(box(page)).to_have_value("Kept")
    await page.locator(".slash-opener").tap()
    await _menu(page).get_by_role("option", name="/greet").tap()
    await expect(box(page)).to_have_value(f"{PROMPTS['greet']}\n\nKept")
    await expect(_menu(page)).to_be_hidden()


async def test_a_refused_composer_still_has_its_menu(page: Page, windows: Windows, models: ModelServer) -> None:
    windows.expect([422])
    await ask(page, "Hello")
    await done(page)
    await box(page).fill("   ")
    await page.locator("#composer").evaluate("form => { form.noValidate = true; form.requestSubmit() }")
    await expect(page.locator("#error-text")).to_be_visible()
    await box(page).fill("")
    await box(page).press("/")
    await expect(_menu(page).get_by_role("option")).to_have_count(3)
    await page.keyboard.press("Enter")
    await expect(box(page)).to_have_value(PROMPTS["greet"])


async def test_without_scripts(windows: Windows, alice: Person, models: ModelServer) -> None:
    windows.expect([422])
    page = await windows.open(alice, java_script_enabled=False)
    await page.goto("/")
    await box(page).fill("Hello")
    await page.get_by_role("button", name="Send").click()
    await page.wait_for_url("**/threads/*")
    thread = page.url.partition("#")[0]
    await expect(answers(page).last).to_be_attached()
    await page.locator(".slash-opener").click()
    await page.get_by_role("link", name="Use /letter").click()
    await page.get_by_label("name", exact=True).fill("Bob")
    await page.get_by_role("button", name="Put it into the message").click()
    await expect(page.locator(".error")).to_have_text("Please fill this in.")
    await page.get_by_label("body").fill("the tide")
    await page.get_by_role("button", name="Put it into the message").click()
    await expect(page).to_have_url(thread)
    await expect(box(page)).to_have_value("Write a formal letter to Bob about the tide.")
    await page.locator(".new-thread").click()
    await page.locator(".slash-opener").click()
    await page.get_by_role("link", name="Use /greet").click()
    await page.get_by_role("button", name="Put it into the message").click()
    await expect(box(page)).to_have_value(PROMPTS["greet"])


async def test_one_is_written_used_and_deleted(page: Page) -> None:
    await page.goto("/slash-prompts")
    await page.get_by_role("link", name="New slash-prompt").click()
    await page.get_by_label("Name", exact=True).fill("/Tide")
    await page.get_by_label("Text", exact=True).fill("When is high tide in {{place}}?")
    await page.get_by_role("button", name="Save").click()
    await page.goto("/")
    await box(page).type("/tide")
    await expect(_chosen(page)).to_have_text("/tide")
    await page.keyboard.press("Enter")
    await page.locator("#dialog").get_by_label("place").fill("Kiel")
    await page.keyboard.press("Enter")
    await expect(box(page)).to_have_value("When is high tide in Kiel?")
    await page.goto("/slash-prompts")
    await page.get_by_role("link", name="Delete /tide…").click()
    await page.locator("#dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("link", name="/tide", exact=True)).to_have_count(0)
