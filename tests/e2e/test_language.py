"""The language of a person and of a browser: words, dates and numbers."""

import pytest
from playwright.async_api import Page, expect

from tests.axe import overflow, violations
from tests.e2e.chatting import answers, body, box, done
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.tiers import thinned

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_chosen_language_is_spoken_everywhere(page: Page, windows: Windows, models: ModelServer) -> None:
    await page.goto("/profile")
    await page.get_by_label("Language").select_option("Deutsch")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await expect(page.locator("#flash")).to_have_text("Gespeichert.")
    await page.get_by_role("link", name="Neues Gespräch").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Was möchtest du wissen, Alice?")
    models.say("```python\nprint(1)\n```")
    await page.get_by_label("Nachricht", exact=True).fill("Hallo")
    await page.get_by_role("button", name="Senden").click()
    await page.wait_for_url("**/threads/*")
    await done(page)
    await expect(body(page)).to_contain_text("print(1)")
    await expect(answers(page).last.get_by_role("button", name="Noch einmal")).to_be_visible()
    windows.expect([404])
    await page.goto("/nirgends")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Seite nicht gefunden")
    assert await violations(page) == []


@pytest.mark.parametrize(
    ("locale", "chosen", "lang", "number"),
    [
        ("de-AT", "", "de", "2,5\u202fs"),
        ("en-GB", "", "en", "2.5\u202fs"),
        ("fr-CH", "", "en", "2.5\u202fs"),
        ("de-DE", "en", "en", "2.5\u202fs"),
        ("en-US", "de", "de", "2,5\u202fs"),
    ],
)
async def test_numbers_are_written_as_the_page_speaks(
    windows: Windows, instance: Instance, alice: Person, locale: str, chosen: str, lang: str, number: str
) -> None:
    await instance.sql("UPDATE users SET language = $2 WHERE id = $1", alice.id, chosen)
    thread = await instance.add_thread(alice, 1)
    await instance.sql("UPDATE message SET duration_ms = 2500 WHERE thread = $1 AND role = 'assistant'", thread)
    page = await windows.open(alice, language=locale)
    await page.goto("/")  # who chose a language elsewhere is spoken to in it from the second page on
    await page.goto(f"/threads/{thread}")
    await expect(page.locator("html")).to_have_attribute("lang", lang)
    await expect(page.locator(".figures")).to_contain_text(number)


async def test_health_speaks_the_readers_language(windows: Windows, instance: Instance) -> None:
    owner = await instance.add_person("Olive", is_owner=True)
    await instance.sql(
        "UPDATE provider SET state = 'ok', latency_ms = 2500, refreshed_at = now() WHERE kind = 'openai'"
    )
    page = await windows.open(owner, language="de-DE")
    await page.goto("/status")
    await expect(page.locator("#status")).to_contain_text("in 2,5\u202fs")
    for name in ("Modellliste auffrischen", "Auf diesem Rechner"):
        await expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    async with page.expect_response("**/status"):
        pass
    await expect(page.locator("#status")).to_contain_text("in 2,5\u202fs")


PAGES = ("/", "/profile", "/providers", "/models", "/users", "/status", "/presets/new", "/slash-prompts/new")


@pytest.mark.parametrize("path", thinned(PAGES, keep=3))
async def test_longer_words_fit(windows: Windows, instance: Instance, path: str) -> None:
    owner = await instance.add_person("Olive", is_owner=True)
    page = await windows.open(owner, width=360, height=740, language="de-DE", reduced_motion="reduce")
    await page.goto(path)
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    assert await overflow(page) == []


async def test_without_scripts(windows: Windows, alice: Person) -> None:
    page = await windows.open(alice, java_script_enabled=False, language="de")
    await page.goto("/")
    await expect(page.get_by_label("Nachricht", exact=True)).to_be_visible()
    await page.goto("/profile")
    await page.get_by_label("Sprache").select_option("English")
    await page.get_by_role("button", name="Speichern").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await page.goto("/")
    await expect(box(page)).to_be_visible()
