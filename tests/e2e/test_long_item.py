"""A list item that is too long to be drawn at once, on a phone: as it was watched, and afterwards."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.e2e.chatting import answers, ask, assert_as_reloaded, body, box, done
from tests.e2e.instance import Person
from tests.e2e.model_server import ModelServer
from tests.e2e.test_servers import PHONE, SCRIPTS, assert_no_wider
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

ITEMS = 700
OUTLINE = "3. The harbour\n" + "   - a *lantern* at its end\n" * ITEMS + "4. The sea\n"


@SCRIPTS
async def test_what_goes_on_has_no_second_mark(
    windows: Windows, alice: Person, models: ModelServer, has_scripts: bool
) -> None:
    page = await windows.open(alice, java_script_enabled=has_scripts, **PHONE)
    await page.goto("/")
    models.say_until(gate := asyncio.Event(), [OUTLINE[:9_000]], [OUTLINE[9_000:]])
    if has_scripts:
        await ask(page, "What is there?")
        await expect(body(page).locator("ul > li").first).to_be_attached()
        gate.set()
        await done(page)
        await assert_as_reloaded(page)
    else:
        await box(page).fill("What is there?")
        await page.get_by_role("button", name="Send").click()
        frame = page.frame_locator("iframe.live")
        await expect(frame.locator("ul > li").first).to_be_attached()
        gate.set()
        await expect(frame.locator(".state").last.locator(".goes-on")).to_have_count(1)
        await frame.get_by_role("link", name="Show the finished answer").click()
    await expect(answers(page).last).to_have_attribute("data-status", "complete")
    await expect(body(page).locator("ul > li")).to_have_count(ITEMS)
    await expect(body(page).locator("ol > li")).to_have_count(3)
    goes_on = body(page).locator(".goes-on")
    await expect(goes_on).to_have_count(1)
    await expect(goes_on).to_have_css("list-style-type", "none")
    await expect(body(page).locator("ol").last).to_have_attribute("start", "3")
    await assert_no_wider(page)
