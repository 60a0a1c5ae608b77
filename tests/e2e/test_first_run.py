"""From nothing to a stored answer, as a newcomer goes: the owner's account, a model server, the first thread."""

import asyncio
import socket

import pytest
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, assert_as_reloaded, body, box, done, load_again
from tests.e2e.instance import Instance, thread_of
from tests.e2e.model_server import TITLE
from tests.e2e.windows import Windows
from tests.scripted import ANTHROPIC, GEMINI, OLLAMA, OPENAI, Dialect, Wait, whole
from tests.tiers import crossed, soaked

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-lantern-0123456789"

_TELL_WHAT_IS_SEEN = """
const isSaid = () => document.querySelector(".asking").checkVisibility({ visibilityProperty: true });
const look = () => (isSaid() ? console.log("asking is seen") : requestAnimationFrame(look));
look();
addEventListener("pagehide", () => {
  sessionStorage.seen = `${isSaid()}, ${getComputedStyle(document.querySelector("[data-asks] .htmx-request")).cursor}`;
});
"""


async def test_from_nothing_to_a_stored_answer(fresh: Instance, fresh_windows: Windows) -> None:
    fresh.models.key = KEY
    page = await fresh_windows.open()
    await page.goto(fresh.owner_link)
    await _make_owner(page, fresh_windows)
    await _see_what_fails(page, fresh)
    await _connect(page, "OpenAI-compatible", "Harbour", fresh.models.url_for(OPENAI), KEY)
    await expect(page.locator("#server")).to_be_visible()
    assert KEY not in await page.content()
    await page.get_by_role("link", name="Start a thread").click()

    fresh.models.say("At ", "dusk.")
    await expect(page.get_by_text("You are talking to lantern-7b (Harbour).")).to_be_visible()
    await ask(page, "When are the lanterns lit?")
    await done(page)
    await expect(body(page)).to_have_text("At dusk.")
    await expect(page.locator("h1")).to_have_text(TITLE)
    await assert_as_reloaded(page)
    stored = await fresh.stored(thread_of(page.url))
    assert [message["content"] for message in stored] == ["When are the lanterns lit?", "At dusk."]
    assert fresh.models.asked[0].headers["authorization"] == f"Bearer {KEY}"
    (secrets,) = await fresh.sql("SELECT base_url, base_url_sealed, key_sealed FROM provider WHERE key_sealed <> ''")
    assert (KEY in str(secrets), fresh.models.url in str(secrets)) == (False, False)


async def test_ollama_is_connected_and_talked_to_in_its_own_words(fresh: Instance, fresh_windows: Windows) -> None:
    page = await fresh_windows.open()
    await page.goto(fresh.owner_link)
    await _make_owner(page, fresh_windows)
    await _connect(page, "Ollama", "", fresh.models.url_for(OLLAMA), "")
    await page.get_by_role("link", name="Start a thread").click()
    await expect(page.get_by_text("lantern-7b (Ollama) is loaded and ready.")).to_be_visible()
    fresh.models.say("At dusk.", dialect=OLLAMA, thoughts=["Hm."])
    await ask(page, "When?")
    await done(page)
    await expect(body(page).locator("p").last).to_have_text("At dusk.")
    assert fresh.models.asked[0].path == OLLAMA.chat_path
    assert "num_ctx" in fresh.models.asked[0].json["options"]


@pytest.mark.parametrize(
    ("dialect", "has_scripts"),
    crossed([ANTHROPIC, GEMINI], [True, False]),
    ids=lambda value: getattr(value, "kind", value),
)
async def test_every_other_kind_is_connected_with_its_key(
    fresh: Instance, fresh_windows: Windows, dialect: Dialect, has_scripts: bool
) -> None:
    fresh.models.key = KEY
    page = await fresh_windows.open(java_script_enabled=has_scripts)
    await page.goto(fresh.owner_link)
    await _make_owner(page, fresh_windows)
    kind = {"anthropic": "Anthropic", "gemini": "Google Gemini"}[dialect.kind]
    await _connect(page, kind, "", fresh.models.url_for(dialect), KEY)
    assert KEY not in await page.content()
    await page.get_by_role("link", name="Start a thread").click()
    fresh.models.say("At dusk.", dialect=dialect)
    await page.get_by_label("Message", exact=True).fill("When?")
    await page.get_by_role("button", name="Send").click()
    if has_scripts:
        await done(page)
        await expect(body(page)).to_have_text("At dusk.")
    else:
        await fresh.until_final(thread_of(page.url))
        await load_again(page)
        await expect(body(page)).to_have_text("At dusk.")
    (asked, *_titles) = fresh.models.asked
    assert dialect.is_question(asked)
    assert dialect.key_headers(KEY).items() <= asked.headers.items()


@pytest.mark.parametrize("reduced_motion", [soaked("no-preference"), "reduce"])
async def test_while_a_server_is_asked_the_page_says_so(
    fresh: Instance, fresh_windows: Windows, reduced_motion: str
) -> None:
    gate = asyncio.Event()
    fresh.models.answers[OPENAI.listing_path] = (Wait(gate), *whole(b'{"data": [{"id": "lantern-7b"}]}'))
    page = await fresh_windows.open(reduced_motion=reduced_motion)
    await page.goto(fresh.owner_link)
    await _make_owner(page, fresh_windows)
    form = page.locator("form").filter(has=page.get_by_label("Kind"))
    await form.get_by_label("Base URL").fill(fresh.models.url_for(OPENAI))
    await form.get_by_label("It is on this machine or in my own network").check()
    asking = form.get_by_text("Asking the server…")
    await expect(asking).to_be_hidden()
    await form.get_by_role("button", name="Test", exact=True).click()
    await expect(asking).to_be_visible()
    await expect(form.get_by_role("button", name="Test", exact=True)).to_have_css("cursor", "progress")
    gate.set()
    await expect(page.locator("#test")).to_contain_text("1 model in")
    await expect(asking).to_be_hidden()
    gate.clear()
    await page.evaluate(_TELL_WHAT_IS_SEEN)  # Playwright itself looks at no page that is about to be left
    async with page.expect_console_message(lambda said: said.text == "asking is seen"):
        await form.get_by_role("button", name="Connect").click(no_wait_after=True)
    gate.set()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Model servers")
    assert await page.evaluate("sessionStorage.seen") == "true, progress"
    await expect(asking).to_be_hidden()


async def test_the_way_to_another_server_stands_at_the_top(fresh: Instance, fresh_windows: Windows) -> None:
    page = await fresh_windows.open(width=390, height=844)
    await page.goto(fresh.owner_link)
    await _make_owner(page, fresh_windows)
    await expect(page).to_have_title("Connect a model · Parley")
    await expect(page.get_by_role("link", name="Connect another")).to_have_count(0)
    await _connect(page, "OpenAI-compatible", "Harbour", fresh.models.url_for(OPENAI), "")
    await expect(page).to_have_title("Model servers · Parley")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Model servers")
    await expect(page.get_by_label("Kind")).not_to_be_in_viewport()
    await page.get_by_role("link", name="Connect another").click()
    await expect(page.get_by_role("heading", name="A model server or service")).to_be_in_viewport(ratio=1)
    await expect(page.get_by_label("Kind")).to_be_in_viewport(ratio=1)


async def test_without_a_model_the_page_leads_to_one(fresh: Instance, fresh_windows: Windows) -> None:
    page = await fresh_windows.open()
    await page.goto(fresh.owner_link)
    await _make_owner(page, fresh_windows)
    await page.goto("/")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await box(page).fill("Anybody there?")
    await box(page).press("Enter")
    await expect(answers(page)).to_have_count(0)
    await page.get_by_role("link", name="Connect a model").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Connect a model")


async def test_without_the_link_the_token_is_asked_for(fresh: Instance, fresh_windows: Windows) -> None:
    fresh_windows.expect([422])
    page = await fresh_windows.open(width=390, height=844)
    await page.goto("/")
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.get_by_label("Token").fill("aaaa-aaaa-aaaa-aaaa")
    await page.get_by_label("Your name").fill("Olive")
    await page.get_by_label("Email").fill("olive@example.org")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.keyboard.press("Enter")
    await expect(page.locator("#error-token")).to_contain_text("not the token")
    await page.get_by_label("Token").fill(fresh.owner_link.rpartition("=")[2].lower())
    await page.get_by_label("Password").fill("correct horse battery")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Connect a model")


async def _make_owner(page: Page, windows: Windows) -> None:
    """First with mistakes: what was typed stays, and each field says what is wrong."""
    await expect(page.get_by_role("heading", level=1)).to_have_text("Welcome to Parley")
    assert "token" not in page.url
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.type("Olive")
    await page.get_by_label("Email").fill("olive@example.org")
    await page.get_by_label("Password").fill("short")
    windows.expect([422])
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Your name")).to_have_value("Olive")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Connect a model")


async def _see_what_fails(page: Page, fresh: Instance) -> None:
    """Test says exactly what failed, and keeps what was typed."""
    test = page.get_by_role("button", name="Test", exact=True)
    result = page.locator("#test")
    await page.get_by_label("Kind").select_option("OpenAI-compatible")
    await page.get_by_label("Base URL", exact=True).last.fill("harbour")
    await test.click()
    await expect(page.locator("#error-base_url")).to_contain_text("An address begins with http://")
    await expect(page.get_by_label("Base URL", exact=True).last).to_be_focused()
    await expect(page.get_by_label("Base URL", exact=True).last).to_have_value("harbour")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        port = closed.getsockname()[1]
        await page.get_by_label("Base URL", exact=True).last.fill(f"http://127.0.0.1:{port}/v1")
        await test.click()
        await expect(page.locator("#error-base_url")).to_contain_text("on this machine or in a private network")
        await page.get_by_label("It is on this machine or in my own network").check()
        await test.click()
        await expect(result).to_contain_text(f"could not be reached at 127.0.0.1:{port}")
    await expect(page.locator("#error-base_url")).to_have_count(0)
    await page.get_by_label("Base URL", exact=True).last.fill(fresh.models.url + "/v2")
    await page.get_by_label("Key", exact=True).last.fill(KEY)
    await test.click()
    await expect(page.locator("#error-base_url")).to_contain_text("has nothing at this address. Check its base URL.")
    await page.get_by_label("Base URL", exact=True).last.fill(fresh.models.url)
    await test.click()
    await expect(page.locator("#error-base_url")).to_contain_text(f"Did you mean {fresh.models.url}/v1?")
    await expect(page.get_by_label("Key", exact=True).last).to_have_value(KEY)
    await page.get_by_label("Base URL", exact=True).last.fill(fresh.models.url_for(OPENAI))
    await page.get_by_label("Key", exact=True).last.fill("sk-wrong-987654321")
    await test.click()
    await expect(page.locator("#error-key")).to_contain_text("did not accept the key: Incorrect API key provided")
    await expect(page.get_by_label("Key", exact=True).last).to_be_focused()
    await expect(page.get_by_label("Key", exact=True).last).to_have_value("sk-wrong-987654321")
    await page.get_by_label("Key", exact=True).last.fill(KEY)
    await test.click()
    await expect(result).to_contain_text("2 models in")


async def _connect(page: Page, kind: str, name: str, url: str, key: str) -> None:
    form = page.locator("form").filter(has=page.get_by_label("Kind"))
    await form.get_by_label("Kind").select_option(kind)
    await form.get_by_label("Name").fill(name)
    await form.get_by_label("Base URL").fill(url)
    await form.get_by_label("Key").fill(key)
    await form.get_by_label("It is on this machine or in my own network").check()
    await form.get_by_role("button", name="Connect").click()
    row = page.get_by_role("listitem").filter(has_text=url)
    await expect(row).to_contain_text("working")
    await expect(row).to_contain_text("2 models")
