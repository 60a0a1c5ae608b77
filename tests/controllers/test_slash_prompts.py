"""Slash-prompts: one's own, those that the owner shares, and the finished text with and without a script."""

import re
import uuid

import pytest

from app.database import fetch, fetch_row
from app.settings import settings
from tests.controllers.threads import converse
from tests.corpora.xss import PAYLOADS
from tests.people import Browser

PARTIAL = {"hx-request": "true"}


async def add(browser: Browser, **form: str) -> uuid.UUID:
    """A slash-prompt of who uses the browser."""
    answer = await browser.post("/slash-prompts", data={"name": "greet", "text": "Dear {{name}},", **form})
    assert (answer.status_code, answer.headers["location"]) == (303, "/slash-prompts"), answer.text
    row = await fetch_row('SELECT id FROM slash_prompt WHERE "user" = $1 ORDER BY created_at DESC', browser.user.id)
    assert row is not None
    return row["id"]


async def test_a_slash_prompt_is_stored_changed_and_deleted(alice: Browser) -> None:
    prompt = await add(alice, name=" /Greet ", description=" Kind  words ", text="Dear {{name}},\r\nhello.")
    row = await fetch_row("SELECT * FROM slash_prompt WHERE id = $1", prompt)
    assert row is not None
    assert (row["name"], row["description"], row["text"]) == ("greet", "Kind words", "Dear {{name}},\nhello.")
    assert "Dear {{name}}," in (await alice.get(f"/slash-prompts/{prompt}")).text
    answer = await alice.post(f"/slash-prompts/{prompt}?_method=PUT", data={"name": "bye", "text": "Goodbye."})
    assert answer.status_code == 303
    row = await fetch_row("SELECT * FROM slash_prompt WHERE id = $1", prompt)
    assert row is not None
    assert (row["name"], row["description"], row["text"]) == ("bye", "", "Goodbye.")
    assert "Delete this slash-prompt?" in (await alice.get(f"/slash-prompts/{prompt}/deletion")).text
    assert (await alice.post(f"/slash-prompts/{prompt}?_method=DELETE")).headers["location"] == "/slash-prompts"
    assert await fetch("SELECT 1 FROM slash_prompt") == []


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": ""}, "Please fill this in."),
        ({"name": "two words"}, "Use letters, digits, - and _"),
        ({"name": "//x"}, "Use letters, digits, - and _"),
        ({"name": "<b>"}, "Use letters, digits, - and _"),
        ({"name": "x" * 41}, "Use letters, digits, - and _"),
        ({"text": ""}, "Please fill this in."),
        ({"text": "Dear {{name"}, "is opened and not closed"),
        ({"text": "{{a:nonsense}}"}, "is no kind of variable"),
        ({"description": "x" * 201}, "At most 200 characters"),
        ({"is_shared": "perhaps"}, "Choose one of what is offered."),
    ],
)
async def test_what_cannot_be_is_said_beside_its_field_and_not_stored(
    olive: Browser, form: dict[str, str], sentence: str
) -> None:
    answer = await olive.post("/slash-prompts", data={"name": "greet", "text": "Kept as typed.", **form})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "Kept as typed." in answer.text or "text" in form
    assert await fetch("SELECT 1 FROM slash_prompt") == []


async def test_a_name_is_a_persons_once(alice: Browser, bob: Browser) -> None:
    first = await add(alice)
    await add(bob)
    answer = await alice.post("/slash-prompts", data={"name": "Greet", "text": "Again"})
    assert answer.status_code == 422
    assert "You have a slash-prompt of this name already." in answer.text
    await add(alice, name="other")
    answer = await alice.put(f"/slash-prompts/{first}", data={"name": "other", "text": "Again"})
    assert answer.status_code == 422
    assert "You have a slash-prompt of this name already." in answer.text


async def test_nobody_else_sees_one_and_none_is_the_same(alice: Browser, bob: Browser, olive: Browser) -> None:
    prompt = await add(alice, text="Secret {{name}}")
    strip = re.compile(r'nonce="[^"]*"|[0-9a-f]{16}|[0-9a-f-]{36}|[\w-]{32}')
    for browser in (bob, olive):
        for method, path, form in (
            ("GET", "", None), ("PUT", "", {"name": "mine", "text": "x"}), ("GET", "/deletion", None),
            ("DELETE", "", None), ("GET", "/text", None), ("POST", "/text", {"value-name": "x", "thread": ""}),
        ):  # fmt: skip
            for headers in ({}, PARTIAL):
                addresses = (f"/slash-prompts/{one}{path}" for one in (prompt, uuid.uuid4()))
                foreign, missing = [await browser.request(method, one, data=form, headers=headers) for one in addresses]
                assert (foreign.status_code, missing.status_code) == (404, 404), (method, path)
                assert strip.sub("", foreign.text) == strip.sub("", missing.text)
        assert "greet" not in (await browser.get("/slash-prompts")).text
        assert "greet" not in (await browser.get("/slash-prompts", headers=PARTIAL)).text


async def test_what_the_owner_shares_is_used_by_everybody_and_changed_by_nobody_else(
    alice: Browser, olive: Browser
) -> None:
    prompt = await add(olive, text="Our {{house}} style", is_shared="true")
    assert "/greet" in (await alice.get("/slash-prompts")).text
    assert "/greet" in (await alice.get("/slash-prompts", headers=PARTIAL)).text
    assert "Our {{house}} style" in (await alice.get(f"/slash-prompts/{prompt}")).text
    answer = await alice.post(f"/slash-prompts/{prompt}/text", data={"value-house": "old"}, headers=PARTIAL)
    assert "Our old style" in answer.text
    for method, path in (("PUT", ""), ("DELETE", ""), ("GET", "/deletion")):
        answer = await alice.request(method, f"/slash-prompts/{prompt}{path}", data={"name": "mine", "text": "x"})
        assert answer.status_code == 404
    await fetch("UPDATE users SET is_owner = false WHERE id = $1", olive.user.id)
    assert (await alice.get(f"/slash-prompts/{prompt}/text")).status_code == 404
    assert "/greet" not in (await alice.get("/slash-prompts", headers=PARTIAL)).text


async def test_a_member_shares_nothing(alice: Browser, bob: Browser) -> None:
    assert "is_shared" not in (await alice.get("/slash-prompts/new")).text
    answer = await alice.post("/slash-prompts", data={"name": "x", "text": "x", "is_shared": "true"})
    assert answer.status_code == 403
    prompt = await add(alice)
    form = {"name": "x", "text": "x", "is_shared": "true"}
    assert (await alice.put(f"/slash-prompts/{prompt}", data=form)).status_code == 403
    await fetch("UPDATE slash_prompt SET is_shared = true")  # as if somebody had got around that
    assert (await bob.get(f"/slash-prompts/{prompt}/text")).status_code == 404
    assert "greet" not in (await bob.get("/slash-prompts")).text


async def test_without_a_script_the_text_becomes_the_draft(alice: Browser) -> None:
    prompt = await add(alice)
    hers = await converse(alice.user)
    page = (await alice.get(f"/slash-prompts/{prompt}/text?thread={hers.thread}")).text
    assert 'name="value-name"' in page
    assert f'name="thread" value="{hers.thread}"' in page
    answer = await alice.post(f"/slash-prompts/{prompt}/text", data={"value-name": "Bob", "thread": str(hers.thread)})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/threads/{hers.thread}")
    assert "Dear Bob,</textarea>" in (await alice.get(f"/threads/{hers.thread}")).text
    await fetch("UPDATE users SET draft = 'Half a thought' WHERE id = $1", alice.user.id)
    answer = await alice.post(f"/slash-prompts/{prompt}/text", data={"value-name": "Bob", "thread": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Dear Bob,\n\nHalf a thought</textarea>" in (await alice.get("/")).text


async def test_a_text_for_anothers_thread_is_not_found(alice: Browser, bob: Browser) -> None:
    theirs = (await converse(alice.user)).thread
    prompt = await add(bob)
    for thread in (str(theirs), str(uuid.uuid4()), "nonsense"):
        answer = await bob.post(f"/slash-prompts/{prompt}/text", data={"value-name": "x", "thread": thread})
        assert answer.status_code == 404
    for path in (f"/slash-prompts/{prompt}/text", "/slash-prompts"):
        assert (await bob.get(f"{path}?thread={theirs}")).status_code == 404
    assert await fetch("SELECT 1 FROM thread WHERE draft <> ''") == []


async def test_a_wrong_value_is_said_beside_its_field_and_stored_nowhere(alice: Browser) -> None:
    prompt = await add(alice, text="{{name}} {{count:number}}")
    for headers in ({}, PARTIAL):
        answer = await alice.post(
            f"/slash-prompts/{prompt}/text", data={"value-name": "Ann", "value-count": "many"}, headers=headers
        )
        assert answer.status_code == 422
        assert "This is not a number." in answer.text
        assert 'value="Ann"' in answer.text
        assert 'value="many"' in answer.text
    row = await fetch_row("SELECT draft FROM users WHERE id = $1", alice.user.id)
    assert (row or {})["draft"] == ""


async def test_fields_that_belong_to_no_variable_are_refused(alice: Browser) -> None:
    prompt = await add(alice)
    for extra in ("value-other", "text", "name", "_method"):
        answer = await alice.post(f"/slash-prompts/{prompt}/text", data={"value-name": "x", extra: "y"})
        assert answer.status_code == 400


async def test_a_text_that_could_not_be_sent_is_refused(alice: Browser) -> None:
    prompt = await add(alice, text="{{a:long}}{{b:long}}{{c:long}}")
    values = {f"value-{name}": "x" * 90_000 for name in "abc"}
    assert settings.max_message_chars < 270_000
    answer = await alice.post(f"/slash-prompts/{prompt}/text", data=values)
    assert answer.status_code == 422
    assert "more characters than can be sent" in answer.text


@pytest.mark.parametrize("payload", PAYLOADS[::7])
async def test_what_people_write_is_text(alice: Browser, payload: str) -> None:
    prompt = await add(alice, text=payload.replace("{{", "{") or "x", description=payload[:200])
    for path in ("/slash-prompts", f"/slash-prompts/{prompt}", f"/slash-prompts/{prompt}/text"):
        for headers in ({}, PARTIAL):
            page = (await alice.get(path, headers=headers)).text
            assert not re.search(r"<(script|img|svg|iframe|math)\b(?![^>]*(nonce=|class=\"icon\"))", page), (
                path,
                payload,
            )
