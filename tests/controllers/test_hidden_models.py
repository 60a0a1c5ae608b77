"""Hidden models: in no list to choose from, for nobody, until the owner shows them again; bundled ones cannot be deleted."""

import uuid

import pytest

from app.chat import catalog
from app.database import fetch, fetch_row, new_id
from tests.controllers.test_facts import text_of
from tests.controllers.test_models import listed
from tests.controllers.threads import add_model
from tests.people import Browser


@pytest.fixture
async def model(olive: Browser) -> uuid.UUID:
    """A model that came with Parley."""
    (row,) = await fetch("SELECT id FROM provider WHERE kind = 'llamacpp'")
    model = new_id()
    await fetch(
        "INSERT INTO model (id, provider, name, seen_at, is_loaded, is_bundled) VALUES ($1, $2, 'small', now(), false, true)",
        model, row["id"],
    )  # fmt: skip
    return model


async def test_a_hidden_model_is_offered_to_nobody_and_comes_back(
    olive: Browser, alice: Browser, model: uuid.UUID
) -> None:
    _provider, other = await add_model("lantern")
    assert (await olive.put(f"/models/{model}/hidden")).status_code == 303
    for browser in (olive, alice):
        for path in ("/", f"/?model={model}", "/presets", "/profile"):
            assert str(model) not in (await browser.get(path)).text, path
        assert await listed(browser) == ["lantern"]
    assert str(model) not in (await olive.get(f"/models/{other}")).text  # the fallbacks to choose from
    assert str(model) not in (await olive.get("/settings/models")).text
    page = (await olive.get("/models")).text
    assert "1 model is hidden." in page
    assert "is hidden" not in (await alice.get("/models")).text
    assert await listed(olive, "?status=hidden") == ["small"]
    assert "Show in lists" in (await olive.get(f"/models/{model}")).text
    assert (await olive.delete(f"/models/{model}/hidden")).status_code == 303
    assert sorted(await listed(alice)) == ["lantern", "small"]
    assert str(model) in (await alice.get("/")).text


async def test_pages_say_that_models_are_hidden_and_not_that_there_is_none(
    olive: Browser, alice: Browser, model: uuid.UUID
) -> None:
    answer = await olive.put(f"/models/{model}/hidden")
    page = (await olive.get(answer.headers["location"])).text
    assert "small is hidden." in page
    assert "This model is hidden: nobody can choose it" in page
    assert f'href="/?model={model}"' not in page  # Start a thread
    models = text_of((await olive.get("/models")).text)
    assert "Every model is hidden. Show hidden" in models
    assert "no model yet" not in models
    assert "1 model is hidden" not in models
    assert 'Every model is hidden. <a href="/models?status=hidden">' in (await olive.get("/")).text
    assert "hidden" not in text_of((await alice.get("/")).text)
    answer = await olive.delete(f"/models/{model}/hidden")
    page = (await olive.get(answer.headers["location"])).text
    assert "small is not hidden any more." in page
    assert "Hide takes this model off every list" in page


async def test_the_page_of_servers_counts_hidden_models(olive: Browser) -> None:
    provider, model = await add_model("lantern")
    await olive.put(f"/models/{model}/hidden")
    page = (await olive.get("/providers")).text
    assert f'<a href="/models?status=hidden#provider-{provider}">1 model</a> (hidden)' in page
    await fetch("INSERT INTO model (id, provider, name, seen_at) VALUES ($1, $2, 'second', now())", new_id(), provider)
    page = (await olive.get("/providers")).text
    assert f'<a href="/models#provider-{provider}">2 models</a> (1 hidden)' in page


async def test_a_hidden_fallback_keeps_its_place(olive: Browser, model: uuid.UUID) -> None:
    _provider, first = await add_model("lantern")
    await fetch("UPDATE model SET fallbacks = jsonb_build_array($2::text) WHERE id = $1", first, str(model))
    await olive.put(f"/models/{model}/hidden")
    assert f'<option value="{model}" selected>small · hidden</option>' in (await olive.get(f"/models/{first}")).text


async def test_no_question_reaches_a_hidden_model(olive: Browser, alice: Browser, model: uuid.UUID) -> None:
    form = {"text": "Hello", "model": str(model), "request_id": str(new_id())}
    await olive.put(f"/models/{model}/hidden")
    assert (await alice.post("/threads", data=form)).status_code == 422
    assert await fetch("SELECT 1 FROM message") == []
    await olive.delete(f"/models/{model}/hidden")
    assert (await alice.post("/threads", data=form)).status_code == 303


async def test_it_stays_hidden_when_its_server_lists_it_again(olive: Browser) -> None:
    provider, model = await add_model("lantern")
    await olive.put(f"/models/{model}/hidden")
    assert await catalog.keep(provider, "http://127.0.0.1:9/v1", catalog.Listing([catalog.Model("lantern")])) == ""
    assert await listed(olive) == []


async def test_members_hide_nothing(alice: Browser, model: uuid.UUID) -> None:
    assert (await alice.put(f"/models/{model}/hidden")).status_code == 403
    assert (await alice.delete(f"/models/{model}/hidden")).status_code == 403
    assert "Hide" not in (await alice.get(f"/models/{model}")).text


async def test_a_bundled_model_has_no_way_to_be_deleted(olive: Browser, model: uuid.UUID) -> None:
    page = (await olive.get(f"/models/{model}")).text
    assert f"/models/{model}/deletion" not in page
    assert f"/models/{model}/hidden" in page
    assert (await olive.get(f"/models/{model}/deletion")).status_code == 409
    answer = await olive.delete(f"/models/{model}")
    assert answer.status_code == 409
    assert "Hide it instead" in answer.text
    assert await fetch("SELECT 1 FROM model_task") == []
    assert await fetch_row("SELECT 1 FROM model WHERE id = $1 AND gone_at IS NULL", model)
