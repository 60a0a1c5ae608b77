"""The whole journey with JavaScript off: forms, links, and an answer that grows in a frame."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, body, box, button, done, load_until_status, see_the_end
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.model_server import TITLE, ModelServer
from tests.e2e.windows import Windows
from tests.people import PASSWORD
from tests.scripted import OPENAI, Close, Send, Wait, chunk
from tests.tiers import in_tiers

pytestmark = pytest.mark.asyncio(loop_scope="session")

DONE = "Show the finished answer"


@pytest_asyncio.fixture(loop_scope="session")
async def page(windows: Windows, alice: Person, models: ModelServer) -> Page:
    """Alice's window on an empty thread, without scripts."""
    opened = await windows.open(alice, java_script_enabled=False)
    await opened.goto("/")
    return opened


async def test_from_nothing_to_a_stored_answer(fresh: Instance, fresh_windows: Windows) -> None:
    page = await fresh_windows.open(java_script_enabled=False)
    fresh_windows.expect([422])
    await page.goto(fresh.owner_link)
    await page.get_by_label("Your name").fill("Olive")
    await page.get_by_label("Email").fill("olive@example.org")
    await page.get_by_label("Password").fill("short")
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await page.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
    await page.get_by_label("It is on this machine or in my own network").check()
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator("#test")).to_contain_text("could not be reached at 127.0.0.1:9")
    await expect(page.get_by_label("Base URL").last).to_have_value("http://127.0.0.1:9/v1")
    await page.get_by_label("Base URL").last.fill(fresh.models.url_for(OPENAI))
    await page.get_by_role("button", name="Connect", exact=True).click()
    await page.get_by_role("link", name="Start a thread").click()
    fresh.models.say("At dusk.")
    await _ask(page, "When?")
    await see_the_end(page)
    await expect(body(page)).to_have_text("At dusk.")
    assert [row["content"] for row in await fresh.stored(thread_of(page.url))] == ["When?", "At dusk."]


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)], ids=["desk", "phone"])
async def test_what_a_test_found_is_seen(windows: Windows, instance: Instance, width: int, height: int) -> None:
    olive = await instance.add_person("Olive", is_owner=True)
    page = await windows.open(olive, width=width, height=height, java_script_enabled=False)
    await page.goto("/providers")
    form = page.locator("form").filter(has=page.get_by_label("Kind"))
    await form.get_by_label("Key").fill("sk-lantern")
    await form.get_by_label("It is on this machine or in my own network").check()
    for url, found in (
        (instance.models.url_for(OPENAI), "2 models in"),
        ("http://127.0.0.1:9/v1", "could not be reached at 127.0.0.1:9"),
        (instance.models.url + "/v2", "has nothing at this address"),
    ):
        await form.get_by_label("Base URL").fill(url)
        await form.get_by_role("button", name="Test", exact=True).click()
        await expect(form.get_by_text(found).first).to_be_in_viewport(ratio=1)
    await form.get_by_label("Base URL").fill(instance.models.url_for(OPENAI))
    await form.get_by_label("Key").fill("sk-lantern")
    await form.get_by_role("button", name="Test", exact=True).click()
    await expect(form.get_by_text("is not kept. Type it again to connect.")).to_be_in_viewport(ratio=1)
    await expect(form.get_by_label("Key")).to_have_value("")


async def test_the_answer_grows_in_a_frame(page: Page, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.say_until(gate, ["The **first** part.\n\n"], ["The second."])
    await _ask(page, "Tell me")
    frame = page.frame_locator("iframe.live")
    await expect(frame.locator(".state").last).to_have_text("The first part.")
    await expect(frame.locator(".state strong").last).to_be_visible()
    assert await page.locator("iframe.live").evaluate(
        "frame => frame.clientWidth === frame.closest('article').clientWidth"
    )
    gate.set()
    await see_the_end(page)
    await expect(body(page).locator("p")).to_have_text(["The first part.", "The second."])
    await expect(page.locator("iframe")).to_have_count(0)
    await expect(page.locator("h1")).to_have_text(TITLE)


async def test_stop_continue_try_again_and_the_way_between_answers(page: Page, models: ModelServer) -> None:
    models.say_until(asyncio.Event(), ["It begins "])
    await _ask(page, "Tell me")
    await expect(page.frame_locator("iframe.live").locator(".state").last).to_have_text("It begins")
    await expect(button(page, "Stop")).to_be_hidden()
    await page.frame_locator("iframe.live").get_by_role("button", name="Stop").click()
    await load_until_status(page, "stopped")
    await expect(body(page)).to_have_text("It begins")
    models.say("and ends.")
    await button(page, "Continue").click()
    await see_the_end(page)
    await expect(body(page)).to_have_text("It begins and ends.")
    models.say("Another.")
    await button(page, "Try again").click()
    await see_the_end(page)
    await expect(body(page)).to_have_text("Another.")
    await expect(page.locator(".siblings")).to_contain_text("2 of 2")
    await button(page, "Previous answer").click()
    await expect(body(page)).to_have_text("It begins and ends.")
    await button(page, "Next answer").click()
    await expect(body(page)).to_have_text("Another.")


async def test_rename_and_delete(page: Page, models: ModelServer, instance: Instance) -> None:
    await _ask(page, "Tell me")
    await see_the_end(page)
    address = page.url
    await page.get_by_label("Rename or delete this thread").click()
    await page.locator(".bar").get_by_label("Title").fill("Lamps")
    await page.locator(".bar").get_by_role("button", name="Rename").click()
    await expect(page.locator("h1")).to_have_text("Lamps")
    await expect(page.locator("#threads .title")).to_have_text("Lamps")
    await page.get_by_label("Rename or delete this thread").click()
    await page.locator(".bar").get_by_role("link", name="Delete…").click()
    await page.get_by_role("link", name="Keep it").click()
    await page.get_by_label("Rename or delete “Lamps”").click()
    await page.locator("#sidebar").get_by_role("link", name="Delete…").click()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.locator("#threads .thread-item")).to_have_count(0)
    assert await instance.stored(thread_of(address)) == []


async def test_options(page: Page, windows: Windows, models: ModelServer) -> None:
    windows.expect([422])
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Temperature").fill("tepid")
    await page.locator("#options-panel").get_by_role("button", name="Close").click()
    await _ask(page, "Tell me")
    await expect(page.locator("#error-temperature")).to_have_text("A number from 0 to 2.")
    await expect(page.get_by_label("Temperature")).to_have_value("tepid")
    await expect(box(page)).to_have_value("Tell me")
    await page.get_by_label("Temperature").fill("0.5")
    await page.get_by_role("button", name="Send").click()
    await see_the_end(page)
    assert models.asked[0].json["temperature"] == 0.5
    await page.get_by_role("button", name="Options").click()
    await expect(page.get_by_label("Temperature")).to_have_value("0.5")
    await page.get_by_label("System prompt").fill("Be brief.")
    await page.get_by_label("Context window, in tokens").fill("12")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(page.locator("#error-context_window")).to_be_visible()
    await page.get_by_label("Context window, in tokens").fill("")
    await page.locator("#options-panel").get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await _ask(page, "Again")
    await see_the_end(page)
    assert models.asked[1].json["messages"][0]["content"] == "Be brief."


async def test_what_cannot_be_sent_stays_in_the_form_with_the_reason(page: Page, windows: Windows) -> None:
    windows.expect([422])
    await _ask(page, "   ")
    await expect(page.locator("#error-text")).to_be_visible()
    await box(page).fill("Hello")
    await page.get_by_role("button", name="Send").click()
    await see_the_end(page)
    await box(page).fill("x" * 200_001)
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#error-text")).to_contain_text("200,000")
    assert len(await box(page).input_value()) == 200_001


@pytest.mark.parametrize("length", in_tiers(4_500_000, 10_000_000))
async def test_very_many_characters_come_back_in_a_form(
    page: Page, windows: Windows, models: ModelServer, length: int
) -> None:
    windows.expect([413, 422])
    text = "lantern é " * (length // 10)
    await box(page).fill(text)
    await page.get_by_role("button", name="Send").click()
    # Paragraphs alone are searched: the text itself would take longer than the test may.
    await expect(page.locator("p", has_text="at most 4,000,000 bytes")).to_be_visible()
    said = page.locator("p", has_text=f"It has {length:,} characters; a message may have 200,000.")
    await expect(said).to_be_visible()
    assert await box(page).input_value() == text
    await box(page).fill("x" * (200_000 + 1))
    await page.get_by_role("button", name="Send again").click()
    await expect(page.locator("#error-text")).to_contain_text("200,000")
    await box(page).fill("Shorter")
    await page.get_by_role("button", name="Send").click()
    await see_the_end(page)
    assert [each.json["messages"][0]["content"] for each in models.asked] == ["Shorter"]


async def test_older_messages_have_pages_of_their_own(page: Page, instance: Instance, alice: Person) -> None:
    thread = await instance.add_thread(alice, 50)
    await page.goto(f"/threads/{thread}")
    seen = await page.locator("article").count()
    await expect(answers(page).last).to_contain_text("Answer 99")
    while await page.get_by_role("link", name="Earlier messages").count():
        await page.get_by_role("link", name="Earlier messages").click()
        await page.wait_for_load_state()
        seen += await page.locator("article").count()
    assert seen == 100
    await expect(page.locator("article").first).to_contain_text("Question 0")
    await page.get_by_role("link", name="To the newest messages").click()
    await expect(answers(page).last).to_contain_text("Answer 99")


async def test_older_threads_have_pages_of_their_own(page: Page, instance: Instance, alice: Person) -> None:
    for number in range(45):
        await instance.add_thread(alice, 1, title=f"Thread {number:02}")
    await page.goto("/")
    await expect(page.locator("#threads .thread-item")).to_have_count(40)
    await page.get_by_role("link", name="Older threads").click()
    await expect(page.locator("main li")).to_have_count(5)
    await expect(page.locator("#threads .thread-item")).to_have_count(40)
    await expect(page.locator("#threads .title").first).to_have_text("Thread 44")
    await page.locator("main").get_by_role("link", name="Thread 00").click()
    await expect(page.locator("h1")).to_have_text("Thread 00")


async def test_another_person_joins(page: Page, windows: Windows, instance: Instance) -> None:
    owner = await windows.open(await instance.add_person("Olive", is_owner=True), java_script_enabled=False)
    await owner.goto("/users")
    await owner.get_by_role("button", name="Make an invitation").click()
    guest = await windows.open(java_script_enabled=False)
    await guest.goto(await owner.locator("#invitation-url").inner_text())
    await guest.get_by_label("Your name").fill("Bob")
    await guest.get_by_label("Email").fill("bob-without-scripts@example.org")
    await guest.get_by_label("Password").fill(PASSWORD)
    await guest.get_by_role("button", name="Join").click()
    await expect(guest.get_by_role("heading", level=1)).to_contain_text("Bob")
    await guest.locator(".account summary").click()
    await guest.get_by_role("link", name="Profile").click()
    await guest.get_by_label("Theme").select_option("Terminal Green")
    await guest.get_by_role("button", name="Save").click()
    await expect(guest.locator("html")).to_have_attribute("data-theme", "terminal")
    await guest.locator(".account summary").click()
    await guest.get_by_role("button", name="Sign out").click()
    await expect(guest.get_by_role("heading", level=1)).to_have_text("Sign in to Parley")


async def _ask(page: Page, text: str) -> None:
    await box(page).fill(text)
    await page.get_by_role("button", name="Send").click()


async def test_the_frame_of_an_answer_that_failed_says_why_and_offers_no_stop(
    page: Page, windows: Windows, models: ModelServer
) -> None:
    gate = asyncio.Event()
    models.script(OPENAI.head(), Send(chunk(OPENAI.text("It begins "))), Wait(gate), Close())
    await _ask(page, "Tell me")
    frame = page.frame_locator("iframe.live")
    await expect(frame.locator(".state").last).to_have_text("It begins")
    await expect(frame.get_by_role("button", name="Stop")).to_be_visible()
    gate.set()
    await expect(frame.locator(".state-end .problem")).to_contain_text("broke off before the answer was complete")
    await expect(frame.get_by_role("button", name="Stop")).to_be_hidden()
    await expect(frame.get_by_role("link", name=DONE)).to_have_count(0)
    await frame.get_by_role("link", name="Back to the thread").click()
    await done(page, "interrupted")
