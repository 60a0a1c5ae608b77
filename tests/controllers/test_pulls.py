"""Pulls as a form: what is wrong stands beside its field and nothing begins; what is right begins once."""

import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator

import pytest

from app.database import fetch, new_id
from app.settings import settings
from tests.people import Browser
from tests.scripted import OLLAMA, ScriptedServer
from tests.tiny_gguf import write_tiny_gguf

HTMX = {"hx-request": "true"}


@pytest.fixture
async def here(olive: Browser) -> uuid.UUID:
    """The provider of our own engine; its models folder is empty."""
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    for path in settings.models_folder.glob("*"):
        path.unlink()
    (row,) = await fetch("SELECT id FROM provider WHERE kind = 'llamacpp'")
    return uuid.UUID(str(row["id"]))


@pytest.fixture
async def ollama(olive: Browser) -> AsyncIterator[uuid.UUID]:
    provider = new_id()
    async with ScriptedServer() as server:
        await fetch(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at)"
            " VALUES ($1, 'ollama', 'Harbour', $2, '', '', now())",
            provider, server.url_for(OLLAMA),
        )  # fmt: skip
        yield provider


async def begun() -> list[tuple[str, str]]:
    return [(row["kind"], row["model_name"]) for row in await fetch("SELECT kind, model_name FROM model_task")]


async def test_a_pull_is_begun_once(olive: Browser, ollama: uuid.UUID) -> None:
    form = {"provider": str(ollama), "source": "llama3.2"}
    first, second = await olive.post("/pulls", data=form), await olive.post("/pulls", data=form)
    assert (first.status_code, first.headers["location"]) == (303, "/models")
    assert second.status_code == 422
    assert "done with this model already" in second.text
    assert await begun() == [("pull", "llama3.2:latest")]
    page = (await olive.get("/models")).text
    assert "Pulling llama3.2:latest" in page
    assert "<progress" in page
    framed = re.search(r'<noscript><iframe class="live talks" src="(/models/tasks\?task=[0-9a-f-]{36})"', page)
    assert framed
    frame = (await olive.get(framed[1])).text
    assert "Waiting for its turn" in frame
    await fetch("UPDATE model_task SET state = 'running', log = 'pulling manifest'")
    assert "pulling manifest" in (await olive.get(framed[1])).text
    assert 'http-equiv="refresh"' in frame  # it looks again by itself
    over = (await olive.get(f"/models/tasks?task={uuid.uuid4()}")).text
    assert "It is over: show the list" in over
    assert 'http-equiv="refresh"' not in over


async def test_a_script_gets_an_empty_form_and_the_list(olive: Browser, ollama: uuid.UUID) -> None:
    form = {"provider": str(ollama), "source": "llama3.2"}
    answer = await olive.post("/pulls", data=form, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert 'value="llama3.2"' not in answer.text
    assert "Pulling llama3.2:latest" in answer.text


@pytest.mark.parametrize(
    "source",
    [
        "", "../../etc/passwd", "..", "/etc/passwd", "llama\\3", "a b", "x" * 3000, "ftp://example.org/x.gguf", "x.gguf",
        "file:///etc/passwd", "hf:only/two", "hf:a/b/../../c.gguf", "hf:a/b/c.txt", "http://127.0.0.1:9/model.gguf",
        "http://169.254.169.254/model.gguf", "https://user:pass@example.org/x.gguf", "https://[::1/x.gguf", "javascript:1",
    ],
)  # fmt: skip
async def test_what_cannot_be_pulled_is_said_beside_the_field(olive: Browser, here: uuid.UUID, source: str) -> None:
    for headers in ({}, HTMX):
        answer = await olive.post("/pulls", data={"provider": str(here), "source": source}, headers=headers)
        assert answer.status_code == 422
        assert 'id="error-source"' in answer.text
    assert await begun() == []
    assert list(settings.models_folder.iterdir()) == []


async def test_other_fields_are_looked_at_too(olive: Browser, here: uuid.UUID) -> None:
    _provider = str(here)
    wrong = await olive.post("/pulls", data={"provider": str(uuid.uuid4()), "source": "llama3.2"})
    assert 'id="error-provider"' in wrong.text
    hashed = await olive.post(
        "/pulls", data={"provider": _provider, "source": "https://example.org/x.gguf", "sha256": "beef"}
    )
    assert 'id="error-sha256"' in hashed.text
    foreign = await olive.post("/pulls", data={"provider": _provider, "source": "x", "state": "done"})
    assert (wrong.status_code, hashed.status_code, foreign.status_code) == (422, 422, 400)
    assert await begun() == []


async def test_a_model_that_is_there_is_not_pulled_over(olive: Browser, here: uuid.UUID) -> None:
    write_tiny_gguf(settings.models_folder / "tiny.gguf")
    form = {"provider": str(here), "source": "http://127.0.0.1:9/tiny.gguf", "allows_private": "true"}
    with contextlib.ExitStack() as stack:
        stack.callback((settings.models_folder / "tiny.gguf").unlink)
        answer = await olive.post("/pulls", data=form)
    assert answer.status_code == 422
    assert await begun() == []


async def test_a_cancelled_pull_says_so_at_once(olive: Browser, ollama: uuid.UUID) -> None:
    await olive.post("/pulls", data={"provider": str(ollama), "source": "llama3.2"})
    (task,) = await fetch("SELECT id FROM model_task")
    answer = await olive.delete(f"/pulls/{task['id']}", headers=HTMX)
    assert answer.status_code == 200
    assert "Cancelling…" in answer.text
    assert (await olive.delete(f"/pulls/{uuid.uuid4()}")).status_code == 404


async def test_the_starter_is_offered_to_who_has_none(olive: Browser, here: uuid.UUID) -> None:
    page = (await olive.get("/providers")).text
    assert "qwen2.5-0.5b-instruct" in page
    assert f'name="provider" value="{here}"' in page


async def test_how_it_is_run_is_set_and_kept_within_limits(olive: Browser, here: uuid.UUID) -> None:
    model = new_id()
    await fetch(
        "INSERT INTO model (id, provider, name, seen_at, is_loaded) VALUES ($1, $2, 'tiny', now(), false)", model, here
    )
    path = f"/models/{model}/engine"
    assert (await olive.put(path, data={"context_tokens": "2048", "slots": "3", "threads": ""})).status_code == 303
    (row,) = await fetch("SELECT engine FROM model")
    assert json.loads(row["engine"]) == {"context_tokens": 2048, "slots": 3}
    for field, typed in (("slots", "-1"), ("threads", "99999"), ("gpu_layers", "many"), ("context_tokens", "1e9")):
        answer = await olive.put(path, data={field: typed}, headers=HTMX)
        assert answer.status_code == 422
        assert f'id="error-{field}"' in answer.text
    (row,) = await fetch("SELECT engine FROM model")
    assert json.loads(row["engine"]) == {"context_tokens": 2048, "slots": 3}


async def test_loading_is_drawn_as_it_is_asked_for(olive: Browser, alice: Browser, here: uuid.UUID) -> None:
    model = new_id()
    await fetch("INSERT INTO model (id, provider, name, seen_at) VALUES ($1, $2, 'tiny', now())", model, here)
    page = (await alice.get("/")).text
    assert "tiny is not loaded" in page
    offer = await alice.post(f"/models/{model}/load", data={"place": "thread"}, headers=HTMX)
    assert "Loading tiny…" in offer.text
    row = await olive.post(f"/models/{model}/load", data={"place": "list"}, headers=HTMX)
    assert "loading…" in row.text
    assert (await olive.delete(f"/models/{model}/load")).status_code == 409
    plain = await alice.post(f"/models/{model}/load", data={"place": "thread"})
    assert (plain.status_code, plain.headers["location"]) == (303, "/")
    assert await begun() == [("load", "tiny")]
    assert (await alice.delete(f"/models/{model}/load")).status_code == 403


async def test_a_deletion_is_asked_about_and_then_begun(olive: Browser, here: uuid.UUID) -> None:
    model = new_id()
    await fetch("INSERT INTO model (id, provider, name, seen_at) VALUES ($1, $2, 'tiny', now())", model, here)
    assert "Delete this model?" in (await olive.get(f"/models/{model}/deletion")).text
    answer = await olive.delete(f"/models/{model}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models")
    assert await begun() == [("delete", "tiny")]
    assert "being deleted" in (await olive.get("/models")).text


async def test_a_refused_private_address_shows_where_it_is_allowed(olive: Browser, here: uuid.UUID) -> None:
    answer = await olive.post("/pulls", data={"provider": str(here), "source": "http://127.0.0.1:9/tiny.gguf"})
    assert answer.status_code == 422
    assert "If you mean it, say so under More." in answer.text
    assert '<details class="edit" open>' in answer.text
