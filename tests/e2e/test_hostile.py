"""Hostile texts on every surface that shows text, judged in the browser: nothing runs, nothing is fetched, nothing asks."""

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest
from playwright.async_api import Page, expect

from app.parts import clean
from tests.corpora.xss import PAYLOADS
from tests.e2e.chatting import answers, ask, assert_as_reloaded, body, box, done
from tests.e2e.instance import Instance, Person, thread_of
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.scripted import LAST_CHUNK, OPENAI, Send, Sleep, Step, Wait, chunk, whole
from tests.tiers import in_tiers

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: As the database takes them: what reaches it through the app has lost the characters that it has no place for.
STORED = [clean(payload) for payload in PAYLOADS]
#: Every ninth of them, or all.
EVERY = pytest.mark.parametrize("every", in_tiers(9, 1))
#: Runs in every page before anything else: what an attack does is remembered, whatever world it comes from.
_CANARY = """
window.attacks = [];
for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = (...all) => { attacks.push([name, ...all]); };
Object.defineProperty(window, "pwned", { set: (value) => attacks.push(["pwned", value]), get: () => undefined });
"""
#: What an attack has done, and what of it lives in the page: elements, addresses and attributes that could do something.
_JUDGE = """
() => {
  const found = window.attacks.map(String);
  const bad = [
    "script:not([nonce])", "object", "embed", "applet", "base[href]", "meta[http-equiv]", "frameset", "[style]", "[srcdoc]",
    "#messages :is(iframe, style, link, form[action*='//'], img, video, audio, svg image, foreignObject, animate, set)",
  ];
  for (const element of document.querySelectorAll(bad.join(","))) found.push(element.outerHTML.slice(0, 200));
  const addresses = ["href", "src", "action", "formaction", "xlink:href", "data"];
  const runs = /^[\\s\\x00-\\x1f]*(javascript|vbscript|data|file|blob):/i;
  const texts = ".body, .title, h1, option, .figures, .tag";
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      const isAddress = addresses.includes(name.toLowerCase()) && runs.test(value);
      const isAlive = /^(data-)?hx-/i.test(name) && element.closest(texts);
      if (/^on/i.test(name) || isAddress || isAlive) found.push(`${name}=${value}`);
    }
  }
  return found;
}
"""


def _batches(payloads: Sequence[str], size: int) -> Iterator[str]:
    for start in range(0, len(payloads), size):
        yield "\n\n".join(payloads[start : start + size])


async def _hostile_page(windows: Windows, person: Person) -> Page:
    page = await windows.open(person, reduced_motion="no-preference")  # an attack may wait for what moves
    await page.context.add_init_script(_CANARY)
    return page


async def _judge(page: Page) -> None:
    await page.evaluate("() => new Promise(requestAnimationFrame)")
    assert await page.evaluate(_JUDGE) == []


async def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) >= 200


async def test_the_judge_sees_an_attack(windows: Windows, alice: Person) -> None:
    page = await _hostile_page(windows, alice)
    await page.goto("/")
    await page.evaluate("() => { alert(1); document.querySelector('a').setAttribute('href', ' javascript:alert(1)') }")
    assert await page.evaluate(_JUDGE) == ["alert,1", "href= javascript:alert(1)"]


@pytest.mark.parametrize("every", in_tiers(3, 1))
async def test_questions_and_streaming_answers(
    windows: Windows, alice: Person, models: ModelServer, every: int
) -> None:
    """Each payload is a block of its own in an answer that comes in pieces of three characters, and of a question."""
    page = await _hostile_page(windows, alice)
    await page.goto("/")
    for number, text in enumerate(_batches(PAYLOADS[::every], 45), start=1):
        pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
        models.say_slowly(*pieces, per_second=2000)
        await ask(page, text)
        await expect(answers(page)).to_have_count(number)
        await _judge(page)
        await done(page)
        await _judge(page)
    await page.reload()
    await _judge(page)


@EVERY
async def test_each_alone_as_the_open_block_of_an_answer(
    windows: Windows, alice: Person, models: ModelServer, every: int
) -> None:
    """What is not finished yet is drawn too: every payload is once the last thing that has come."""
    page = await _hostile_page(windows, alice)
    await page.goto("/")
    gate = asyncio.Event()
    models.script(OPENAI.head(), *_one_by_one(PAYLOADS[::every]), *_ending(gate))
    await ask(page, "Attack")
    await expect(body(page)).to_contain_text("That was all.")
    await _judge(page)
    gate.set()
    await done(page)
    await _judge(page)
    await assert_as_reloaded(page)


async def test_reasoning(windows: Windows, alice: Person, models: ModelServer) -> None:
    page = await _hostile_page(windows, alice)
    await page.goto("/")
    text = "\n\n".join(PAYLOADS)
    models.say("Done.", thoughts=[text[start : start + 50] for start in range(0, len(text), 50)])
    await ask(page, "Think")
    await _judge(page)
    await done(page)
    await body(page).locator(".reasoning > summary").click()
    await _judge(page)


@EVERY
async def test_titles_of_people_and_of_models(
    windows: Windows, alice: Person, instance: Instance, models: ModelServer, every: int
) -> None:
    page = await _hostile_page(windows, alice)
    models.title = "a' onerror=alert(1) hx-get=/x x=\"&lt;script&gt;' b"  # tags are not believed to be a title
    await page.goto("/")
    await ask(page, "<title>")
    await done(page)
    await expect(page.locator("h1")).to_contain_text("onerror=alert(1)")
    await _judge(page)
    await instance.sql("DELETE FROM message WHERE thread = $1", thread_of(page.url))
    titles = [" ".join(payload.split())[:200] for payload in STORED[::every]]
    for title in titles:
        await instance.add_thread(alice, 1, title=title)
    other = await _hostile_page(windows, alice)
    await other.goto("/")
    for count in range(80, len(titles) + 40, 40):
        await _judge(other)
        await other.locator("#threads .more").scroll_into_view_if_needed()
        await expect(other.locator("#threads .thread-item")).to_have_count(min(count, len(titles) + 1))
    await _judge(other)
    await _rename(page, titles)
    await _judge(page)


@EVERY
async def test_names_of_models_providers_and_people(windows: Windows, instance: Instance, every: int) -> None:
    for payload in STORED[::every]:
        await instance.add_person(payload[:100])
    owner = await instance.add_person("<b hx-get=/x>Olive</b>", is_owner=True)
    page = await _hostile_page(windows, owner)
    async with ModelServer([payload[:200] for payload in dict.fromkeys(STORED[::every])]) as hostile:
        provider = await instance.connect("<img src=x onerror=alert(1)>", hostile)
        try:
            for path in ("/", "/providers", "/users", "/profile"):
                await page.goto(path)
                await _judge(page)
            await page.goto("/")
            await page.get_by_label("Model", exact=True).select_option(label=PAYLOADS[0][:200])
            await ask(page, "Who are you?")
            await done(page)
            await _judge(page)
            await answers(page).last.get_by_role("link", name="Request").click()
            await _judge(page)
        finally:
            await instance.sql("DELETE FROM provider WHERE id = $1", provider)


async def test_the_system_prompt_and_the_request(windows: Windows, alice: Person, models: ModelServer) -> None:
    page = await _hostile_page(windows, alice)
    await page.goto("/")
    text = "\n".join(PAYLOADS)
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("System prompt").fill(text)
    await page.get_by_label("Stop sequences, one per line").fill("<script>alert(1)</script>")
    await page.keyboard.press("Escape")
    await ask(page, text)
    await done(page)
    await page.get_by_role("button", name="Options").click()
    await expect(page.get_by_label("System prompt")).to_have_value(models.asked[0].json["messages"][0]["content"])
    await _judge(page)
    await page.keyboard.press("Escape")
    await answers(page).last.get_by_role("link", name="Request").click()
    shown = json.loads(await page.locator("[id^=request-json]").first.inner_text())
    assert shown == models.asked[0].json
    await _judge(page)


@EVERY
async def test_presets_and_slash_prompts(windows: Windows, alice: Person, instance: Instance, every: int) -> None:
    texts = STORED[::every]
    for number, payload in enumerate(texts):
        await instance.sql(_PRESET, alice.id, payload[:100], payload[:200], payload)
        await instance.sql(_SLASH, alice.id, f"{number} " + payload[:30], payload[:200], payload)
    (held,) = await instance.sql(
        'INSERT INTO slash_prompt (id, "user", name, description, text, created_at, updated_at)'
        " VALUES (gen_random_uuid(), $1, '0', '', $2, now(), now()) RETURNING id",
        alice.id, "{{body:long}} {{tone:choice=" + "|".join(p for p in STORED[:30] if not {"{", "}", "|"} & {*p}) + "}}",
    )  # fmt: skip
    page = await _hostile_page(windows, alice)
    for path in ("/presets", "/", "/slash-prompts", f"/slash-prompts/{held['id']}/text"):
        await page.goto(path)
        await _judge(page)
    for table, path in (("preset", "/presets/{}"), ("preset", "/?preset={}"), ("slash_prompt", "/slash-prompts/{}")):
        for row in (await instance.sql(f'SELECT id FROM {table} WHERE "user" = $1', alice.id))[
            :: max(every, len(texts) // 8)
        ]:
            await page.goto(path.format(row["id"]))
            await _judge(page)
            await page.goto(path.format(row["id"]) + ("/deletion" if "?" not in path else ""))
            await _judge(page)
    await page.goto("/")
    await box(page).press("/")
    await expect(page.get_by_role("option").nth(len(texts))).to_be_attached()
    await _judge(page)
    await page.keyboard.press("Enter")
    await page.get_by_label("body").fill("\n".join(PAYLOADS))
    await page.get_by_role("button", name="Put it into the message").click()
    await expect(page.locator("#dialog")).to_be_hidden()
    assert (await box(page).input_value()).startswith("\n".join(clean(payload) for payload in PAYLOADS)[:100])
    await _judge(page)


_PRESET = """
INSERT INTO preset (id, "user", name, model_name, system_prompt, created_at, updated_at)
VALUES (gen_random_uuid(), $1, $2, $3, $4, now(), now())
"""
_SLASH = """
INSERT INTO slash_prompt (id, "user", name, description, text, created_at, updated_at)
VALUES (gen_random_uuid(), $1, $2, $3, $4, now(), now())
"""


async def test_errors_and_drafts(windows: Windows, alice: Person, models: ModelServer) -> None:
    page = await _hostile_page(windows, alice)
    await page.goto("/")
    for number, payload in enumerate(PAYLOADS[::20], start=1):
        models.script(*whole(OPENAI.error_body(payload), 400))
        await ask(page, "Fail")
        await expect(answers(page)).to_have_count(number)
        await done(page, "failed")
    await _judge(page)
    async with page.expect_response(lambda response: response.url.endswith("/draft")):
        await box(page).fill("\n".join(PAYLOADS))
    await page.reload()
    await _judge(page)


def _one_by_one(payloads: list[str]) -> Iterator[Step]:
    for payload in payloads:
        yield Send(chunk(OPENAI.text(payload)))
        yield Sleep(0.02)
        yield Send(chunk(OPENAI.text("\n\n")))


def _ending(gate: asyncio.Event) -> tuple[Step, ...]:
    words = "\n\n```\n```\n\nThat was all."
    return Send(chunk(OPENAI.text(words))), Wait(gate), Send(chunk(OPENAI.finish("stop", (1, 1))) + LAST_CHUNK)


async def _rename(page: Page, titles: list[str]) -> None:
    """Names that a person gives, every tenth of them: the others are the same to the page."""
    for title in titles[::10]:
        await page.get_by_label("Rename or delete this thread").click()
        field = page.locator(".bar").get_by_label("Title")
        await field.fill(title)
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text(title)
        await expect(field).to_be_hidden()  # the stream tells the title first, the answer closes the menu
