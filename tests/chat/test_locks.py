"""Locks of providers and their models: the provider's row before its models', whatever is done."""

import asyncio
import contextvars
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.chat import facts
from app.database import fetch, fetch_row, transaction
from app.instance.file import FileProvider
from app.instance.importing import _store_provider
from tests.chat.circuits import model_row, provider_row
from tests.chat.conftest import Chat


async def bring(provider: uuid.UUID) -> None:
    """The provider once more, by a file that adds a model that it lists, and changes something of it."""
    row = await provider_row(provider)
    async with transaction():
        file = FileProvider(
            kind=row["kind"], name=row["name"], base_url=row["base_url"], allows_private=False, models=["scripted"]
        )
        assert await _store_provider(file, "")


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


def aside(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task outside the transaction of this one."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
