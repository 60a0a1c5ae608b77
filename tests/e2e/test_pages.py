"""Pages that the preview does not draw, in every theme, on a desk and on a phone: axe-core finds nothing, nothing overflows.

The others are looked at in `tests/preview/test_pages.py`, without a database.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from app.providers.scripted import TOUR
from tests.axe import IN_THEMES, Look, assert_accessible, violations
from tests.e2e.chatting import answers, ask, body, box, done
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Pages of somebody who is signed in, by the address that shows them; the thread's own are filled in.
SIGNED_IN = (
    "/settings/general", "/settings/models", "/settings/appearance", "/settings/safety", "/settings/advanced",
    "/settings/file", "{thread}",
    "/presets", "/presets/new", "{preset}", "{preset}/deletion", "{shared_preset}", "/?preset={preset_id}",
    "/slash-prompts", "/slash-prompts/new", "{slash}", "{slash}/text", "{slash}/deletion", "{shared_slash}",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def olive(instance: Instance) -> Person:
    """The owner, with a few threads."""
    person = await instance.add_person("Olive", is_owner=True)
    for number in range(3):
        await instance.add_thread(person, 2, title=f"About lantern {number}")
    return person


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(instance: Instance, olive: Person, browser: Any) -> AsyncIterator[dict[str, str]]:
    """The owner's thread with an answer of every kind, and what is shared."""
    models = instance.models
    models.forget()
    windows = Windows(browser, instance.base_url)
    page = await windows.open(olive)
    await page.goto("/")
    models.say(TOUR, thoughts=["Show everything."])
    await ask(page, "Show me everything that you can draw.")
    await done(page)
    models.say("Shorter.", reason="length")
    await answers(page).last.get_by_role("button", name="Try again").click()
    await expect(body(page)).to_have_text("Shorter.")
    await done(page)
    await answers(page).last.get_by_role("button", name="Previous answer").click()
    await expect(page.locator(".siblings")).to_contain_text("1 of 2")
    await box(page).fill("A draft")
    thread = page.url
    await windows.close()
    assert windows.faults == []
    (model,) = await instance.sql(
        """UPDATE model SET set_by_owner = '{"input_price": 0.5, "has_tools": false}'
        WHERE id = (SELECT id FROM model WHERE gone_at IS NULL ORDER BY name LIMIT 1) RETURNING id"""
    )
    found = {"thread": thread}
    other = await instance.add_person("Otto", is_owner=True)
    for person, which in ((olive, ""), (other, "shared_")):
        (preset,) = await instance.sql(_PRESET, person.id, model["id"])
        (slash,) = await instance.sql(_SLASH, person.id)
        found |= {f"{which}preset": f"/presets/{preset['id']}", f"{which}preset_id": str(preset["id"])}
        found[f"{which}slash"] = f"/slash-prompts/{slash['id']}"
    yield found
    # What is shared is seen by everybody, in other tests too.
    await instance.sql("DELETE FROM preset WHERE is_shared")
    await instance.sql("DELETE FROM slash_prompt WHERE is_shared")


_PRESET = """
INSERT INTO preset (id, "user", name, is_shared, model, model_name, system_prompt, options, created_at, updated_at)
VALUES (gen_random_uuid(), $1, 'Harbour master', true, $2, 'lantern-7b', 'Be brief.', '{"temperature": 0.5, "stop": ["END"]}',
    now(), now()) RETURNING id
"""
_SLASH = """
INSERT INTO slash_prompt (id, "user", name, description, text, is_shared, created_at, updated_at)
VALUES (gen_random_uuid(), $1, 'letter', 'A letter in your words', 'A {{tone:choice=formal|casual}} letter to {{name}} of
{{day:date}}, {{count:number=}} lines: {{body:long}}', true, now(), now()) RETURNING id
"""


@IN_THEMES
@pytest.mark.parametrize("path", SIGNED_IN)
async def test_a_page_is_accessible(
    windows: Windows, olive: Person, places: dict[str, str], path: str, looks: list[Look]
) -> None:
    windows.expect([404])
    page = await windows.open(olive, reduced_motion="reduce")
    await page.goto(path.format(**places))
    await assert_accessible(page, looks)


@IN_THEMES
async def test_forms_with_mistakes_are_accessible(windows: Windows, olive: Person, looks: list[Look]) -> None:
    windows.expect([422])
    page = await windows.open(olive, reduced_motion="reduce")
    await page.goto("/profile")
    await page.get_by_label("Current password").fill("wrong")
    await page.get_by_label("New password").fill("short")
    await page.get_by_role("button", name="Change the password").click()
    await expect(page.locator("#error-password")).to_be_visible()
    await assert_accessible(page, looks)
    await page.goto("/")
    await box(page).fill("  ")
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Temperature").fill("9")
    await page.locator("#composer").evaluate("form => { form.noValidate = true; form.requestSubmit() }")
    await expect(page.locator("#error-temperature")).to_be_visible()
    await assert_accessible(page, looks)


@IN_THEMES
async def test_an_answer_that_runs_is_accessible(
    windows: Windows, olive: Person, models: ModelServer, looks: list[Look]
) -> None:
    page = await windows.open(olive, reduced_motion="reduce")
    await page.goto("/")
    gate = asyncio.Event()
    models.say_until(gate, ["# It begins\n\nand `goes` on"])
    await ask(page, "Tell me")
    await expect(body(page)).to_contain_text("goes on")
    await assert_accessible(page, looks)
    gate.set()
    await done(page)


OPENERS: dict[str, Callable[[Page], Any]] = {
    "account": lambda page: page.locator(".account summary").click(),
    "slash": lambda page: _type_slash(page),
    "slash dialog": lambda page: _type_slash(page, choose=True),
}


@IN_THEMES
@pytest.mark.parametrize("name", OPENERS)
async def test_what_opens_over_a_page_is_accessible(
    windows: Windows, olive: Person, places: dict[str, str], name: str, looks: list[Look]
) -> None:
    page = await windows.open(olive, reduced_motion="reduce")
    await page.goto(places["thread"])
    await OPENERS[name](page)
    if "dialog" in name:
        await expect(page.locator("#dialog")).to_be_visible()
    await assert_accessible(page, [(theme, width) for theme, width in looks if width == 1440])


async def test_the_drawer_of_a_phone_closes_with_a_choice(
    windows: Windows, olive: Person, places: dict[str, str]
) -> None:
    page = await windows.open(olive, width=390, reduced_motion="reduce")
    await page.goto(places["thread"])
    await page.get_by_role("button", name="Threads and settings").click()
    await expect(page.locator("#sidebar")).to_be_visible()
    await page.locator("#threads a").first.click()
    await expect(page.locator("#sidebar")).to_be_hidden()


async def test_nothing_moves_for_who_wants_it_so(windows: Windows, olive: Person, places: dict[str, str]) -> None:
    page = await windows.open(olive, reduced_motion="reduce")
    await page.goto(places["thread"])
    moving = await page.evaluate(
        "() => [...document.querySelectorAll('*')].filter((element) => { const style = getComputedStyle(element);"
        " return parseFloat(style.animationDuration) > 0.01 && style.animationName !== 'none'"
        " || style.transitionDuration.split(',').some((time) => parseFloat(time) > 0.01); }).map((e) => e.outerHTML.slice(0, 60))"
    )
    assert moving == []


@IN_THEMES
async def test_the_menu_of_presets_is_accessible(
    windows: Windows, olive: Person, places: dict[str, str], looks: list[Look]
) -> None:
    page = await windows.open(olive, reduced_motion="reduce")
    await page.goto("/")
    await page.get_by_text("Begin with a preset").click()
    await assert_accessible(page, looks)


async def _type_slash(page: Page, *, choose: bool = False) -> None:
    await box(page).fill("")
    await box(page).press("/")
    await expect(page.get_by_role("option", name="/letter").first).to_be_visible()
    if choose:
        await page.keyboard.press("Enter")


async def test_axe_would_find_something(page: Page) -> None:
    await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert any(found.startswith("button-name") for found in await violations(page))
