"""The main journey with the real starter model: one form, one question, and an answer that says what it should."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from app.embedded import EmbeddedPostgres
from tests.e2e.chatting import answers, ask, assert_as_reloaded, body, box, button, load_again
from tests.e2e.conftest import running
from tests.e2e.instance import Instance, thread_of
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.people import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

STARTER = "SmolLM2 135M · starter"
QUESTION = "What is the capital of France?"
#: Ten times what a busy machine needs to load the model, or to write a short answer.
MOST_MS = 120_000
ENDED = re.compile("complete|stopped")


@pytest_asyncio.fixture(loop_scope="session")
async def empty(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    """A Parley as `make run` starts it: nobody has seen it, and the starter model is installed."""
    async with ModelServer() as models:
        data = tmp_path_factory.mktemp("starter") / "data"
        with running(postgres, data, models, {"PARLEY_BUNDLED_MODELS": "true"}) as started:
            yield started


@pytest_asyncio.fixture(loop_scope="session")
async def windows_of_empty(browser: Browser, empty: Instance) -> AsyncIterator[Windows]:
    opened = Windows(browser, empty.base_url)
    yield opened
    await opened.close()
    assert opened.faults == []


async def test_from_nothing_to_paris(empty: Instance, windows_of_empty: Windows) -> None:
    page = await windows_of_empty.open()
    await _become_owner(page, empty)
    await expect(page.get_by_text("This is a small model that comes with Parley")).to_be_visible()
    await expect(page.get_by_role("link", name="Connect a better one")).to_be_visible()
    await _until_loaded(empty)  # nobody asked for it: the page that has it chosen was opened
    await _set_options(page, temperature="0")
    await ask(page, QUESTION)
    await expect(body(page)).to_contain_text(re.compile(r"\w"), timeout=MOST_MS)
    await _complete(page)
    await expect(body(page)).to_contain_text("Paris")
    await assert_as_reloaded(page)
    await _until_named(empty, page)
    tasks = await empty.sql("SELECT kind, state FROM model_task")
    assert [tuple(task) for task in tasks] == [("load", "done")]  # every later page found it in memory
    await _look_at_the_request(page)

    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Longest answer, in tokens").fill("4")
    await page.get_by_role("button", name="Save").click()
    await page.keyboard.press("Escape")
    await ask(page, QUESTION)
    await expect(answers(page)).to_have_count(2)
    await _complete(page)
    begun = (await empty.stored(thread_of(page.url)))[-1]
    assert begun["finish_reason"] == "length"
    await button(page, "Continue").click()
    await empty.until_found(
        "what goes on", "SELECT 1 FROM message WHERE id = $1 AND content <> $2", begun["id"], begun["content"]
    )
    longer = (await empty.stored(thread_of(page.url)))[-1]
    assert longer["content"].startswith(begun["content"])
    await _complete(page)


async def test_stopping_keeps_what_it_said(empty: Instance, windows_of_empty: Windows) -> None:
    page = await windows_of_empty.open(width=390, height=844)
    await _become_owner(page, empty)
    for asked in range(1, 6):  # where a story was told before it could be stopped, another one is asked for
        await ask(page, "Tell me a very long story about a lantern.")
        await expect(answers(page)).to_have_count(asked)
        await expect(body(page)).to_contain_text(re.compile(r"\w+ \w+ \w+"), timeout=MOST_MS)
        with contextlib.suppress(PlaywrightTimeoutError):
            await page.get_by_role("button", name="Stop the answer").click(timeout=10_000)
        await expect(answers(page).last).to_have_attribute("data-status", ENDED, timeout=MOST_MS)
        if await answers(page).last.get_attribute("data-status") == "stopped":
            break
    stopped = (await empty.stored(thread_of(page.url)))[-1]
    assert stopped["content"]
    await asyncio.sleep(0.5)
    assert (await empty.stored(thread_of(page.url)))[-1]["content"] == stopped["content"]


@pytest.mark.soak
async def test_the_same_without_scripts_on_a_small_screen(empty: Instance, windows_of_empty: Windows) -> None:
    page = await windows_of_empty.open(java_script_enabled=False, width=390, height=844)
    await _become_owner(page, empty)
    await expect(page.get_by_role("link", name="Connect a better one")).to_be_visible()
    await _until_loaded(empty)
    await _set_options(page, temperature="0")
    await box(page).fill(QUESTION)
    await page.get_by_role("button", name="Send").click()
    await empty.until_final(thread_of(page.url))
    await load_again(page)
    await expect(body(page)).to_contain_text("Paris")


async def test_it_is_hidden_and_shown_again(empty: Instance, windows_of_empty: Windows) -> None:
    page = await windows_of_empty.open(width=390, height=844)
    await _become_owner(page, empty)
    await page.get_by_role("link", name="Connect a better one").click()
    await expect(page.get_by_text("A better model than the one that came with Parley:")).to_be_visible()
    await page.goto("/models")
    await page.locator("li.model").get_by_role("link", name=STARTER).click()
    await expect(page.get_by_role("link", name="Delete…")).to_have_count(0)
    await page.get_by_role("button", name="Hide").click()
    await expect(page.locator("#flash")).to_have_text(f"{STARTER} is hidden.")
    await expect(page.locator("#model-summary")).to_contain_text("hidden")
    await page.goto("/")
    await expect(page.get_by_role("link", name="Connect a model")).to_be_visible()
    await expect(page.locator("#offer")).to_contain_text("Every model is hidden.")
    await page.goto("/models")
    await expect(page.locator("#models")).not_to_contain_text("There is no model yet")
    await page.get_by_role("link", name="Show hidden").click()
    await page.locator("li.model").get_by_role("link", name=STARTER).click()
    await page.get_by_role("button", name="Show in lists").click()
    await page.goto("/")
    await expect(page.locator("#model option:checked")).to_contain_text(STARTER)


async def _become_owner(page: Page, empty: Instance) -> None:
    """One form of three fields, and then an empty thread with the starter model chosen."""
    await page.goto(empty.owner_link)
    await page.get_by_label("Your name").fill("Olive")
    await page.get_by_label("Email").fill("olive@example.org")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()
    await expect(page.locator("#model option:checked")).to_contain_text(STARTER)


async def _set_options(page: Page, *, temperature: str) -> None:
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Temperature", exact=True).fill(temperature)
    await page.keyboard.press("Escape")


async def _look_at_the_request(page: Page) -> None:
    """What was sent in its name is said: nothing goes out unseen."""
    window = await page.context.new_page()
    await window.goto(str(await answers(page).last.get_by_role("link", name="Request").get_attribute("href")))
    await expect(window.locator("main")).to_contain_text("You are a helpful AI assistant.")
    await window.close()


async def _complete(page: Page) -> None:
    await expect(answers(page).last).to_have_attribute("data-status", "complete", timeout=MOST_MS)


async def _until_loaded(empty: Instance) -> None:
    await empty.until_found(
        "the loaded starter model", "SELECT 1 FROM engine WHERE model_name = $1 AND state = 'running'", STARTER
    )


async def _until_named(empty: Instance, page: Page) -> None:
    """The call that asks for a title has ended, whatever came of it: the thread has a title."""
    await empty.until_found(
        "the end of the call for a title", "SELECT 1 FROM generation WHERE naming::text LIKE '%duration_ms%'"
    )
    (row,) = await empty.sql("SELECT title FROM thread WHERE id = $1", thread_of(page.url))
    assert row["title"].strip()
