"""Presets: one's own, those that the owner shares, and what a thread begins with."""

import json
import re
import uuid

import pytest

from app.database import fetch, fetch_row
from tests.controllers.threads import add_model
from tests.people import Browser


async def add(browser: Browser, **form: str) -> uuid.UUID:
    """A preset of who uses the browser."""
    answer = await browser.post("/presets", data={"name": "Translator", **form})
    assert (answer.status_code, answer.headers["location"]) == (303, "/presets"), answer.text
    row = await fetch_row('SELECT id FROM preset WHERE "user" = $1 ORDER BY created_at DESC', browser.user.id)
    assert row is not None
    return row["id"]


async def test_a_preset_is_stored_changed_and_deleted(alice: Browser) -> None:
    _provider, model = await add_model()
    form = {"model": str(model), "system_prompt": "Be brief.", "temperature": "0,5", "stop": "END\r\nSTOP"}
    preset = await add(alice, **form)
    row = await fetch_row("SELECT * FROM preset WHERE id = $1", preset)
    assert row is not None
    assert (row["name"], row["model"], row["model_name"]) == ("Translator", model, "quiet-model")
    assert (row["system_prompt"], row["is_shared"]) == ("Be brief.", False)
    assert json.loads(row["options"]) == {"temperature": 0.5, "stop": ["END", "STOP"]}
    page = (await alice.get(f"/presets/{preset}")).text
    assert 'value="Translator"' in page
    assert 'value="0.5"' in page
    answer = await alice.post(f"/presets/{preset}?_method=PUT", data={"name": "Poet", "top_k": "7"})
    assert answer.status_code == 303
    row = await fetch_row("SELECT * FROM preset WHERE id = $1", preset)
    assert row is not None
    assert (row["name"], row["model"], row["system_prompt"], json.loads(row["options"])) == (
        "Poet",
        None,
        "",
        {"top_k": 7},
    )
    assert "Delete this preset?" in (await alice.get(f"/presets/{preset}/deletion")).text
    assert (await alice.post(f"/presets/{preset}?_method=DELETE")).headers["location"] == "/presets"
    assert await fetch("SELECT 1 FROM preset") == []


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": ""}, "Please fill this in."),
        ({"name": "x" * 101}, "At most 100 characters"),
        ({"name": "x", "temperature": "9"}, "A number from 0 to 2."),
        ({"name": "x", "model": "nonsense"}, "Choose one of what is offered."),
        ({"name": "x", "model": str(uuid.uuid4())}, "This model is not available any more. Choose another one."),
        ({"name": "x", "reasoning_effort": "utmost"}, "One of: low, medium, high."),
        ({"name": "x", "is_shared": "perhaps"}, "Choose one of what is offered."),
    ],
)
async def test_what_cannot_be_is_said_beside_its_field_and_not_stored(
    olive: Browser, form: dict[str, str], sentence: str
) -> None:
    answer = await olive.post("/presets", data={"system_prompt": "Kept as typed.", **form})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "Kept as typed." in answer.text
    assert await fetch("SELECT 1 FROM preset") == []


async def test_a_field_that_nobody_asked_for_is_refused(alice: Browser) -> None:
    answer = await alice.post("/presets", data={"name": "x", "user": str(uuid.uuid4())})
    assert answer.status_code == 400


async def test_nobody_else_sees_a_preset_and_none_is_the_same(alice: Browser, bob: Browser, olive: Browser) -> None:
    preset = await add(alice, system_prompt="Secret words")
    strip = re.compile(r'nonce="[^"]*"|[0-9a-f]{16}|[0-9a-f-]{36}|[\w-]{32}')
    for browser in (bob, olive):
        for method, path, form in (
            ("GET", "/presets/{}", None), ("PUT", "/presets/{}", {"name": "Mine"}), ("GET", "/presets/{}/deletion", None),
            ("DELETE", "/presets/{}", None), ("GET", "/?preset={}", None),
        ):  # fmt: skip
            foreign = await browser.request(method, path.format(preset), data=form)
            missing = await browser.request(method, path.format(uuid.uuid4()), data=form)
            assert (foreign.status_code, missing.status_code) == (404, 404), (method, path)
            assert strip.sub("", foreign.text) == strip.sub("", missing.text)
        assert "Secret words" not in (await browser.get("/presets")).text
        assert str(preset) not in (await browser.get("/")).text
    assert len(await fetch("SELECT 1 FROM preset WHERE name = 'Translator'")) == 1


async def test_what_the_owner_shares_is_used_by_everybody_and_changed_by_nobody_else(
    alice: Browser, olive: Browser
) -> None:
    preset = await add(olive, name="House style", system_prompt="Be kind.", temperature="0.2", is_shared="true")
    assert "House style" in (await alice.get("/presets")).text
    page = (await alice.get(f"/?preset={preset}")).text
    assert "Be kind.</textarea>" in page
    assert 'value="0.2"' in page
    assert "Be kind." in (await alice.get(f"/presets/{preset}")).text
    for method, path in (("PUT", ""), ("DELETE", ""), ("GET", "/deletion")):
        answer = await alice.request(method, f"/presets/{preset}{path}", data={"name": "Mine"})
        assert answer.status_code == 404
    await olive.put(f"/presets/{preset}", data={"name": "House style"})
    assert (await alice.get(f"/?preset={preset}")).status_code == 404


async def test_a_member_shares_nothing(alice: Browser, bob: Browser) -> None:
    assert "is_shared" not in (await alice.get("/presets/new")).text
    for value in ("true", "false", "1", "on"):
        answer = await alice.post("/presets", data={"name": "x", "is_shared": value})
        assert answer.status_code == 403
    assert await fetch("SELECT 1 FROM preset") == []
    preset = await add(alice)
    assert (await alice.put(f"/presets/{preset}", data={"name": "x", "is_shared": "true"})).status_code == 403
    await fetch("UPDATE preset SET is_shared = true")  # as if somebody had got around that
    assert (await bob.get(f"/?preset={preset}")).status_code == 404
    assert "Translator" not in (await bob.get("/presets")).text


async def test_what_a_former_owner_shared_is_shared_no_more(alice: Browser, olive: Browser) -> None:
    preset = await add(olive, is_shared="true")
    await fetch("UPDATE users SET is_owner = false WHERE id = $1", olive.user.id)
    assert (await alice.get(f"/?preset={preset}")).status_code == 404


async def test_a_thread_copies_what_its_preset_holds(alice: Browser) -> None:
    await add_model("first-model")
    _provider, model = await add_model("second-model")
    preset = await add(alice, model=str(model), system_prompt="Be brief.", temperature="0.5")
    page = (await alice.get(f"/?preset={preset}")).text
    assert re.search(rf'<option value="{model}"[^>]* selected', page)
    form = {"text": "Hello", "model": str(model), "request_id": str(uuid.uuid4()), "system_prompt": "Be brief."}
    answer = await alice.post("/threads", data=form | {"temperature": "0.5"})
    await alice.put(f"/presets/{preset}", data={"name": "Changed", "system_prompt": "Be long."})
    thread = await fetch_row("SELECT * FROM thread WHERE id = $1", uuid.UUID(answer.headers["location"][-36:]))
    assert thread is not None
    assert (thread["system_prompt"], json.loads(thread["options"])) == ("Be brief.", {"temperature": 0.5})


async def test_a_preset_whose_model_is_gone_says_so_and_falls_back(alice: Browser) -> None:
    provider, model = await add_model("old-model")
    _other, second = await add_model("new-model")
    preset = await add(alice, model=str(model), temperature="0.5")
    for statement in ("UPDATE model SET gone_at = now() WHERE provider = $1", "DELETE FROM provider WHERE id = $1"):
        await fetch(statement, provider)
        page = (await alice.get(f"/?preset={preset}")).text
        assert "The model of this preset, old-model, is not available any more. Another one is chosen." in page
        assert re.search(rf'<option value="{second}"[^>]* selected', page)
        assert (
            "old-model, which was chosen here, is not available any more."
            in (await alice.get(f"/presets/{preset}")).text
        )


async def test_without_any_other_model_none_is_said_to_be_chosen(alice: Browser) -> None:
    provider, model = await add_model("old-model")
    preset = await add(alice, model=str(model))
    await fetch("UPDATE model SET gone_at = now() WHERE provider = $1", provider)
    page = (await alice.get(f"/?preset={preset}")).text
    assert "The model of this preset, old-model, is not available any more." in page
    assert "Another one is chosen" not in page


async def test_a_thread_is_saved_as_a_preset(alice: Browser, bob: Browser) -> None:
    _provider, model = await add_model()
    form = {"text": "Hello", "model": str(model), "request_id": str(uuid.uuid4()), "system_prompt": "Be brief."}
    thread = (await alice.post("/threads", data=form | {"top_k": "7"})).headers["location"][-36:]
    assert f"/presets/new?thread={thread}" in (await alice.get(f"/threads/{thread}")).text
    page = (await alice.get(f"/presets/new?thread={thread}")).text
    assert "Be brief.</textarea>" in page
    assert 'name="top_k" form="preset" inputmode="numeric" value="7"' in page
    assert (await bob.get(f"/presets/new?thread={thread}")).status_code == 404


async def test_nothing_is_offered_where_there_is_no_preset(alice: Browser) -> None:
    assert "Begin with a preset" not in (await alice.get("/")).text
    await add(alice)
    assert "Begin with a preset" in (await alice.get("/")).text
