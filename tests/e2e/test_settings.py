"""Settings as the owner meets them: with scripts and without, a locked one, and the file there and back."""

import json

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.axe import violations
from tests.e2e.instance import Instance, Person
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def olive(fresh: Instance) -> Person:
    """The owner of an instance that is this test's alone."""
    return await fresh.add_person("Olive", is_owner=True)


async def test_a_field_is_looked_at_when_it_is_left_and_all_are_saved_without_a_reload(
    fresh: Instance, fresh_windows: Windows, olive: Person
) -> None:
    fresh_windows.expect([422])
    page = await fresh_windows.open(olive)
    await page.goto("/")
    await page.locator(".account summary").click()
    await page.get_by_role("link", name="Settings").click()
    await expect(page).to_have_url(f"{fresh.base_url}/settings/general")
    await page.get_by_role("link", name="Models", exact=True).last.click()
    await page.evaluate("window.isTheSamePage = true")
    temperature = page.get_by_label("Temperature")
    await temperature.fill("9")
    await page.get_by_label("Top p").focus()
    await expect(page.locator("#fault-default_temperature")).to_have_text("A number from 0 to 2.")
    assert await violations(page) == []
    await page.locator("#settings-form").evaluate("form => { form.dataset.isBefore = '' }")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#settings-form:not([data-is-before])")).to_be_attached()  # the answer has come
    await expect(temperature).to_have_attribute("aria-invalid", "true")
    assert await fresh.sql("SELECT 1 FROM setting") == []
    await temperature.fill("0,4")
    await page.get_by_label("Top p").focus()
    await expect(page.locator("#fault-default_temperature")).to_be_empty()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.locator("#about-default_temperature")).to_contain_text("set here by Olive")
    await expect(temperature).to_have_value("0.4")
    await temperature.fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#about-default_temperature")).to_contain_text("default the server’s")
    assert await page.evaluate("window.isTheSamePage")
    assert await fresh.sql("SELECT 1 FROM setting") == []


async def test_the_name_is_seen_at_once_everywhere(fresh_windows: Windows, olive: Person) -> None:
    page = await fresh_windows.open(olive)
    await page.goto("/settings/general")
    await page.get_by_label("Name of this instance").fill("The Reading Room")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".brand")).to_have_text("The Reading Room")
    stranger = await fresh_windows.open()
    await stranger.goto("/sign-in")
    await expect(stranger.get_by_role("heading")).to_have_text("Sign in to The Reading Room")
    await expect(stranger).to_have_title("Sign in · The Reading Room")


async def test_a_secret_does_not_stay_in_its_field_and_the_focus_stays_where_it_was(
    fresh_windows: Windows, olive: Person
) -> None:
    page = await fresh_windows.open(olive)
    await page.goto("/settings/safety")
    token = page.get_by_label("Token for metrics")
    await token.fill("a-token-of-monitoring")
    await token.press("Enter")
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(token).to_have_value("")
    await expect(token).to_be_focused()
    await page.get_by_role("button", name="Save").press("Enter")
    await expect(page.get_by_role("button", name="Save")).to_be_focused()
    await expect(page.locator("#about-metrics_token")).to_contain_text("set here by Olive")


async def test_a_locked_setting_says_why(fresh_windows: Windows, olive: Person) -> None:
    page = await fresh_windows.open(olive)
    await page.goto("/settings/advanced")
    drain = page.get_by_label("Time to finish when told to end")
    await expect(drain).to_be_disabled()
    await expect(drain).to_have_value("0")
    await expect(page.locator("#about-drain_seconds")).to_contain_text(
        "Set by the environment variable PARLEY_DRAIN_SECONDS; change it there and restart."
    )


async def test_without_scripts_it_is_a_form_that_says_what_was_done(
    fresh: Instance, fresh_windows: Windows, olive: Person
) -> None:
    fresh_windows.expect([422])
    page = await fresh_windows.open(olive, java_script_enabled=False)
    await page.goto("/settings/safety")
    await page.get_by_label("Days that a sign-in lasts").fill("many")
    await page.get_by_label("Token for metrics").fill("a-token-of-monitoring")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#error-session_days")).to_have_text("A whole number from 1 to 3,650.")
    await expect(page.get_by_label("Token for metrics")).to_have_value("")
    await page.get_by_label("Days that a sign-in lasts").fill("20")
    await page.get_by_label("Token for metrics").fill("a-token-of-monitoring")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.get_by_label("Days that a sign-in lasts")).to_have_value("20")
    await expect(page.get_by_label("Token for metrics")).to_have_attribute("placeholder", "set, and not shown")
    assert "a-token-of-monitoring" not in await page.content()
    await page.get_by_label("Forget it").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Token for metrics")).to_have_attribute("placeholder", "not set")
    assert [row["name"] for row in await fresh.sql("SELECT name FROM setting")] == ["session_days"]


@pytest.mark.parametrize("has_scripts", [True, False])
async def test_the_file_goes_there_and_back(
    fresh: Instance, fresh_windows: Windows, olive: Person, has_scripts: bool
) -> None:
    fresh_windows.expect([422])
    page = await fresh_windows.open(olive, java_script_enabled=has_scripts)
    await page.goto("/settings/safety")
    await page.get_by_label("Days that a sign-in lasts").fill("20")
    await page.get_by_label("Token for metrics").fill("a-token-of-monitoring")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await page.get_by_role("link", name="Import and export").click()
    await page.get_by_label("Passphrase for the secrets").fill("a long passphrase")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Download").click()
    path = await (await coming.value).path()
    assert json.loads(path.read_text())["settings"] == {"session_days": 20}
    if has_scripts:
        await expect(page.locator("#flash")).to_have_text("Downloaded.")  # on a fresh page
    await fresh.sql("DELETE FROM setting")
    await page.get_by_label("File", exact=True).set_input_files(path)
    await page.get_by_label("Passphrase of the file").fill("another passphrase")
    await page.get_by_role("button", name="Import").click()
    await expect(page.locator("#error-passphrase")).to_contain_text("does not open the secrets")
    assert await fresh.sql("SELECT 1 FROM setting") == []
    await page.get_by_label("File", exact=True).set_input_files(path)
    await page.get_by_label("Passphrase of the file").fill("a long passphrase")
    await page.get_by_role("button", name="Import").click()
    await expect(page.get_by_role("heading", name="The file was taken in.")).to_be_visible()
    await expect(page.locator(".listed")).to_contain_text("Token for metrics")
    if has_scripts:
        assert await violations(page) == []
    assert len(await fresh.sql("SELECT 1 FROM setting")) == 2


async def test_a_member_sees_no_settings(fresh: Instance, fresh_windows: Windows, olive: Person) -> None:
    fresh_windows.expect([403])
    alice = await fresh.add_person("Alice")
    page = await fresh_windows.open(alice)
    await page.goto("/")
    await page.locator(".account summary").click()
    await expect(page.locator('.account a[href^="/settings"]')).to_have_count(0)
    await page.goto("/settings/general")
    await expect(page.get_by_text("Only the owner of this instance may do that.")).to_be_visible()
