"""Moving a provider to another server: the form says that the key stays behind, with a script and without, on a phone too."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.axe import violations
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.test_servers import PHONE, SCRIPTS, assert_no_wider, form_of
from tests.e2e.windows import Windows
from tests.tiers import crossed

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def olive(instance: Instance) -> AsyncIterator[Person]:
    yield await instance.add_person("Olive", is_owner=True)
    await instance.sql("DELETE FROM provider WHERE name = 'Mole'")


@pytest.mark.parametrize(("has_scripts", "width"), crossed([True, False], [390, 1440]))
async def test_the_form_says_that_a_key_stays_behind(
    windows: Windows, olive: Person, has_scripts: bool, width: int
) -> None:
    windows.expect([422])
    async with ModelServer(["lantern-7b"]) as first, ModelServer(["lantern-7b"]) as second:
        page = await windows.open(olive, java_script_enabled=has_scripts, **(PHONE | {"width": width}))
        await page.goto("/providers")
        form = form_of(page)
        await form.get_by_label("Name").fill("Mole")
        await form.get_by_label("Base URL").fill(f"{first.url}/v1")
        await form.get_by_label("Key", exact=True).fill("sk-lantern")
        await form.get_by_label("It is on this machine or in my own network").check()
        await form.get_by_role("button", name="Connect", exact=True).click()
        card = page.get_by_role("listitem").filter(has_text="Mole").first
        await expect(card).to_contain_text("with a key")
        await card.get_by_text("Change", exact=True).click()
        change = card.locator("details.edit").first
        await expect(change).to_contain_text("The stored key is not sent there: enter the key for it.")
        await assert_no_wider(page)
        await change.get_by_label("Base URL").fill(f"{second.url}/v1")
        await change.get_by_role("button", name="Save", exact=True).click()
        said = change.locator(".error")
        await expect(said).to_contain_text(f"The stored key is for {first.url} and is not sent to {second.url}.")
        assert second.requests == []
        await assert_no_wider(page)
        if has_scripts:
            assert await violations(page) == []
        if folder := os.environ.get("SHOTS"):
            await page.screenshot(path=f"{folder}/{width}-{has_scripts}.png", full_page=True)
        await change.get_by_label("Key", exact=True).fill("sk-of-the-second")
        await change.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_role("listitem").filter(has_text=second.url).first).to_contain_text("with a key")
        assert "sk-lantern" not in str([asked.headers for asked in second.requests])
        await page.get_by_role("link", name="Disconnect Mole…").click()
        await page.get_by_role("button", name="Disconnect", exact=True).click()
        await expect(page.locator("#flash")).to_have_text("Mole is disconnected.")


@SCRIPTS
async def test_a_proposal_connects_with_the_key_that_was_typed(
    windows: Windows, olive: Person, has_scripts: bool
) -> None:
    windows.expect([422])
    async with ModelServer(["lantern-7b"]) as server:
        page = await windows.open(olive, java_script_enabled=has_scripts, **PHONE)
        await page.goto("/providers")
        form = form_of(page)
        await form.get_by_label("Name").fill("Mole")
        await form.get_by_label("Base URL").fill(f"{server.url}/v1/chat/completions")
        await form.get_by_label("Key", exact=True).fill("sk-lantern")
        await form.get_by_label("It is on this machine or in my own network").check()
        await form.get_by_role("button", name="Connect", exact=True).click()
        await expect(form).to_contain_text("includes the key you typed")
        await assert_no_wider(page)
        if folder := os.environ.get("SHOTS"):
            await form.screenshot(path=f"{folder}/use-{has_scripts}.png")
        await form.get_by_role("button", name=f"Use {server.url}/v1").click()
        await expect(page.get_by_role("listitem").filter(has_text=server.url).first).to_contain_text("with a key")
        assert server.requests[-1].headers["authorization"] == "Bearer sk-lantern"
