"""The circuit of a provider: opened by failures in a row, closed by a probe, the same to every process."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from app.chat import catalog, circuit
from app.chat.circuit import COLUMNS, MOST_FAILURES, all_down, is_open, note_failure, note_success, probe_due
from app.chat.worker import Worker
from app.database import fetch, fetch_row
from app.live import Lost, News, Reader
from app.providers.client import make_client
from app.providers.errors import (
    BadAnswer,
    BadRequest,
    GaveUp,
    KeyRejected,
    NoMemory,
    Overloaded,
    RateLimited,
    SaidNothing,
    StreamCut,
    TimedOut,
    Unreachable,
)
from tests.chat.conftest import SETTINGS, Chat
from tests.programs import ROOT
from tests.scripted import OPENAI
from tests.scripted.steps import Close, Send, Sleep, chunk, whole

SENTENCE = "Scripted cannot be reached."
BROKEN = whole(b'{"error": {"message": "out of oil"}}', status=503)


@pytest.fixture
async def provider(chat: Chat) -> uuid.UUID:
    (row,) = await fetch("SELECT id FROM provider")
    found: uuid.UUID = row["id"]
    return found


@pytest.fixture
async def heard(chat: Chat, database: str) -> AsyncIterator[list[str]]:
    """The news to everybody, as they come."""
    reader, said = Reader(database), list[str]()
    reader.hears.append(lambda news: said.append(news.event) if news.key == "everybody" else None)
    with reader.view([]) as first:
        task = asyncio.create_task(reader.run())
        assert await first.take(timeout_seconds=5) == [Lost()]
    yield said
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def row_of(provider: uuid.UUID) -> dict[str, Any]:
    row = await fetch_row(f"SELECT p.*, {COLUMNS} FROM provider AS p WHERE id = $1", provider)
    assert row is not None
    return dict(row)


async def fail(provider: uuid.UUID, times: int = MOST_FAILURES) -> None:
    for _ in range(times):
        await note_failure(provider, Unreachable(SENTENCE))


async def probe() -> None:
    """The schedule's tick."""
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)
        await probe_due(lambda provider_id: catalog.refresh(provider_id, connect))


async def make_due() -> None:
    await fetch("UPDATE provider SET probe_at = now() WHERE probe_at IS NOT NULL")


async def pause_of(provider: uuid.UUID) -> float:
    """How long from now the next probe is."""
    (row,) = await fetch("SELECT extract(epoch FROM probe_at - now()) AS pause FROM provider WHERE id = $1", provider)
    return float(row["pause"])


async def until(heard: list[str], count: int) -> None:
    async with asyncio.timeout(5):
        while len(heard) < count:  # noqa: ASYNC110  a list tells nobody
            await asyncio.sleep(0.01)


async def test_failures_in_a_row_open_the_circuit_and_a_probe_closes_it(
    chat: Chat, provider: uuid.UUID, heard: list[str]
) -> None:
    await fail(provider, MOST_FAILURES - 1)
    assert not is_open(await row_of(provider))
    assert (await row_of(provider))["state"] == "ok"
    await fail(provider, 1)
    row = await row_of(provider)
    assert is_open(row)
    assert (row["state"], row["error"]) == ("down", SENTENCE)
    assert row["down_since"] is not None
    assert [model["is_available"] for model in await catalog.list_models(chat.user)] == [False]
    await until(heard, 1)
    await make_due()
    await probe()
    row = await row_of(provider)
    assert not is_open(row)
    assert (row["state"], row["error"], row["down_since"], row["probe_at"]) == ("ok", "", None, None)
    await until(heard, 2)
    assert heard == ["catalog", "catalog"]


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_call_that_failed_has_its_server_looked_at(provider: uuid.UUID, is_there: bool) -> None:
    if not is_there:
        await fetch("UPDATE provider SET base_url = 'http://127.0.0.1:9/v1'")
    await fail(provider, 1)
    await probe()
    row = await row_of(provider)
    assert (row["state"], row["failures"]) == ("ok" if is_there else "down", 1)
    assert (row["probe_at"] is None) is is_there


async def test_a_good_call_in_between_begins_the_count_anew(provider: uuid.UUID) -> None:
    await fail(provider, MOST_FAILURES - 1)
    await note_success(provider)
    await fail(provider, MOST_FAILURES - 1)
    assert not is_open(await row_of(provider))


async def test_a_success_writes_nothing_where_nothing_had_failed(provider: uuid.UUID) -> None:
    before = await fetch("SELECT xmin::text FROM provider")
    await note_success(provider, failures=0)
    assert await fetch("SELECT xmin::text FROM provider") == before
    await fetch("UPDATE provider SET failures = 2, failing_since = now()")
    await note_success(provider, failures=2)
    row = await row_of(provider)
    assert (row["failures"], row["failing_since"]) == (0, None)
    before = await fetch("SELECT xmin::text FROM provider")
    await note_success(provider, failures=2)
    assert await fetch("SELECT xmin::text FROM provider") == before


async def test_failures_that_lie_far_apart_open_nothing(provider: uuid.UUID) -> None:
    for _ in range(3 * MOST_FAILURES):
        await fail(provider, 1)
        await fetch("UPDATE provider SET failing_since = failing_since - interval '20 seconds'")
    assert not is_open(await row_of(provider))


@pytest.mark.parametrize("kind", [RateLimited, KeyRejected, BadRequest, NoMemory, GaveUp, SaidNothing])
async def test_what_says_that_the_server_is_there_does_not_count(provider: uuid.UUID, kind: type[Any]) -> None:
    for _ in range(2 * MOST_FAILURES):
        await note_failure(provider, kind(SENTENCE))
    assert (await row_of(provider))["failures"] == 0


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, Overloaded, StreamCut, BadAnswer])
async def test_what_says_that_it_is_not_counts(provider: uuid.UUID, kind: type[Any]) -> None:
    for _ in range(MOST_FAILURES):
        await note_failure(provider, kind(SENTENCE))
    assert is_open(await row_of(provider))


async def test_a_server_that_cuts_every_answer_is_not_called_any_more(
    chat: Chat, provider: uuid.UUID, worker: Worker
) -> None:
    """A good answer in between forgives the cuts before it."""
    cut = (OPENAI.head(), Send(chunk(OPENAI.text("One "))), Sleep(0.05), Close())
    for script in [cut] * (MOST_FAILURES - 1) + [chat.server.defaults[OPENAI.kind]] + [cut] * MOST_FAILURES:
        assert not is_open(await row_of(provider))
        chat.server.script(*script)
        await chat.final((await chat.ask()).answer)
    assert is_open(await row_of(provider))


async def test_nonsense_within_an_answer_may_be_the_models_own(provider: uuid.UUID) -> None:
    for _ in range(2 * MOST_FAILURES):
        await note_failure(provider, BadAnswer(SENTENCE), has_begun=True)
    assert (await row_of(provider))["failures"] == 0


async def test_what_failed_long_ago_is_forgotten(chat: Chat, provider: uuid.UUID) -> None:
    """Down once for long and back, quiet, and down again: its first probe is soon, and its count begins anew."""
    chat.server.answers["/v1/models"] = BROKEN
    await fail(provider)
    for _ in range(5):
        await make_due()
        await probe()
    del chat.server.answers["/v1/models"]
    await make_due()
    await probe()
    touchy = await row_of(provider)
    assert (touchy["failures"], touchy["probes"]) == (MOST_FAILURES - 1, 6)
    quiet = f"UPDATE provider SET failing_since = now() - interval '{circuit.WINDOW_SECONDS + 1} seconds'"
    await fetch(quiet)
    await circuit.found_down(provider, SENTENCE)
    assert round(await pause_of(provider)) == circuit.FIRST_PROBE_SECONDS
    await fetch("UPDATE provider SET probes = 6")
    await fetch(quiet)
    await circuit.found_up(provider, 1, has_news=False)
    row = await row_of(provider)
    assert (row["failures"], row["probes"], row["failing_since"]) == (0, 0, None)


async def test_fifty_that_fail_at_once_open_it_once(provider: uuid.UUID, heard: list[str]) -> None:
    await asyncio.gather(*(fail(provider, 3) for _ in range(50)))
    row = await row_of(provider)
    assert (row["failures"], row["probes"]) == (MOST_FAILURES, 1)
    await until(heard, 1)
    await note_success(provider, failures=MOST_FAILURES)  # a long answer that was begun before
    assert is_open(await row_of(provider))
    assert heard == ["catalog"]


async def test_failures_at_once_are_all_counted(provider: uuid.UUID) -> None:
    await asyncio.gather(*(fail(provider, 1) for _ in range(MOST_FAILURES - 1)))
    assert (await row_of(provider))["failures"] == MOST_FAILURES - 1


async def test_probes_come_ever_more_rarely_and_never_more_than_half_a_minute_apart(
    chat: Chat, provider: uuid.UUID
) -> None:
    chat.server.answers["/v1/models"] = BROKEN
    await fail(provider)
    pauses = [await pause_of(provider)]
    for _ in range(6):
        await make_due()
        await probe()
        pauses.append(await pause_of(provider))
    assert [round(pause / 5) * 5 for pause in pauses] == [5, 10, 20, 30, 30, 30, 30]
    assert is_open(await row_of(provider))


async def test_a_probe_that_is_not_due_is_not_made_and_two_at_once_make_one(chat: Chat, provider: uuid.UUID) -> None:
    await fail(provider)
    asked = len(chat.server.requests)
    await probe()
    assert len(chat.server.requests) == asked
    await make_due()
    await asyncio.gather(probe(), probe(), probe())
    assert len(chat.server.requests) == asked + 1


async def test_a_server_that_only_seems_back_is_shut_out_at_once_and_for_longer(
    chat: Chat, provider: uuid.UUID
) -> None:
    """Its list of models answers, its answers fail."""
    await fail(provider)
    pauses = [await pause_of(provider)]
    for _ in range(3):
        await make_due()
        await probe()
        assert not is_open(await row_of(provider))
        await fail(provider, 1)
        assert is_open(await row_of(provider))
        pauses.append(await pause_of(provider))
    assert [round(pause / 5) * 5 for pause in pauses] == [5, 10, 20, 30]
    await make_due()
    await probe()
    await note_success(provider, failures=(await row_of(provider))["failures"])
    await fail(provider, MOST_FAILURES - 1)
    assert not is_open(await row_of(provider))


async def test_a_look_that_fails_shows_it_as_down_but_calls_are_still_tried(
    chat: Chat, provider: uuid.UUID, heard: list[str]
) -> None:
    chat.server.answers["/v1/models"] = BROKEN
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)
        assert await catalog.refresh(provider, connect)
        assert await catalog.refresh(provider, connect)
    row = await row_of(provider)
    assert (row["state"], is_open(row)) == ("down", False)
    await until(heard, 1)
    await fetch("UPDATE provider SET refreshed_at = now() - interval '1 hour'")
    asked = len(chat.server.requests)
    async with make_client() as client:
        await catalog.refresh_due(60, catalog.connector(client, SETTINGS))
    assert len(chat.server.requests) == asked  # it is probed instead
    del chat.server.answers["/v1/models"]
    await make_due()
    await probe()
    assert (await row_of(provider))["state"] == "ok"
    await until(heard, 2)
    assert heard == ["catalog", "catalog"]


async def test_new_models_are_news_and_the_same_ones_are_not(chat: Chat, provider: uuid.UUID, heard: list[str]) -> None:
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)
        await catalog.refresh(provider, connect)
        chat.server.models = ["scripted", "another"]
        await catalog.refresh(provider, connect)
        await until(heard, 1)
        await catalog.refresh(provider, connect)
        chat.server.models = ["scripted"]
        await catalog.refresh(provider, connect)
    await until(heard, 2)
    assert heard == ["catalog", "catalog"]


async def test_a_circuit_that_nobody_probes_counts_as_closed(provider: uuid.UUID) -> None:
    await fail(provider)
    assert is_open(await row_of(provider))
    await fetch("UPDATE provider SET probe_at = now() - interval '3 minutes'")
    assert not is_open(await row_of(provider))


async def test_two_processes_see_the_same_circuit(provider: uuid.UUID, database: str) -> None:
    others = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER, database, str(provider), cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [(await asyncio.wait_for(other.communicate(), 60))[0].decode().split()[-1] for other in others]
    assert set(said) <= {"open", "closed"}
    assert "open" in said  # to who came last, at least
    assert is_open(await row_of(provider))


def test_what_people_are_told_names_who_is_missing() -> None:
    assert "Harbour does not answer" in all_down(["Harbour"]).sentence
    assert "None of Harbour, Ollama answers" in all_down(["Harbour", "Ollama"]).sentence
    assert all_down(["Harbour"]).code == "all_down"


def test_news_of_the_catalog_go_to_everybody() -> None:
    assert msgspec.json.decode(circuit.CATALOG, type=News) == News(key="everybody", event="catalog")


#: Notes three failures, and says what it sees.
_OTHER = """
import asyncio, sys, uuid
from app import database
from app.chat import circuit
from app.providers.errors import Unreachable

async def main(url, provider):
    await database.open_pool(url, size=2)
    for _ in range(3):
        await circuit.note_failure(provider, Unreachable("Gone."))
    row = await database.fetch_row(f"SELECT {circuit.COLUMNS} FROM provider AS p WHERE id = $1", provider)
    print("open" if circuit.is_open(row) else "closed")
    await database.close_pool()

asyncio.run(main(sys.argv[1], uuid.UUID(sys.argv[2])))
"""
