"""Models by hand: a server without a list connects, and a model can be added to any provider by its name."""

import json
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.chat.health import gather
from app.database import fetch
from tests.controllers.test_models import listed
from tests.controllers.test_providers import HTMX, beside, connected, form_of
from tests.controllers.test_settings_file import bare, bring, empty, export
from tests.controllers.threads import add_model
from tests.people import Browser
from tests.scripted import ANTHROPIC, GEMINI, OLLAMA, OPENAI, Dialect, ScriptedServer
from tests.scripted.steps import whole

NO_LIST = "This server does not list models; add one by name."
NOTHING = whole(b"404 page not found", 404, "text/plain")


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


async def models_of(provider: uuid.UUID) -> dict[str, asyncpg.Record]:
    """Those in the list, by name."""
    rows = await fetch("SELECT * FROM model WHERE provider = $1 AND gone_at IS NULL ORDER BY name", provider)
    return {row["name"]: row for row in rows}


async def add(browser: Browser, provider: uuid.UUID, name: str) -> uuid.UUID:
    answer = await browser.post(f"/providers/{provider}/models", data={"model": name})
    assert answer.status_code == 303, answer.text
    found: uuid.UUID = (await models_of(provider))[name.strip()]["id"]
    return found


async def refresh(browser: Browser, provider: uuid.UUID) -> asyncpg.Record:
    """The provider as it is after it was asked again."""
    assert (await browser.post(f"/providers/{provider}/refresh")).status_code == 303
    (row,) = await fetch("SELECT state, error, lists_models, version FROM provider WHERE id = $1", provider)
    return row


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI, OLLAMA], ids=lambda dialect: dialect.kind)
async def test_a_server_without_a_list_connects(
    olive: Browser, server: ScriptedServer, dialect: Dialect, status: int
) -> None:
    server.answers[dialect.listing_path] = whole(b"no", status, "text/plain")
    if dialect is GEMINI:
        missing = json.dumps({"error": {"code": 404, "message": "models/parley is not found", "status": "NOT_FOUND"}})
        server.answers["/v1beta/models/parley:generateContent"] = whole(missing.encode(), 404)
    form = form_of(server.url_for(dialect), kind=dialect.kind)
    tested = await olive.post("/providers/test", data=form, headers=HTMX)
    assert "Server found, but it does not list models. Connect, then add one by name." in tested.text
    provider = await connected(olive, server.url_for(dialect), kind=dialect.kind)
    row = await refresh(olive, provider)
    assert (row["state"], row["error"], row["lists_models"]) == ("ok", "", False)
    page = (await olive.get("/providers")).text
    assert NO_LIST in page
    assert f'<details class="edit" data-of="{provider}" open>' in page, "the only way to a model lies open"


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI, OLLAMA], ids=lambda dialect: dialect.kind)
async def test_a_key_that_may_ask_and_not_list_connects(
    olive: Browser, server: ScriptedServer, dialect: Dialect
) -> None:
    missing = whole(dialect.error_body("Missing scopes: api.model.read"), 403)
    server.answers[dialect.listing_path] = missing
    questions = "/v1beta/models/parley:generateContent" if dialect is GEMINI else dialect.chat_path
    server.answers[questions] = missing
    form = form_of(server.url_for(dialect), kind=dialect.kind, key="sk-lantern")
    assert "Missing scopes" in beside(await olive.post("/providers", data=form), "key")
    server.answers[questions] = whole(dialect.error_body("model is required"), 400)
    provider = await connected(olive, server.url_for(dialect), kind=dialect.kind, key="sk-lantern")
    row = await refresh(olive, provider)
    assert (row["state"], row["error"], row["lists_models"]) == ("ok", "", False)


async def test_a_model_without_a_list_is_asked_and_kept_through_every_refresh(
    olive: Browser, server: ScriptedServer
) -> None:
    server.answers["/v1/models"] = NOTHING
    provider = await connected(olive, server.url_for(OPENAI))
    model = await add(olive, provider, " harbour-70b ")
    for _again in range(2):
        assert (await refresh(olive, provider))["state"] == "ok"
    assert [(row["id"], row["is_by_hand"]) for row in (await models_of(provider)).values()] == [(model, True)]
    assert await listed(olive) == ["harbour-70b"]
    page = (await olive.get("/providers")).text
    assert (NO_LIST in page, f'data-of="{provider}" open' in page) == (False, False)
    assert "added by name" in (await olive.get(f"/models/{model}")).text
    # Only the first look had to find out whether questions are taken there.
    assert len([asked for asked in server.requests if asked.path == "/v1/chat/completions"]) == 1


@pytest.mark.parametrize("answer", [b"null", b'{"data": null}', b'{"models": []}', b"[]"], ids=bytes.decode)
async def test_an_empty_list_connects_too(olive: Browser, server: ScriptedServer, answer: bytes) -> None:
    server.answers["/v1/models"] = whole(answer)
    provider = await connected(olive, server.url_for(OPENAI))
    assert NO_LIST not in (await olive.get("/providers")).text
    await add(olive, provider, "harbour-70b")
    assert (await refresh(olive, provider))["lists_models"] is True
    assert list(await models_of(provider)) == ["harbour-70b"]


async def test_a_model_that_is_listed_later_is_the_same_and_stays(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    model = await add(olive, provider, "harbour-70b")
    entry = {"id": "harbour-70b", "object": "model", "max_model_len": 4096}
    server.answers["/v1/models"] = whole(json.dumps({"object": "list", "data": [entry]}).encode())
    await refresh(olive, provider)
    (row,) = (await models_of(provider)).values()
    assert (row["id"], row["context_window"], row["seen_since"] is None) == (model, 4096, False)
    assert "added by name" not in (await olive.get(f"/models/{model}")).text
    del server.answers["/v1/models"]
    await refresh(olive, provider)
    rows = await models_of(provider)
    assert list(rows) == ["harbour-70b", "lantern-7b"]
    assert rows["harbour-70b"]["seen_since"] is None


async def test_one_that_is_gone_comes_back_by_its_name(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    known = (await models_of(provider))["lantern-7b"]["id"]
    server.models = []
    await refresh(olive, provider)
    assert await models_of(provider) == {}
    assert await add(olive, provider, "lantern-7b") == known
    assert (await models_of(provider))["lantern-7b"]["seen_since"] is None


async def test_one_that_is_listed_may_be_added_and_then_outlives_the_list(
    olive: Browser, server: ScriptedServer
) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    await add(olive, provider, "lantern-7b")
    await add(olive, provider, "lantern-7b")
    assert (await models_of(provider))["lantern-7b"]["seen_since"] is not None
    server.models = []
    await refresh(olive, provider)
    assert list(await models_of(provider)) == ["lantern-7b"]


@pytest.mark.parametrize(
    ("dialect", "typed", "listed_as"),
    [
        (OLLAMA, "harbour", "harbour:latest"),
        (OLLAMA, "harbour:70b", "harbour:70b"),
        (OLLAMA, "hf.co/org:1/harbour", "hf.co/org:1/harbour:latest"),
        (GEMINI, "models/harbour-pro", "harbour-pro"),
        (OPENAI, "models/harbour", "models/harbour"),
        (ANTHROPIC, "harbour:1", "harbour:1"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)  # fmt: skip
async def test_a_name_is_written_as_the_lists_of_its_kind_write_it(
    olive: Browser, server: ScriptedServer, dialect: Dialect, typed: str, listed_as: str
) -> None:
    provider = await connected(olive, server.url_for(dialect), kind=dialect.kind)
    assert (await olive.post(f"/providers/{provider}/models", data={"model": typed})).status_code == 303
    server.models = ["lantern-7b", listed_as]
    await refresh(olive, provider)
    rows = await models_of(provider)
    assert sorted(rows) == sorted(["lantern-7b", listed_as])
    assert rows[listed_as]["is_by_hand"]


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "dialog"])
async def test_it_can_be_deleted_without_asking_its_server(
    olive: Browser, server: ScriptedServer, headers: dict[str, str]
) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    model = await add(olive, provider, "harbour-70b")
    assert f"/models/{model}/deletion" in (await olive.get(f"/models/{model}")).text
    question = await olive.get(f"/models/{model}/deletion", headers=headers)
    assert (question.status_code, "The server itself isn’t changed; your threads are kept." in question.text) == (
        200,
        True,
    )
    asked = len(server.requests)
    assert (await olive.delete(f"/models/{model}")).status_code == 303
    assert (await olive.get(f"/models/{model}")).status_code == 404
    assert len(server.requests) == asked
    await refresh(olive, provider)
    assert list(await models_of(provider)) == ["lantern-7b"]
    assert await fetch("SELECT 1 FROM model_task") == []


async def test_a_listed_one_of_a_server_that_keeps_its_models_to_itself_is_not_deleted(
    olive: Browser, server: ScriptedServer
) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    model = await add(olive, provider, "lantern-7b")
    assert (await olive.delete(f"/models/{model}")).status_code == 409
    assert list(await models_of(provider)) == ["lantern-7b"]


async def test_on_an_ollama_a_listed_one_is_deleted_there_and_does_not_stay_here(
    olive: Browser, server: ScriptedServer
) -> None:
    provider = await connected(olive, server.url, kind="ollama")
    model = await add(olive, provider, "lantern-7b")
    assert (await olive.delete(f"/models/{model}")).status_code == 303
    assert [row["kind"] for row in await fetch("SELECT kind FROM model_task")] == ["delete"]
    server.models = []  # what the task does
    await refresh(olive, provider)
    assert await models_of(provider) == {}


async def test_on_an_ollama_an_unlisted_one_only_leaves_the_list(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url, kind="ollama")
    model = await add(olive, provider, "harbour:70b")
    page = (await olive.get(f"/models/{model}")).text
    assert f"/models/{model}/details" not in page
    assert (await olive.delete(f"/models/{model}")).status_code == 303
    assert list(await models_of(provider)) == ["lantern-7b"]
    assert await fetch("SELECT 1 FROM model_task") == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", ""),
        ("   ", ""),
        ("x" * 301, ""),
        ("two\nlines", "single line of visible characters"),
        ("a\u202eb", "single line"),
    ],
    ids=["empty", "space", "long", "two lines", "turned"],
)
async def test_what_cannot_be_a_name_is_refused_beside_the_field(
    olive: Browser, server: ScriptedServer, name: str, sentence: str
) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    answer = await olive.post(f"/providers/{provider}/models", data={"model": name})
    said = beside(answer, f"model-{provider}")
    assert (answer.status_code, bool(said), sentence in said) == (422, True, True)
    assert f'<details class="edit" data-of="{provider}" open>' in answer.text
    assert list(await models_of(provider)) == ["lantern-7b"]


async def test_the_form_is_closed_and_the_owners(olive: Browser, alice: Browser) -> None:
    provider, _model = await add_model()
    address = f"/providers/{provider}/models"
    assert (await olive.post(address, data={"model": "a", "is_by_hand": "true"})).status_code == 400
    assert (await olive.post(address, data={})).status_code == 422
    assert (await alice.post(address, data={"model": "a"})).status_code == 403
    assert (await olive.post(f"/providers/{uuid.uuid4()}/models", data={"model": "a"})).status_code == 404
    assert list(await models_of(provider)) == ["quiet-model"]


async def test_what_comes_with_parley_lists_its_models_by_itself(olive: Browser) -> None:
    (row,) = await fetch("SELECT id FROM provider WHERE kind = 'llamacpp'")
    answer = await olive.post(f"/providers/{row['id']}/models", data={"model": "a"})
    assert (answer.status_code, "by itself" in answer.text) == (409, True)


async def test_a_server_that_stops_listing_keeps_its_models(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    server.answers["/v1/models"] = NOTHING
    row = await refresh(olive, provider)
    assert (row["state"], row["lists_models"], list(await models_of(provider))) == ("ok", False, ["lantern-7b"])
    del server.answers["/v1/models"]
    server.models = ["beacon-3b"]
    assert (await refresh(olive, provider))["lists_models"] is True
    assert list(await models_of(provider)) == ["beacon-3b"]


async def test_where_nothing_takes_questions_either_the_list_is_missing(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    server.answers |= {"/v1/models": NOTHING, "/v1/chat/completions": NOTHING}
    row = await refresh(olive, provider)
    assert (row["state"], "has nothing at this address" in row["error"], row["lists_models"]) == ("stale", True, True)


async def test_an_ollama_shows_its_version(olive: Browser, server: ScriptedServer) -> None:
    server.answers["/api/version"] = whole(b'{"version": "0.12.6"}')
    provider = await connected(olive, server.url, kind="ollama")
    assert "Ollama 0.12.6 · " in (await olive.get("/providers")).text
    health = (await olive.get("/api/health")).json()
    (facts,) = [each for each in health["facts"]["stored"]["providers"] if each["kind"] == "ollama"]
    assert (facts["version"], facts["lists_models"]) == ("0.12.6", True)
    assert "version 0.12.6" in (await olive.get("/status")).text
    server.answers["/api/version"] = whole(b'{"version": "0.13.0"}')
    assert (await refresh(olive, provider))["version"] == "0.13.0"
    server.answers["/api/version"] = NOTHING
    row = await refresh(olive, provider)
    assert (row["state"], row["version"]) == ("ok", "")


async def test_other_servers_have_no_version(olive: Browser, server: ScriptedServer) -> None:
    await connected(olive, server.url_for(OPENAI))
    stored = (await gather()).stored
    assert stored is not None
    assert {each.version for each in stored.providers} == {""}


async def test_the_file_of_settings_carries_them(olive: Browser) -> None:
    provider, _model = await add_model()
    for name in ("harbour-70b", "beacon-3b"):
        await add(olive, provider, name)
    file = json.loads((await export(olive)).content)
    assert [each["models"] for each in file["providers"]] == [["beacon-3b", "harbour-70b"]]
    await empty()
    assert "Provider Nobody" in (await bring(olive, json.dumps(file))).text
    (row,) = await fetch("SELECT id FROM provider WHERE name = 'Nobody'")
    added = await models_of(row["id"])
    assert (list(added), {each["is_by_hand"] for each in added.values()}) == (["beacon-3b", "harbour-70b"], {True})
    assert "Everything in it was here already." in (await bring(olive, json.dumps(file))).text
    file["providers"][0]["models"].append("lantern-7b")
    assert "Provider Nobody" in (await bring(olive, json.dumps(file))).text
    assert list(await models_of(row["id"])) == ["beacon-3b", "harbour-70b", "lantern-7b"]


async def test_a_preset_of_the_file_begins_with_an_added_model(olive: Browser) -> None:
    provider = bare_provider(models=["harbour-70b"])
    preset = {"name": "Poet", "model": {"provider": "Harbour", "name": "harbour-70b"}}
    page = (await bring(olive, json.dumps(bare(providers=[provider], presets=[preset])))).text
    assert ("Preset Poet" in page, "it is not here" in page) == (True, False)
    (row,) = await fetch("SELECT m.name FROM preset AS s JOIN model AS m ON m.id = s.model")
    assert row["name"] == "harbour-70b"


@pytest.mark.parametrize("models", ["a", [""], ["x" * 301], ["a\nb"], ["a\u202eb"], [7], [None], {"a": {}}], ids=str)
async def test_names_that_no_model_has_are_not_taken_from_a_file(olive: Browser, models: object) -> None:
    answer = await bring(olive, json.dumps(bare(providers=[bare_provider(models=models)])))
    assert answer.status_code == 422
    assert await fetch("SELECT 1 FROM provider WHERE kind = 'openai'") == []


def bare_provider(**more: object) -> dict[str, object]:
    return {"kind": "openai", "name": "Harbour", "base_url": "https://harbour.example.org/v1"} | more
