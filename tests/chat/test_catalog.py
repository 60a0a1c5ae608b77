"""The catalog of models, against a scripted server."""

import uuid

import asyncpg
import structlog

from app.chat import added_models, catalog, reachability
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id
from app.providers.client import make_client
from app.secrets import seal
from tests.chat.conftest import SETTINGS, Chat
from tests.scripted import OPENAI
from tests.scripted.steps import whole


async def refresh() -> str:
    """Ask the provider of `chat` again."""
    row = await fetch_row("SELECT id FROM provider WHERE kind = 'openai'")
    assert row is not None
    async with make_client() as client:
        return await catalog.refresh(row["id"], catalog.connector(client, SETTINGS))


async def names() -> list[str]:
    return [row["name"] for row in await models()]


async def models() -> list[asyncpg.Record]:
    """What the person of `chat` may pick."""
    (user,) = await fetch("SELECT id FROM users")
    return await catalog.list_models(user["id"])


async def test_models_come_and_go_and_come_back_as_the_same(chat: Chat) -> None:
    assert await names() == ["scripted"]
    chat.server.models = ["other", "scripted"]
    assert await refresh() == ""
    assert await names() == ["other", "scripted"]
    chat.server.models = ["other"]
    await refresh()
    assert await names() == ["other"]
    chat.server.models = ["other", "scripted"]
    await refresh()
    assert chat.model in [row["id"] for row in await models()]


async def test_a_refresh_without_news_writes_no_model(chat: Chat) -> None:
    before = await fetch("SELECT xmin::text, seen_at FROM model")
    await refresh()
    assert await fetch("SELECT xmin::text, seen_at FROM model") == before


async def test_a_provider_that_fails_says_so_and_keeps_its_models(chat: Chat) -> None:
    chat.server.answers["/v1/models"] = whole(b'{"error": {"message": "bad key"}}', status=401)
    sentence = await refresh()
    assert "Scripted" in sentence
    row = await fetch_row("SELECT state, error FROM provider")
    assert row is not None
    assert (row["state"], row["error"]) == ("stale", sentence)
    assert [(model["name"], model["is_available"]) for model in await models()] == [("scripted", True)]
    await fetch("UPDATE provider SET base_url = 'http://127.0.0.1:9/v1'")
    assert "Is it running?" in await refresh()
    assert [(model["name"], model["is_available"]) for model in await models()] == [("scripted", False)]
    await fetch("UPDATE provider SET base_url = $1", chat.server.url_for(OPENAI))
    del chat.server.answers["/v1/models"]
    assert await refresh() == ""
    assert [model["is_available"] for model in await models()] == [True]


async def test_a_key_travels_sealed_and_is_used_unsealed(chat: Chat) -> None:
    sealed = seal("sk-very-secret")
    assert "secret" not in sealed
    await fetch("UPDATE provider SET key_sealed = $1", sealed)
    await refresh()
    assert chat.server.requests[-1].headers["authorization"] == "Bearer sk-very-secret"


async def test_due_providers_are_asked_and_others_are_not(chat: Chat) -> None:
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)
        asked = len(chat.server.requests)
        await catalog.refresh_due(60, connect)
        assert len(chat.server.requests) == asked
        await fetch("UPDATE provider SET refreshed_at = now() - interval '61 seconds'")
        await catalog.refresh_due(60, connect)
        assert len(chat.server.requests) == asked + 1


async def test_a_list_that_cannot_be_stored_is_said_and_keeps_nobody_from_being_looked_at(chat: Chat) -> None:
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, is_enabled, error, created_at)"
        " SELECT gen_random_uuid(), kind, 'Poisoned', base_url || '?of=poisoned', '', true, '', now() FROM provider"
    )
    await fetch("ALTER TABLE model ADD CONSTRAINT no_poison CHECK (name <> 'poison')")
    chat.server.answers["/v1/models?of=poisoned"] = whole(b'{"data": [{"id": "poison"}]}')
    await fetch("UPDATE provider SET refreshed_at = now() - interval '61 seconds', state = 'unknown'")
    try:
        async with make_client() as client:
            await catalog.refresh_due(60, catalog.connector(client, SETTINGS))
    finally:
        await fetch("ALTER TABLE model DROP CONSTRAINT no_poison")
    found = {
        row["name"]: (row["state"], row["error"]) for row in await fetch("SELECT name, state, error FROM provider")
    }
    assert found == {
        "Scripted": ("ok", ""),
        "Poisoned": ("stale", "It lists its models in a way that cannot be stored."),
    }


async def test_whatever_happens_to_one_the_others_are_looked_at(chat: Chat) -> None:
    seen = []

    async def look(provider: uuid.UUID) -> None:
        seen.append(provider)
        if len(seen) == 1:
            raise RecursionError

    some = [new_id() for _ in range(3)]
    with structlog.testing.capture_logs() as logs:
        await reachability.look_at_each(some, look)
    assert seen == some
    assert [entry["provider_id"] for entry in logs] == [str(some[0])]


async def test_a_model_that_was_added_by_a_wrong_name_is_missing_when_it_is_asked(chat: Chat, worker: Worker) -> None:
    row = await fetch_row("SELECT id, base_url FROM provider WHERE kind = 'openai'")
    assert row is not None
    chat.model = await added_models.add_model(row["id"], "openai", row["base_url"], "harbour-70b")
    assert await refresh() == ""
    assert "harbour-70b" in await names()
    chat.server.scripts["harbour-70b"] = whole(OPENAI.error_body("The model harbour-70b does not exist"), 404)
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "model_missing")
    chat.server.scripts["harbour-70b"] = OPENAI.answer(["At dusk."])
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["content"]) == ("complete", "At dusk.")
