"""Locks around models: what names a model before its provider, and the provider before its models, whatever is done."""

import asyncio
import contextvars
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.chat import facts
from app.chat.added_models import remove_model
from app.chat.new_message import NewMessage
from app.chat.removal import remove_provider
from app.chat.tree import find_message
from app.chat.turn import continue_answer, start_sibling, start_turn
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id, transaction
from app.errors import Invalid
from app.instance.file import FileProvider
from app.instance.file_providers import store_provider
from app.tables.provider import Address
from tests.chat.circuits import model_row, provider_row
from tests.chat.conftest import Chat


async def bring(provider: uuid.UUID) -> None:
    """The provider once more, by a file that adds a model that it lists, and changes something of it."""
    row = await provider_row(provider)
    async with transaction():
        file = FileProvider(
            kind=row["kind"], name=row["name"], base_url=row["base_url"], allows_private=False, models=["scripted"]
        )
        assert await store_provider(file, Address(row["base_url"]))


@pytest.mark.parametrize("change", [facts.forget_refused, bring], ids=["refresh", "import"])
async def test_a_change_locks_no_model_before_its_provider(
    change: Callable[[uuid.UUID], Coroutine[Any, Any, None]], chat: Chat
) -> None:
    await fetch("UPDATE model SET refused = '[\"top_k\"]' WHERE id = $1", chat.model)
    provider = (await fetch_row("SELECT provider FROM model WHERE id = $1", chat.model))["provider"]  # type: ignore[index]
    async with transaction():
        await fetch("SELECT 1 FROM provider WHERE id = $1 FOR NO KEY UPDATE", provider)
        changing = aside(change(provider))
        await asyncio.sleep(0.3)
        assert not changing.done(), "it did not lock the provider"
        await fetch("SET LOCAL lock_timeout = '2s'")
        await fetch("UPDATE model SET seen_at = now() WHERE id = $1", chat.model)
    await changing
    row = await model_row(chat.model)
    assert row["refused"] == "[]" or row["is_by_hand"]


#: Rows that name the model, as whoever is about to write another model into them holds them.
NAMING = {
    "thread": "SELECT 1 FROM thread WHERE model IS NOT NULL FOR NO KEY UPDATE",
    "thread of an answer": "SELECT 1 FROM thread FOR NO KEY UPDATE",
    "person": "SELECT 1 FROM users WHERE default_model IS NOT NULL FOR NO KEY UPDATE",
    "preset": "SELECT 1 FROM preset WHERE model IS NOT NULL FOR NO KEY UPDATE",
}


@pytest.mark.parametrize("removes_provider", [True, False], ids=["provider", "model"])
@pytest.mark.parametrize("held", NAMING)
async def test_a_deletion_locks_no_model_before_what_names_it(
    held: str, removes_provider: bool, chat: Chat, worker: Worker
) -> None:
    await chat.final((await chat.ask()).answer)
    provider = (await fetch("UPDATE model SET is_by_hand = true, seen_since = NULL RETURNING provider"))[0]["provider"]
    await name_model(held, chat)
    async with transaction():
        assert len(await fetch(NAMING[held])) == 1
        removing = aside(remove_provider(provider) if removes_provider else remove_model(chat.model))
        await asyncio.sleep(0.3)
        assert not removing.done(), "it did not wait for what names the model"
        await fetch("SET LOCAL lock_timeout = '2s'")
        await fetch("SELECT 1 FROM model WHERE id = $1 FOR KEY SHARE", chat.model)
    await removing
    assert not await fetch("SELECT 1 FROM model")
    for table, column in (("thread", "model"), ("message", "model"), ("users", "default_model"), ("preset", "model")):
        assert not await fetch(f"SELECT 1 FROM {table} WHERE {column} IS NOT NULL")


async def test_a_question_that_waited_for_its_models_deletion_is_refused(chat: Chat, worker: Worker) -> None:
    turn = await chat.ask()
    await chat.final(turn.answer)
    provider = (await fetch("SELECT provider FROM model"))[0]["provider"]
    broken_off = (await fetch("UPDATE message SET status = 'stopped' WHERE id = $1 RETURNING id", turn.answer))[0]["id"]
    answer = await find_message(broken_off)
    new = NewMessage("And then?", chat.model, new_id())
    async with transaction():
        await fetch("SELECT 1 FROM thread FOR NO KEY UPDATE")
        works = (
            start_turn(chat.user, turn.thread, new),
            start_sibling(chat.user, answer, chat.model),
            continue_answer(chat.user, answer),
        )
        waiting = [aside(work) for work in works]
        await asyncio.sleep(0.3)
        await remove_provider(provider)
    for refusal in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(refusal, Invalid), refusal
        assert refusal.field == "model"
    assert len(await fetch("SELECT 1 FROM message")) == 2


async def name_model(where: str, chat: Chat) -> None:
    """The chat's model stands there and, its answer apart, nowhere else."""
    if where != "thread":
        await fetch("UPDATE thread SET model = NULL")
    if where == "person":
        await fetch("UPDATE users SET default_model = $1", chat.model)
    if where == "preset":
        await fetch(
            'INSERT INTO preset (id, "user", name, model, created_at) VALUES ($1, $2, \'One\', $3, now())',
            new_id(), chat.user, chat.model,
        )  # fmt: skip
    if where in ("person", "preset"):
        await fetch("UPDATE message SET model = NULL")


def aside(work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    """A task outside the transaction of this one."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
