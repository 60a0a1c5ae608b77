"""The password again before a sensitive change: with scripts in a dialog or on a page, without them on a page."""

import pytest
from playwright.async_api import Page, expect

from tests.axe import overflow, violations
from tests.e2e.instance import Instance, Person
from tests.e2e.windows import Windows
from tests.people import PASSWORD
from tests.scripted import OPENAI
from tests.tiers import crossed

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZES = [(1440, 900), (390, 844)]


async def owner_of_long_ago(instance: Instance) -> Person:
    """An owner whose password was given eleven minutes ago."""
    olive = await instance.add_person("Olive", is_owner=True)
    await instance.sql("UPDATE session SET confirmed_at = now() - interval '11 minutes' WHERE \"user\" = $1", olive.id)
    return olive


async def see_the_question(page: Page, what: str) -> None:
    question = page.locator(".question")
    await expect(question).to_contain_text("Confirm it’s you")
    await expect(question).to_contain_text(what)
    await expect(page.get_by_label("Your password")).to_be_focused()


async def give(page: Page, password: str) -> None:
    """By keyboard, as the focus is there already."""
    await expect(page.get_by_label("Your password")).to_be_focused()
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")


@pytest.mark.parametrize(("size", "scripts"), crossed(SIZES, [True, False]))
async def test_an_invitation_waits_for_the_password(
    windows: Windows, instance: Instance, size: tuple[int, int], scripts: bool
) -> None:
    width, height = size
    windows.expect([403, 422])
    olive = await owner_of_long_ago(instance)
    page = await windows.open(olive, width=width, height=height, java_script_enabled=scripts)
    await page.goto("/users")
    await page.get_by_label("Email of the person (optional)").fill("guest-of-olive@example.org")
    await page.get_by_role("button", name="Make an invitation").click()
    await see_the_question(page, "Make an invitation for guest-of-olive@example.org")
    if scripts:
        assert (await violations(page), await overflow(page)) == ([], [])
    await give(page, "not this one")
    await expect(page.locator("#error-confirm_password")).to_have_text("Wrong password.")
    await see_the_question(page, "Make an invitation for guest-of-olive@example.org")
    await give(page, PASSWORD)
    await expect(page.locator("#invitation-url")).to_contain_text("/invitations/")
    await page.get_by_role("button", name="Make an invitation").click()
    await expect(page.locator("#invitation-url")).to_contain_text("/invitations/")
    await instance.sql("DELETE FROM invitation WHERE created_by = $1", olive.id)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
async def test_a_server_is_changed_once_the_password_is_there(
    windows: Windows, instance: Instance, scripts: bool
) -> None:
    windows.expect([403])
    provider = await instance.connect("Quay", instance.models)
    try:
        page = await windows.open(await owner_of_long_ago(instance), java_script_enabled=scripts)
        await page.goto("/providers")
        row = page.locator("li").filter(has_text="Quay")
        await row.locator("summary", has_text="Change").click()
        await row.get_by_label("Name", exact=True).fill("Pier")
        await row.get_by_label("It is on this machine or in my own network").check()
        await row.get_by_role("button", name="Save").click()
        await see_the_question(page, "Save changes to Quay")
        await page.get_by_role("link", name="Cancel").click()
        await expect(page).to_have_url(f"{instance.base_url}/providers")
        await row.locator("summary", has_text="Change").click()
        await row.get_by_label("Name", exact=True).fill("Pier")
        await row.get_by_label("It is on this machine or in my own network").check()
        await row.get_by_role("button", name="Save").click()
        await give(page, PASSWORD)
        await expect(page.locator("#flash")).to_have_text("Saved.")
        assert (await instance.sql("SELECT name FROM provider WHERE id = $1", provider))[0]["name"] == "Pier"
    finally:
        await instance.sql("DELETE FROM provider WHERE id = $1", provider)


async def test_a_setting_waits_in_a_dialog_and_its_form_stays_as_it_is(windows: Windows, instance: Instance) -> None:
    windows.expect([403, 422])
    page = await windows.open(await owner_of_long_ago(instance))
    await page.goto("/settings/safety")
    await page.locator("#metrics_token").fill("a-token-of-monitoring")
    await page.get_by_role("button", name="Save").click()
    await see_the_question(page, "Save security settings")
    await give(page, "not this one")
    await expect(page.locator("#error-confirm_password")).to_have_text("Wrong password.")
    await expect(page.get_by_label("Your password")).to_be_focused()
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.locator("#dialog")).to_be_hidden()
    await expect(page.locator("#metrics_token")).to_have_value("a-token-of-monitoring")
    await page.get_by_role("button", name="Save").click()
    await give(page, PASSWORD)
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await expect(page.locator("#dialog")).to_be_hidden()
    await expect(page.get_by_role("button", name="Save")).to_be_focused()
    await expect(page.locator("#metrics_token")).to_have_attribute("placeholder", "set, and not shown")
    await instance.sql("DELETE FROM setting WHERE name = 'metrics_token'")


async def test_a_server_is_tested_from_the_dialog_and_the_key_stays_typed(windows: Windows, instance: Instance) -> None:
    windows.expect([403])
    page = await windows.open(await owner_of_long_ago(instance))
    await page.goto("/providers")
    form = page.locator("form").filter(has=page.get_by_label("Kind"))
    await form.get_by_label("Key").fill("sk-lantern")
    await form.get_by_label("It is on this machine or in my own network").check()
    await form.get_by_label("Base URL").fill(instance.models.url_for(OPENAI))
    await form.get_by_role("button", name="Test", exact=True).click()
    await see_the_question(page, "Test a model server")
    await give(page, PASSWORD)
    await expect(page.locator("#dialog")).to_be_hidden()
    await expect(form.get_by_text("2 models in").first).to_be_visible()
    await expect(form.get_by_label("Key")).to_have_value("sk-lantern")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
async def test_a_chosen_file_waits_for_the_password(windows: Windows, instance: Instance, scripts: bool) -> None:
    windows.expect([403])
    olive = await instance.add_person("Olive", is_owner=True)
    page = await windows.open(olive, java_script_enabled=scripts)
    await page.goto("/settings/file")
    await instance.sql('UPDATE session SET confirmed_at = NULL WHERE "user" = $1', olive.id)
    file = b'{"format": "parley-settings", "version": 1, "parley": "0.1.0", "made_at": "2026-11-25T08:00:00Z"}'
    chosen = {"name": "settings.json", "mimeType": "application/json", "buffer": file}
    await page.get_by_label("File", exact=True).set_input_files(chosen)  # type: ignore[arg-type]  # a dict is such a file
    await page.get_by_role("button", name="Import").click()
    await see_the_question(page, "Import settings")
    await give(page, PASSWORD)
    await expect(page.get_by_role("heading", name="The file was taken in.")).to_be_visible()


async def test_an_export_asks_for_the_password_beforehand(windows: Windows, instance: Instance) -> None:
    page = await windows.open(await owner_of_long_ago(instance), java_script_enabled=False)
    await page.goto("/settings/file")
    await page.get_by_label("Passphrase for the secrets (optional)").fill("a long passphrase")
    await page.get_by_label("Your password").first.fill(PASSWORD)
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download").click()
    assert (await downloading.value).suggested_filename.startswith("parley-settings-")
    await page.reload()
    await expect(page.get_by_label("Your password")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
async def test_an_export_that_waited_for_the_password_ends_on_the_settings(
    windows: Windows, instance: Instance, scripts: bool
) -> None:
    windows.expect([403, 422])
    olive = await owner_of_long_ago(instance)
    page = await windows.open(olive, java_script_enabled=scripts)
    await page.goto("/settings/file")
    await page.get_by_label("Passphrase for the secrets (optional)").fill("a long passphrase")
    await page.get_by_role("button", name="Download").click()
    await see_the_question(page, "Download settings with their secrets")
    await give(page, "not this one")
    await expect(page.locator("#error-confirm_password")).to_have_text("Wrong password.")
    async with page.expect_download() as downloading:
        await give(page, PASSWORD)
    assert b"secrets" in (await (await downloading.value).path()).read_bytes()
    if not scripts:
        await expect(page.get_by_text("The download starts when you continue")).to_be_visible()
        await page.get_by_role("link", name="Back to the settings").click()
    await expect(page).to_have_url(f"{instance.base_url}/settings/file")
    await expect(page.locator("#flash")).to_have_text("Downloaded.")
    await expect(page.get_by_label("Your password")).to_have_count(0)


async def test_an_export_keeps_no_password_on_its_page(windows: Windows, instance: Instance) -> None:
    page = await windows.open(await owner_of_long_ago(instance))
    await page.goto("/settings/file")
    passphrase = page.get_by_label("Passphrase for the secrets (optional)")
    await passphrase.fill("a long passphrase")
    await page.get_by_label("Your password").first.fill(PASSWORD)
    async with page.expect_download():
        await page.get_by_role("button", name="Download").click()
    await expect(page.locator("#flash")).to_have_text("Downloaded.")
    await expect(passphrase).to_have_value("")
    await expect(page.get_by_label("Your password")).to_have_count(0)
    async with page.expect_download():
        await page.get_by_role("button", name="Download").click()


async def test_back_and_reload_lead_to_the_form_and_send_nothing_again(windows: Windows, instance: Instance) -> None:
    windows.expect([403])
    olive = await owner_of_long_ago(instance)
    page = await windows.open(olive)
    people = f"{instance.base_url}/users"
    await page.goto("/users")
    await page.get_by_role("button", name="Make an invitation").click()
    await see_the_question(page, "invitation")
    await expect(page).to_have_url(people)
    await page.reload()
    await expect(page.get_by_role("button", name="Make an invitation")).to_be_visible()
    await page.get_by_role("button", name="Make an invitation").click()
    await give(page, PASSWORD)
    await expect(page.locator("#invitation-url")).to_contain_text("/invitations/")
    await page.go_back()
    await expect(page).to_have_url(people)
    await expect(page.get_by_role("button", name="Make an invitation")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Invitations")).to_be_visible()
    assert len(await instance.sql("DELETE FROM invitation WHERE created_by = $1 RETURNING 1", olive.id)) == 1


async def test_a_long_name_wraps_on_a_phone(windows: Windows, instance: Instance) -> None:
    windows.expect([403])
    page = await windows.open(await owner_of_long_ago(instance), width=390, height=844)
    await page.goto("/users")
    address = "x" * 60 + "@example.org"
    await page.get_by_label("Email of the person (optional)").fill(address)
    await page.get_by_role("button", name="Make an invitation").click()
    await see_the_question(page, address)
    assert (await violations(page), await overflow(page)) == ([], [])
