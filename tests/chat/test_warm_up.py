"""The starter model is loaded before the first question: once, by a worker, and not for every page."""

import asyncio
import uuid
from typing import Any

import pytest

from app.chat import catalog
from app.chat.warm_up import warm_up
from app.database import fetch, new_id
from app.providers.base import Model
from app.tables.user import User
from tests.people import add_user


@pytest.fixture
async def alice(database: str) -> User:
    return await add_user("Alice")


@pytest.fixture
async def here(alice: User) -> uuid.UUID:
    """Our own engine, with a bundled model and another one."""
    provider = new_id()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, state, error, created_at)"
        " VALUES ($1, 'llamacpp', 'On this machine', '', '', 'ok', '', now())",
        provider,
    )
    models = [Model("starter", is_bundled=True, is_loaded=False), Model("other", is_loaded=False)]
    assert await catalog.keep(provider, "", catalog.Listing(models)) == ""
    return provider


async def picked(user: User, name: str) -> dict[str, Any]:
    return next(dict(row) for row in await catalog.list_models(user.id) if row["name"] == name)


async def begun() -> list[tuple[str, str, str]]:
    rows = await fetch("SELECT kind, model_name, state FROM model_task ORDER BY created_at")
    return [(row["kind"], row["model_name"], row["state"]) for row in rows]


async def test_many_pages_ask_once(alice: User, here: uuid.UUID) -> None:
    model = await picked(alice, "starter")
    pages = [dict(model) for _ in range(10)]
    await asyncio.gather(*[warm_up(page, user=alice.id) for page in pages])
    assert await begun() == [("load", "starter", "queued")]
    assert len(await fetch("SELECT 1 FROM pgqueuer WHERE entrypoint = 'model_task'")) == 1
    assert sum(page["is_loading"] for page in pages) == 1
    later = await picked(alice, "starter")
    assert later["is_loading"]
    await warm_up(later, user=alice.id)
    assert len(await begun()) == 1


@pytest.mark.parametrize("state", ["starting", "running"])
async def test_one_that_is_there_or_coming_is_not_asked_for(alice: User, here: uuid.UUID, state: str) -> None:
    await fetch("INSERT INTO worker (id, name, started_at, seen_at, is_alive) VALUES (7, 'w', now(), now(), true)")
    await fetch(
        "INSERT INTO engine (id, worker, model_name, state, context_tokens, slots, started_at)"
        " VALUES (gen_random_uuid(), 7, 'starter', $1, 8192, 2, now())",
        state,
    )
    await warm_up(await picked(alice, "starter"), user=alice.id)
    assert await begun() == []


async def test_other_models_wait_for_the_first_question(alice: User, here: uuid.UUID) -> None:
    await warm_up(await picked(alice, "other"), user=alice.id)
    await warm_up(None, user=alice.id)
    await fetch("UPDATE provider SET state = 'down'")
    await warm_up(await picked(alice, "starter"), user=alice.id)
    assert await begun() == []


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_what_failed_a_moment_ago_is_left_alone_for_a_while(alice: User, here: uuid.UUID, state: str) -> None:
    await warm_up(await picked(alice, "starter"), user=alice.id)
    await fetch("UPDATE model_task SET state = $1, ended_at = now()", state)
    await warm_up(await picked(alice, "starter"), user=alice.id)
    assert await begun() == [("load", "starter", state)]
    await fetch("UPDATE model_task SET ended_at = now() - interval '6 minutes'")
    await warm_up(await picked(alice, "starter"), user=alice.id)
    assert (await begun())[1:] == [("load", "starter", "queued")]


async def test_a_model_that_is_done_with_already_is_no_fault_of_the_page(alice: User, here: uuid.UUID) -> None:
    model = await picked(alice, "starter")
    await fetch(
        "INSERT INTO model_task (id, kind, provider, model_name, source, state, phase, log, error, created_at)"
        " VALUES ($1, 'unload', $2, 'starter', '', 'running', '', '', '', now())",
        new_id(), here,
    )  # fmt: skip
    await warm_up(model, user=alice.id)
    assert [kind for kind, _name, _state in await begun()] == ["unload"]
    assert not model["is_loading"]
