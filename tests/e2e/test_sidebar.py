"""The sidebar tells the truth: on every page, in every tab, whatever happens where, it shows what a fresh page would."""

import asyncio

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.e2e.chatting import answers, ask, done, stop
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.watching import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ITEMS = """
() => [...document.querySelectorAll("#threads > .thread-item")].map((item) =>
  [item.id, item.dataset.at, item.querySelector(".title").textContent, item.querySelector(".busy")?.textContent ?? ""])
"""

#: There is a stream that is read, or that pauses, or none at all.
_IS_TOLD = """
() => document.hidden || !document.getElementById("thread") || document.getElementById("thread")._htmx?.sse?.reader
"""


@pytest_asyncio.fixture(loop_scope="session")
async def older(page: Page, models: ModelServer) -> Page:
    """Alice's window on the older one of two threads, Older and Newer."""
    for title in ("Older", "Newer"):
        models.title = title
        await page.goto("/")
        await ask(page, "When?")
        await done(page)
        await expect(page.locator("h1")).to_have_text(title)
    await page.locator("#threads").get_by_role("link", name="Older").click()
    await expect(page.locator("h1")).to_have_text("Older")
    await expect(titles(page)).to_have_text(["Newer", "Older"])
    return page


def titles(page: Page) -> Locator:
    """The titles in the sidebar, from the top."""
    return page.locator("#threads .title")


async def assert_truthful(page: Page) -> None:
    """The sidebar is the one of a fresh page, or soon will be: what is said of a thread may still be on its way."""
    fresh = await page.context.new_page()

    async def is_the_same() -> bool:
        await fresh.goto("/profile")
        return bool(await page.evaluate(_ITEMS) == await fresh.evaluate(_ITEMS))

    await until("a sidebar as a fresh page has it", is_the_same)
    await fresh.close()


async def hide(page: Page, is_hidden: bool) -> None:
    """As if the reader looked at another tab. A stream that is about to begin would go on while nobody looks."""
    await page.wait_for_function(_IS_TOLD)
    await page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
          Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


async def test_a_thread_that_is_used_again_moves_up_in_every_window(
    older: Page, windows: Windows, alice: Person, models: ModelServer
) -> None:
    phone = await windows.open(alice)
    await phone.goto(older.url)
    await phone.locator("#threads").get_by_role("link", name="Newer").click()
    await expect(phone.locator("h1")).to_have_text("Newer")
    release = asyncio.Event()
    models.say_until(release, ["One "], ["two."])
    await ask(older, "And then?")
    for one in (older, phone):
        await expect(titles(one)).to_have_text(["Older", "Newer"])
        await expect(one.locator("#threads .busy")).to_have_count(1)
        await assert_truthful(one)
    release.set()
    await done(older)
    for one in (older, phone):
        await expect(one.locator("#threads .busy")).to_have_count(0)
        await assert_truthful(one)


async def test_another_answer_and_a_continued_one_move_a_thread_up_too(
    older: Page, windows: Windows, alice: Person, models: ModelServer
) -> None:
    phone = await windows.open(alice)
    await phone.goto(older.url)
    await phone.locator("#threads").get_by_role("link", name="Newer").click()
    await expect(phone.locator("h1")).to_have_text("Newer")
    models.say_until(asyncio.Event(), ["One "])
    await answers(older).last.get_by_role("button", name="Try again").click()
    await expect(titles(phone)).to_have_text(["Older", "Newer"])
    await expect(phone.locator("#threads .busy")).to_have_count(1)
    await stop(older)
    await expect(phone.locator("#threads .busy")).to_have_count(0)
    await assert_truthful(phone)


async def test_a_window_that_was_hidden_shows_what_happened_meanwhile(
    older: Page, windows: Windows, alice: Person, models: ModelServer
) -> None:
    await hide(older, True)
    phone = await windows.open(alice)
    await phone.goto("/")
    models.title = "Third"
    await ask(phone, "Who?")
    await expect(phone.locator("h1")).to_have_text("Third")
    await phone.get_by_label("Rename or delete “Newer”").click()
    await phone.locator("#sidebar").get_by_label("Title").filter(visible=True).fill("Renamed")
    await phone.keyboard.press("Enter")
    await expect(titles(phone)).to_have_text(["Third", "Renamed", "Older"])
    await expect(titles(older)).to_have_text(["Newer", "Older"])
    await hide(older, False)
    await expect(titles(older)).to_have_text(["Third", "Renamed", "Older"])
    await expect(older.locator("#threads [aria-current=page]")).to_have_text("Older")
    await assert_truthful(older)


async def test_a_page_without_a_stream_learns_when_it_is_looked_at_again(
    older: Page, windows: Windows, models: ModelServer
) -> None:
    profile = await windows.tab(older)
    release = asyncio.Event()
    models.say_until(release, ["One "], ["two."])
    await ask(older, "And then?")
    await profile.goto("/profile")
    await expect(profile.locator("#threads .busy")).to_have_count(1)
    await hide(profile, True)
    release.set()
    await done(older)
    await expect(profile.locator("#threads .busy")).to_have_count(1)
    await hide(profile, False)
    await expect(profile.locator("#threads .busy")).to_have_count(0)
    await assert_truthful(profile)


async def test_a_page_without_a_stream_asks_now_and_then_and_is_sent_nothing_that_it_has(
    older: Page, windows: Windows
) -> None:
    profile = await windows.tab(older)
    await profile.clock.install()
    await profile.goto("/profile")
    async with profile.expect_response("**/threads?mark=*") as asked:
        await profile.clock.run_for(21_000)
    assert (await asked.value).status == 204


async def test_the_last_thread_that_is_deleted_elsewhere_goes(older: Page, windows: Windows) -> None:
    profile = await windows.tab(older)
    await profile.goto("/profile")
    for title in ("Older", "Newer"):
        await older.get_by_label(f"Rename or delete “{title}”").click()
        await older.locator("#sidebar").get_by_role("link", name="Delete…").filter(visible=True).click()
        await older.locator("#dialog").get_by_role("button", name="Delete").click()
        await expect(older.get_by_label(f"Rename or delete “{title}”")).to_have_count(0)
    await hide(profile, True)
    await hide(profile, False)
    await expect(titles(profile)).to_have_count(0)


async def test_an_open_menu_keeps_its_place_until_it_closes(older: Page, windows: Windows) -> None:
    other = await windows.tab(older)
    await other.goto(older.url)
    menu = other.locator("#threads").get_by_label("Rename or delete “Older”")
    await menu.click()
    await ask(older, "And then?")
    await done(older)
    await expect(titles(older)).to_have_text(["Older", "Newer"])
    await asyncio.sleep(0.3)
    await expect(titles(other)).to_have_text(["Newer", "Older"])
    await menu.click()
    await expect(titles(other)).to_have_text(["Older", "Newer"])
    await assert_truthful(other)


async def test_older_threads_load_once_each_though_the_last_one_shown_moved_up(
    page: Page, windows: Windows, instance: Instance, alice: Person
) -> None:
    for number in range(45):
        await instance.add_thread(alice, 1, title=f"Thread {number}")
    await page.goto("/")
    await page.locator("#threads").get_by_role("link", name="Thread 44", exact=True).click()
    await expect(titles(page)).to_have_count(40)
    last = page.locator("#threads .thread-item").last
    await expect(last.locator(".title")).to_have_text("Thread 5")
    other = await windows.tab(page)
    await other.goto(f"/threads/{str(await last.get_attribute('id')).removeprefix('thread-')}")
    await ask(other, "And then?")
    await done(other)
    await expect(titles(page).first).to_have_text("Thread 5")
    await page.bring_to_front()
    await page.locator("#threads .more").scroll_into_view_if_needed()
    await expect(titles(page)).to_have_count(45)
    await expect(page.locator("#threads .more")).to_have_count(0)
    shown = await titles(page).all_text_contents()
    assert shown == ["Thread 5", *(f"Thread {number}" for number in range(44, -1, -1) if number != 5)]
