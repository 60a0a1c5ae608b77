"""Whether a provider can be reached: what a look at its list says, and what calls without a connection say."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog

from app.chat import catalog, reachability
from app.chat.reachability import MOST_UNCONNECTED, PROBE_SECONDS, Probes, found_down, found_up
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.live import News
from app.providers.client import make_client
from app.providers.errors import (
    AddressRefused,
    BadAnswer,
    KeyRejected,
    NotConnected,
    Overloaded,
    ProviderError,
    RateLimited,
    TimedOut,
    Unreachable,
)
from app.providers.names import LookUps
from tests import watching
from tests.chat.circuits import add_models, circuit_of, clock, fail, hold_probes, make_probes_due, probe, provider_row
from tests.chat.conftest import SETTINGS, Chat
from tests.chat.test_catalog import refresh
from tests.chat.test_circuit import until
from tests.scripted import OPENAI, Stall
from tests.scripted.steps import whole
from tests.watching import SECONDS

SENTENCE = "Scripted cannot be reached."
BROKEN = whole(b'{"error": {"message": "out of oil"}}', status=503)
NOBODY = "http://127.0.0.1:9/v1"


async def move(base_url: str) -> None:
    await fetch("UPDATE provider SET base_url = $1", base_url)


@contextlib.asynccontextmanager
async def looked_at_after(provider: uuid.UUID, seconds: float) -> AsyncIterator[None]:
    """The block puts the next look at a list so many seconds from then, however slow the machine is."""
    before = await clock()
    yield
    probe_at = (await provider_row(provider))["probe_at"]
    assert before <= probe_at - timedelta(seconds=seconds) <= await clock()


async def pause_of(provider: uuid.UUID) -> float:
    """How long from now the next look at its list is."""
    (row,) = await fetch("SELECT extract(epoch FROM probe_at - now()) AS pause FROM provider WHERE id = $1", provider)
    return float(row["pause"])


@pytest.mark.parametrize(
    "failure",
    [RateLimited(SENTENCE), Overloaded(SENTENCE), TimedOut(SENTENCE), KeyRejected(SENTENCE), BadAnswer(SENTENCE),
     Unreachable(SENTENCE)],
    ids=lambda failure: failure.code,
)  # fmt: skip
async def test_a_list_that_fails_disables_no_model(
    chat: Chat, worker: Worker, provider: uuid.UUID, heard: list[str], failure: ProviderError
) -> None:
    for _ in range(20):
        await found_down(provider, failure)
    row = await provider_row(provider)
    assert (row["state"], row["error"], row["down_since"]) == ("stale", SENTENCE, None)
    (choice,) = await catalog.list_models(chat.user)
    assert (choice["is_available"], choice["is_silent"]) == (True, False)
    assert (await chat.final((await chat.ask()).answer))["status"] == "complete"
    assert (await provider_row(provider))["state"] == "stale", "an answer says nothing of the list"
    await found_up(provider, 1, has_news=False)
    row = await provider_row(provider)
    assert (row["state"], row["error"]) == ("ok", "")
    assert heard == [], "what can be picked never changed"


@pytest.mark.parametrize("failure", [NotConnected(SENTENCE), AddressRefused(SENTENCE)], ids=["refused", "address"])
async def test_without_a_connection_nothing_is_called_until_a_look_makes_one(
    chat: Chat, provider: uuid.UUID, heard: list[str], failure: ProviderError
) -> None:
    await found_down(provider, failure)
    row = await provider_row(provider)
    assert (row["state"], row["error"], row["down_since"] is None) == ("down", SENTENCE, False)
    assert [model["is_available"] for model in await catalog.list_models(chat.user)] == [False]
    assert (await circuit_of(chat.model)).is_open
    await until(heard, 1)
    await found_down(provider, failure)
    assert (await provider_row(provider))["down_since"] == row["down_since"]
    await make_probes_due()
    await probe()
    row = await provider_row(provider)
    assert (row["state"], row["error"], row["down_since"], row["probe_at"]) == ("ok", "", None, None)
    assert not (await circuit_of(chat.model)).is_open
    await until(heard, 2)
    assert heard == ["catalog", "catalog"]


async def test_a_list_that_is_refused_needs_a_connection(chat: Chat, provider: uuid.UUID) -> None:
    await found_down(provider, NotConnected(SENTENCE))
    chat.server.answers["/v1/models"] = BROKEN
    await make_probes_due()
    await probe()
    row = await provider_row(provider)
    assert (row["state"], "out of oil" in row["error"], row["down_since"]) == ("stale", True, None)


async def test_a_server_that_starts_again_during_the_look_is_not_down(chat: Chat, provider: uuid.UUID) -> None:
    """The first look finds nobody; with the second comes the server."""
    loop, port = asyncio.get_running_loop(), int(chat.server.url.rpartition(":")[2])
    looks = []

    def find(host: str, *_: object, **__: object) -> list[Any]:
        looks.append(host)
        if len(looks) == 2:
            asyncio.run_coroutine_threadsafe(chat.server.start(port), loop).result(SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    await fetch("UPDATE provider SET base_url = $1, allows_private = true", f"http://harbour.example:{port}/v1")
    await chat.server.close()
    async with make_client(look_ups=LookUps(find)) as client:
        assert await catalog.refresh(provider, catalog.connector(client, SETTINGS)) == ""
    assert len(looks) == 2
    assert (await provider_row(provider))["state"] == "ok"


async def test_calls_without_a_connection_shut_it_and_a_look_is_due_at_once(
    chat: Chat, provider: uuid.UUID, heard: list[str]
) -> None:
    await fail(chat.model, MOST_UNCONNECTED - 1, NotConnected(SENTENCE))
    row = await provider_row(provider)
    assert (row["state"], row["failures"]) == ("ok", MOST_UNCONNECTED - 1)
    assert await pause_of(provider) <= 0
    await fail(chat.model, 1, NotConnected(SENTENCE))
    assert (await provider_row(provider))["state"] == "down"
    assert (await circuit_of(chat.model)).is_open
    await asyncio.gather(*(fail(chat.model, 3, NotConnected(SENTENCE)) for _ in range(20)))
    await until(heard, 1)
    assert heard == ["catalog"]


async def test_a_call_without_a_connection_has_the_list_looked_at_though_it_asked_for_patience(
    chat: Chat, provider: uuid.UUID
) -> None:
    await found_down(provider, RateLimited(SENTENCE, retry_after_seconds=600))
    await move(NOBODY)
    await fail(chat.model, 1, NotConnected(SENTENCE))
    await probe()
    assert (await provider_row(provider))["state"] == "down"


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_call_that_failed_has_its_server_looked_at(chat: Chat, provider: uuid.UUID, is_there: bool) -> None:
    if not is_there:
        await move(NOBODY)
    await fail(chat.model, 1)
    await probe()
    row = await provider_row(provider)
    assert (row["state"], row["probe_at"] is None) == (("ok", True) if is_there else ("down", False))


async def test_what_failed_long_ago_is_forgotten(chat: Chat, provider: uuid.UUID) -> None:
    for _ in range(3 * MOST_UNCONNECTED):
        await fail(chat.model, 1, NotConnected(SENTENCE))
        await fetch("UPDATE provider SET failing_since = failing_since - interval '20 seconds'")
    assert (await provider_row(provider))["state"] == "ok"


async def test_connections_that_time_out_shut_it_like_those_that_are_refused(chat: Chat, provider: uuid.UUID) -> None:
    for _ in range(MOST_UNCONNECTED):
        await fetch("UPDATE provider SET failing_since = failing_since - interval '21 seconds'")
        await (await circuit_of(chat.model)).note_failure(NotConnected(SENTENCE), seconds=20)
    assert (await provider_row(provider))["state"] == "down"


async def test_a_server_that_is_down_is_looked_at_every_few_seconds_however_long(provider: uuid.UUID) -> None:
    """With the schedule's five seconds it is found back within ten."""
    for _ in range(10):
        async with looked_at_after(provider, PROBE_SECONDS):
            await found_down(provider, NotConnected(SENTENCE))
    assert PROBE_SECONDS < 5


async def test_looks_at_a_list_that_is_refused_come_ever_more_rarely(provider: uuid.UUID) -> None:
    for pause in (4, 8, 16, 30, 30, 30):
        async with looked_at_after(provider, pause):
            await found_down(provider, Overloaded(SENTENCE))
    await found_up(provider, 1, has_news=False)
    async with looked_at_after(provider, 4):
        await found_down(provider, Overloaded(SENTENCE))


@pytest.mark.parametrize(
    ("asked", "pause"), [("120", 120), ("0", 4), ("1", 4), ("31536000", 3600), ("abc", 4), ("-1", 4)]
)
async def test_the_next_look_waits_as_long_as_the_list_asked(
    chat: Chat, provider: uuid.UUID, asked: str, pause: int
) -> None:
    for status in (429, 503):
        await fetch("UPDATE provider SET probes = 0, probe_at = NULL")
        chat.server.answers["/v1/models"] = whole(b'{"error": {"message": "later"}}', status, Retry_After=asked)
        async with looked_at_after(provider, pause):
            assert await refresh()
    await hold_probes()
    asked_before = len(chat.server.requests)
    await fetch("UPDATE provider SET refreshed_at = now() - interval '1 hour'")
    async with make_client() as client:
        await catalog.refresh_due(60, catalog.connector(client, SETTINGS))
    await probe()
    await fail(chat.model, 1)
    await probe()
    assert len(chat.server.requests) == asked_before, "nor does a failed call of a model bring it forward"
    del chat.server.answers["/v1/models"]
    assert await refresh() == ""
    assert (await provider_row(provider))["probe_at"] is None


async def test_a_probe_that_is_not_due_is_not_made_and_two_at_once_make_one(chat: Chat, provider: uuid.UUID) -> None:
    await found_down(provider, NotConnected(SENTENCE))
    await hold_probes()
    asked = len(chat.server.requests)
    await probe()
    assert len(chat.server.requests) == asked
    await make_probes_due()
    await asyncio.gather(probe(), probe(), probe())
    assert len(chat.server.requests) == asked + 1


async def test_a_list_that_hangs_delays_no_look_at_another_server(chat: Chat, provider: uuid.UUID) -> None:
    other, hangs, looked = new_id(), asyncio.Event(), list[uuid.UUID]()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
        " VALUES ($1, 'openai', 'Other', $2, '', '', now(), true)",
        other, chat.server.url_for(OPENAI),
    )  # fmt: skip

    async def look(provider_id: uuid.UUID) -> None:
        looked.append(provider_id)
        if provider_id == provider:
            await hangs.wait()

    probes = Probes(look)
    await fetch("UPDATE provider SET probe_at = now() WHERE id = $1", provider)
    await probes.start_due()
    await fetch("UPDATE provider SET probe_at = now() WHERE id = $1", other)
    await probes.start_due()
    await watching.until("a look at the other server", lambda: looked == [provider, other])
    await probes.stop()


async def test_a_look_that_meets_an_unforeseen_failure_is_logged(chat: Chat, provider: uuid.UUID) -> None:
    async def look(_provider: uuid.UUID) -> None:
        raise RecursionError

    await fetch("UPDATE provider SET probe_at = now()")
    probes = Probes(look)
    with structlog.testing.capture_logs() as logs:
        await probes.start_due()
        await probes.wait()
    assert [(entry["event"], entry["provider_id"]) for entry in logs] == [("provider_not_looked_at", str(provider))]


async def test_a_list_that_works_does_not_bring_back_models_that_fail(chat: Chat, provider: uuid.UUID) -> None:
    """A router whose list answers while what stands behind it does not."""
    (second,) = await add_models(provider, "second")
    chat.server.models = ["scripted", "second"]
    await fail(chat.model)
    await fail(second)
    await make_probes_due()
    await probe()
    assert (await provider_row(provider))["state"] == "failing"
    chat.server.answers["/v1/models"] = BROKEN
    await make_probes_due()
    assert await refresh()
    row = await provider_row(provider)
    assert (row["state"], "out of oil" in row["error"]) == ("failing", False)
    del chat.server.answers["/v1/models"]
    assert await refresh() == ""
    assert (await provider_row(provider))["state"] == "ok", "where the list failed too, its return is the server's"


async def test_one_that_nobody_looks_at_is_called_again(chat: Chat, provider: uuid.UUID) -> None:
    await found_down(provider, NotConnected(SENTENCE))
    assert (await circuit_of(chat.model)).is_open
    await fetch("UPDATE provider SET probe_at = now() - interval '3 minutes'")
    assert not (await circuit_of(chat.model)).is_open


async def test_new_models_are_news_and_the_same_ones_are_not(chat: Chat, heard: list[str]) -> None:
    await refresh()
    chat.server.models = ["scripted", "another"]
    await refresh()
    await until(heard, 1)
    await refresh()
    chat.server.models = ["scripted"]
    await refresh()
    await until(heard, 2)
    assert heard == ["catalog", "catalog"]


async def test_a_list_that_hangs_is_stale_and_its_models_answer_meanwhile(
    chat: Chat, worker: Worker, provider: uuid.UUID
) -> None:
    chat.server.answers["/v1/models"] = (Stall(),)
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)

        def hurried(row: Mapping[str, Any]) -> Any:
            connected: Any = connect(row)
            connected.wire.json_seconds = 2.0  # it is fifteen
            return connected

        looking = asyncio.create_task(catalog.refresh(provider, hurried))
        assert (await chat.final((await chat.ask()).answer))["status"] == "complete"
        assert "within 2 seconds" in await looking
    assert (await provider_row(provider))["state"] == "stale"


def test_news_of_the_catalog_go_to_everybody() -> None:
    assert msgspec.json.decode(reachability.CATALOG, type=News) == News(key="everybody", event="catalog")
