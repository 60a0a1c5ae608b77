"""Changes that come together, and consumers that follow them."""

import asyncio
import contextlib

import httpx

from app.chat import catalog
from app.errors import Conflict
from app.instance import changing
from app.settings import current, settings, take_stored
from app.tables.setting import Setting

ROW = {
    "kind": "openai",
    "provider_name": "Harbour",
    "base_url": "http://h/v1",
    "key_sealed": "",
    "allows_private": True,
}


async def test_of_two_changes_that_do_not_go_together_one_is_refused(database: str) -> None:
    first = await changing.check_texts({"idle_timeout_seconds": "100"})
    second = await changing.check_texts({"first_token_timeout_seconds": "40", "generation_deadline_seconds": "90"})
    assert first.faults == second.faults == {}
    refused = 0

    async def save(change: changing.Change) -> None:
        nonlocal refused
        try:
            await changing.save(change, by=None)
        except Conflict:
            refused += 1

    await asyncio.gather(save(first), save(second))
    assert refused == 1
    assert current().idle_timeout_seconds <= current().generation_deadline_seconds


async def test_what_is_not_stored_holds_nowhere(database: str) -> None:
    change = await changing.check_texts({"idle_timeout_seconds": "100"})
    await Setting.change(chosen={"generation_deadline_seconds": 70.0}, taken_back=[], by=None)
    with contextlib.suppress(Conflict):
        await changing.save(change, by=None)
    assert current().idle_timeout_seconds == 60
    assert [row.name for row in await Setting.list_all()] == ["generation_deadline_seconds"]


async def test_providers_are_given_the_limits_of_this_moment(database: str) -> None:
    async with httpx.AsyncClient() as client:
        connect = catalog.connector(client, settings)
        assert connect(ROW).limits.between_frames_seconds == 60
        take_stored({"idle_timeout_seconds": 5.0, "hub_url": "https://hub.example.org"})
        provider = connect(ROW)
        assert provider.limits.between_frames_seconds == 5
        assert provider.account.hub_url == "https://hub.example.org"
