"""People: their profile and their sign-ins, inviting somebody, and shutting somebody out."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, body, box, done
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.people import PASSWORD
from tests.tiers import thinned

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW_PASSWORD = "a lamp for every quay"


@pytest.mark.parametrize(
    "theme", thinned(["Light Quartz", "Dark Graphite", "Solarized Dark", "Terminal Green", "Like the system"], keep=2)
)
async def test_a_theme_is_kept_and_seen_at_once(page: Page, theme: str) -> None:
    await page.emulate_media(
        reduced_motion="no-preference"
    )  # for others the notice stays, and so has a place of its own
    await page.goto("/profile")
    await page.get_by_label("Theme").select_option(theme)
    value = await page.get_by_label("Theme").input_value()
    await expect(page.locator("html")).to_have_attribute("data-theme", value)
    place = await page.locator("#you").bounding_box()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    assert await page.locator("#you").bounding_box() == place, "a notice moves nothing"
    await expect(page.locator("#theme option:checked")).to_have_text(theme)
    await expect(page.locator("html")).to_have_attribute("data-theme", value)
    await page.goto("/")
    await expect(page.locator("html")).to_have_attribute("data-theme", value)
    await expect(page.locator("#flash")).to_have_text("")


async def test_the_key_that_sends_can_be_chosen(page: Page) -> None:
    await page.goto("/profile")
    await page.get_by_label("Send with").select_option("Ctrl Enter")
    await page.get_by_role("button", name="Save").click()
    await page.goto("/")
    await box(page).press_sequentially("One")
    await box(page).press("Enter")
    await box(page).press_sequentially("Two")
    await expect(box(page)).to_have_value("One\nTwo")
    await box(page).press("Control+Enter")
    await page.wait_for_url("**/threads/*")


async def test_a_new_password_ends_the_other_sign_ins(windows: Windows, instance: Instance, alice: Person) -> None:
    windows.expect([401, 422])
    here = await windows.open(alice)
    there = await windows.open()
    await _sign_in(there, alice.email, PASSWORD)
    await ask(there, "Hello")
    await done(there)
    await here.goto("/profile")
    await expect(here.locator("#sessions + ul li")).to_have_count(2)
    await here.get_by_label("Current password").fill("not this one")
    await here.get_by_label("New password").fill(NEW_PASSWORD)
    await here.get_by_role("button", name="Change the password").click()
    await expect(here.locator("#error-current_password")).to_have_text("This is not your current password.")
    await expect(here.get_by_label("Current password")).to_be_focused()
    await here.get_by_label("Current password").fill(PASSWORD)
    await here.get_by_label("New password").fill(NEW_PASSWORD)
    await here.get_by_role("button", name="Change the password").click()
    await expect(here.locator("#flash")).to_contain_text("Every other sign-in of yours was ended.")
    await expect(there.get_by_role("heading", level=1)).to_have_text("Sign in to Parley")
    await _sign_in(there, alice.email, PASSWORD)
    await expect(there.get_by_text("The email or the password is not right.")).to_be_visible()
    await there.get_by_label("Password").fill(NEW_PASSWORD)
    await there.get_by_role("button", name="Sign in").click()
    await expect(answers(there)).to_have_count(1)


async def test_another_sign_in_is_listed_and_can_be_ended(windows: Windows, alice: Person) -> None:
    windows.expect([401])
    here = await windows.open(alice)
    there = await windows.open(user_agent="A telephone")
    await _sign_in(there, alice.email, PASSWORD)
    await ask(there, "Hello")
    await done(there)
    await here.goto("/profile")
    rows = here.locator("#sessions + ul li")
    await expect(rows).to_have_count(2)
    await expect(rows.filter(has_text="A telephone")).to_have_count(1)
    await rows.filter(has_text="A telephone").get_by_role("button").click()
    await expect(here.locator("#flash")).to_have_text("That sign-in was ended.")
    await expect(rows).to_have_count(1)
    await expect(there.get_by_role("heading", level=1)).to_have_text("Sign in to Parley")
    await expect(there.get_by_text("You were signed out: this sign-in is over")).to_be_visible()
    await expect(there.get_by_text("What you wrote is kept.")).to_be_hidden()


async def test_who_is_signed_out_while_writing_is_told_that_it_is_kept(windows: Windows, alice: Person) -> None:
    windows.expect([401])
    there = await windows.open(user_agent="A telephone")
    await _sign_in(there, alice.email, PASSWORD)
    await ask(there, "Hello")
    await done(there)
    await box(there).press_sequentially("Half a thought")
    here = await windows.open(alice)
    await here.goto("/profile")
    await here.locator("#sessions + ul li").filter(has_text="A telephone").get_by_role("button").click()
    await expect(there.get_by_text("What you wrote is kept.")).to_be_visible()


async def test_signing_out_leads_to_the_sign_in_page_and_back(windows: Windows, page: Page, alice: Person) -> None:
    await ask(page, "Hello")
    await done(page)
    address = page.url
    await page.locator(".account summary").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator("#flash")).to_have_text("You are signed out.")
    await page.goto(address)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to Parley")
    await page.get_by_label("Email").fill(alice.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(address)
    await expect(answers(page)).to_have_count(1)


async def test_an_invited_person_joins_sees_nothing_of_others_and_can_be_shut_out(
    windows: Windows, instance: Instance, page: Page, models: ModelServer
) -> None:
    await ask(page, "A secret")
    await done(page)
    owner = await windows.open(await instance.add_person("Olive", is_owner=True))
    await owner.goto("/users")
    await owner.get_by_label("Email of the person (optional)").fill("bob@example.org")
    await owner.get_by_role("button", name="Make an invitation").click()
    link = await owner.locator("#invitation-url").inner_text()
    assert link.startswith(instance.base_url)
    await owner.reload()
    await expect(owner.locator("#invitations ~ ul li")).to_have_count(1)
    await expect(owner.locator("#invitation-url")).to_have_count(0)

    guest = await windows.open()
    await guest.goto(link)
    await expect(guest.get_by_label("Email")).to_have_value("bob@example.org")
    await guest.get_by_label("Your name").fill("Bob")
    await guest.get_by_label("Password").fill(PASSWORD)
    await guest.get_by_role("button", name="Join").click()
    await expect(guest.get_by_role("heading", level=1)).to_have_text("What would you like to know, Bob?")
    await expect(guest.locator("#threads .thread-item")).to_have_count(0)
    windows.expect([401, 403, 404])
    for path in (page.url, page.url + "/deletion", "/users", "/providers"):
        answer = await guest.goto(path)
        assert answer is not None
        assert answer.status in (403, 404)
    answer = await guest.goto(link)
    assert answer is not None
    assert answer.status == 404

    await guest.goto("/")
    models.say("Welcome.")
    await ask(guest, "Hello")
    await expect(body(guest)).to_have_text("Welcome.")
    await owner.goto("/users")
    await owner.get_by_role("link", name="Deactivate Bob").last.click()
    asking = owner.get_by_role("dialog", name="Deactivate Bob?")
    await expect(asking.get_by_role("link", name="Cancel")).to_be_focused()
    await asking.get_by_role("button", name="Deactivate").click()
    await expect(owner.locator("#flash")).to_have_text("Bob is signed out everywhere and cannot sign in any more.")
    await expect(guest.get_by_role("heading", level=1)).to_have_text("Sign in to Parley")
    await expect(guest.get_by_text("Your account was deactivated.")).to_be_visible()
    await _sign_in(guest, "bob@example.org", PASSWORD, expects=422, windows=windows)
    await expect(guest.get_by_text("The email or the password is not right.")).to_be_visible()


async def _sign_in(page: Page, email: str, password: str, *, expects: int = 0, windows: Windows | None = None) -> None:
    if windows is not None:
        windows.expect([expects])
    if "/sign-in" not in page.url:
        await page.goto("/sign-in")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
