"""Postgres crashes, restarts, hangs, loses an answer, is locked, full or read-only: nothing is lost, and it goes on."""

import asyncio
import contextlib
import pathlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from app import postmaster
from app.database import close_pool, engine, fetch, new_id, open_pool
from app.embedded import EmbeddedPostgres
from tests.clusters import fresh_database
from tests.conftest import StartProgram
from tests.e2e.model_server import ModelServer
from tests.faults.clusters import Cluster, full_disk, own_cluster
from tests.faults.relay import COMMIT, Relay, to_socket
from tests.faults.site import Site, Visitor, at_once, held, words
from tests.scripted import LAST_CHUNK, OPENAI, Send, Wait, chunk
from tests.tiers import soaked
from tests.watching import PROGRAM_SECONDS, until, within


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with own_cluster() as made:
        yield made


@pytest.fixture
async def site(
    program: StartProgram, models: ModelServer, cluster: Cluster, tmp_path: pathlib.Path
) -> AsyncIterator[Site]:
    """A site on a cluster of its own. Its own connections come back after a restart by themselves."""
    with fresh_database(cluster) as url:
        async with asyncpg.create_pool(
            url, min_size=0, max_size=10, server_settings={"default_transaction_read_only": "off"}
        ) as database:
            made = Site(program, database, url, tmp_path / "data")
            await made.connect(models.url_for(OPENAI))
            yield made
            await made.close()


async def _all_complete(site: Site, text: str, count: int) -> None:
    rows = await site.database.fetch("SELECT status, content FROM message WHERE role = 'assistant'")
    assert [(row["status"], row["content"]) for row in rows] == [("complete", text)] * count


async def _try(visitor: Visitor, text: str, thread: object, request_id: Any) -> httpx.Response:
    path = f"/threads/{thread}/messages" if thread else "/threads"
    return await visitor.post(path, text=text, model=str(visitor.site.model), request_id=str(request_id))


async def _until_lost(relay: Relay) -> None:
    async with within("an answer of Postgres is lost", PROGRAM_SECONDS):
        await relay.lost.wait()


@pytest.mark.parametrize("number", [signal.SIGQUIT, soaked(signal.SIGINT)], ids=["immediate", "fast"])
async def test_answers_go_on_through_a_restart_of_postgres(
    site: Site, models: ModelServer, cluster: Cluster, number: int
) -> None:
    gate = asyncio.Event()
    models.defaults[OPENAI.kind] = held(gate, "w", 100, 12, before=12)
    web = await site.serve()
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(10)]
    tabs = [await alice.tab(turn.thread).open() for turn in turns for _ in range(2)]
    watches = (tab.until(lambda tab: tab.connects and tab.running and "w9" in tab.running.text) for tab in tabs)
    await asyncio.gather(*watches)
    gate.set()
    await cluster.restart(number, away_seconds=0.5)

    async def is_back() -> bool:
        return (await alice.client.get("/health")).status_code == 200

    # The app is back, and so is every page; on a machine that does nothing else, within five seconds of the database.
    await until("the app is back", is_back, PROGRAM_SECONDS)
    await alice.ask("two")
    await asyncio.gather(*(tab.until(lambda tab: tab.connects > 1) for tab in tabs))
    await site.until_final()
    await asyncio.gather(
        *(
            tab.until(lambda tab, turn=turn: tab.shows_end(str(turn.answer)))
            for tab, turn in zip(tabs[::2], turns, strict=True)
        )
    )
    await _all_complete(site, "".join(words("w", 100)), 11)
    await site.checker.check()
    for tab in tabs:
        await tab.close()
    # I12: as many connections as before.
    await site.until(_ARE_CONNECTED, 12, ["parley live reader", "parley live writer", "parley queue", "parley worker"])


async def test_the_pool_opens_on_a_machine_that_takes_longer_than_a_connection_may(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "connect_seconds", 0.5)
    async with Relay(to_socket(str(postmaster.socket_folder(postgres.folder) / ".s.PGSQL.5432"))) as relay:
        relay.flowing.clear()
        opening = asyncio.create_task(open_pool(f"postgresql://postgres@127.0.0.1:{relay.port}/postgres", size=1))
        await asyncio.sleep(1)
        relay.flowing.set()
        await opening
        assert await fetch("SELECT 1")
        await close_pool()


async def test_a_commit_whose_answer_is_lost_makes_one_turn(site: Site, models: ModelServer, cluster: Cluster) -> None:
    models.defaults[OPENAI.kind] = at_once("w", 3)
    async with Relay(to_socket(cluster.socket)) as relay:
        web = await site.web(
            url=f"{site.url.partition('@')[0]}@127.0.0.1:{relay.port}{site.url.partition('@')[2].partition('?')[0]}"
        )
        alice = await site.person(web.base_url)
        thread = (await alice.ask("first")).thread
        await site.worker()
        for number in range(10):
            await site.until_final()
            request_id = new_id()
            # A turn is one statement, and commits with it; a new thread with its first turn ends in a COMMIT.
            place, word = ("", COMMIT) if number % 2 else (thread, request_id.bytes)
            relay.lose_answer_to(word)
            first = await _try(alice, f"more {number}", place, request_id)
            await _until_lost(relay)
            assert first.status_code == 503
            assert "Nothing is lost" in first.text
            await alice.ask(f"more {number}", place, request_id)
        await site.until_final()
    await site.checker.check()
    assert (await site.row("SELECT count(*) AS n FROM message"))["n"] == 22


async def test_a_worker_knows_its_claim_and_its_end_when_the_answer_is_lost(
    site: Site, models: ModelServer, cluster: Cluster
) -> None:
    gate = asyncio.Event()
    models.script(
        OPENAI.head(), Send(chunk(OPENAI.text("One two"))), Wait(gate),
        Send(chunk(OPENAI.finish("stop", (1, 2))) + LAST_CHUNK),
    )  # fmt: skip
    web = await site.web()
    person = await site.person(web.base_url)
    kept: list[asyncpg.Record] = []
    while not kept:  # given up where the machine stood still in between: then it is asked again
        turn = await person.begin("hello")
        await site.keep_waiting()
        kept = await site.database.fetch("SELECT id FROM generation WHERE state = 'queued'")
    generation = kept[0]["id"]
    async with Relay(to_socket(cluster.socket)) as relay:
        relay.lose_answer_to(generation.bytes)
        worker = await site.worker(
            url=f"{site.url.partition('@')[0]}@127.0.0.1:{relay.port}{site.url.partition('@')[2].partition('?')[0]}"
        )
        await _until_lost(relay)
        await site.until("SELECT EXISTS (SELECT 1 FROM delta)")
        relay.lose_answer_to(generation.bytes)
        gate.set()
        await _until_lost(relay)
        await site.until_final()
        await asyncio.to_thread(worker.wait_for_line, "generation_finished")
        assert worker.text().count("generation_finished") == 1
        await asyncio.to_thread(worker.stop)
    row = await site.row("SELECT status, content FROM message WHERE id = $1", turn.answer)
    assert (row["status"], row["content"]) == ("complete", "One two")
    assert len(models.asked) == 1
    await site.checker.check()


async def test_a_hang_of_postgres_interrupts_nothing(site: Site, models: ModelServer, cluster: Cluster) -> None:
    """Longer than a worker may be silent: who judges must know that it was the judge who could not see."""
    gate = asyncio.Event()
    models.defaults[OPENAI.kind] = held(gate, "w", 150, 10, before=7)
    web = await site.web()
    await asyncio.gather(site.worker(), site.worker())
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(8)]
    tab = await alice.tab(turns[0].thread).open()
    await tab.until(lambda tab: tab.running and "w5" in tab.running.text)
    gate.set()
    async with cluster.frozen():
        await asyncio.sleep(13)
    await site.until_final()
    await _all_complete(site, "".join(words("w", 150)), 8)
    await tab.until(lambda tab: tab.shows_end(str(turns[0].answer)))
    await tab.close()
    await site.checker.check()


async def test_a_lock_on_a_hot_table_exhausts_the_pool_and_passes(
    site: Site, models: ModelServer, cluster: Cluster
) -> None:
    gate = asyncio.Event()
    models.defaults[OPENAI.kind] = held(gate, "w", 60, 20, before=5)
    web = await site.serve(environment={"PARLEY_POOL_SIZE": "4"})
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(4)]
    await site.until("SELECT count(*) = 4 FROM generation WHERE state = 'running'")
    async with site.database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE thread, delta IN ACCESS EXCLUSIVE MODE")
        gate.set()
        requests = [new_id() for _ in range(10)]
        sends = [asyncio.create_task(_try(alice, "two", turns[0].thread, request)) for request in requests]
        await until("five are refused", lambda: sum(send.done() for send in sends) >= 5, PROGRAM_SECONDS)
        for send in filter(asyncio.Task.done, sends):
            assert send.result().status_code == 503
            assert "Nothing is lost" in send.result().text
    await asyncio.gather(*sends)
    await site.until_final()
    assert (await alice.ask("three", turns[1].thread)).answer
    await site.until_final()
    rows = await site.database.fetch("SELECT status, content FROM message WHERE role = 'assistant'")
    assert {(row["status"], row["content"]) for row in rows} == {("complete", "".join(words("w", 60)))}
    await site.checker.check()


@pytest.mark.parametrize("fault", ["read-only", "disk full"])
async def test_a_database_that_cannot_write_is_outlasted(
    site: Site, models: ModelServer, cluster: Cluster, fault: str
) -> None:
    gate = asyncio.Event()
    models.defaults[OPENAI.kind] = held(gate, "w", 60, 20, before=7)
    web = await site.serve()
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(6)]
    tab = await alice.tab(turns[0].thread).open()
    await tab.until(lambda tab: tab.running and "w5" in tab.running.text)
    context: contextlib.AbstractAsyncContextManager[None] = (
        cluster.read_only() if fault == "read-only" else full_disk(site.url)
    )
    request_id = new_id()
    async with context:
        gate.set()
        refused = await _try(alice, "two", turns[0].thread, request_id)
        assert refused.status_code == 503
        assert "cannot store anything now" in refused.text
        assert (await alice.client.get(f"/threads/{turns[0].thread}")).status_code == 200
        # Longer than the model needs: all that is missing waits in memory.
        await asyncio.sleep(4)
        assert not await site.database.fetchval("SELECT count(*) FROM generation WHERE state = 'ended'")
    await site.until_final()
    await tab.until(lambda tab: tab.shows_end(str(turns[0].answer)))
    await alice.ask("two", turns[0].thread, request_id)
    await site.until_final()
    await tab.close()
    await _all_complete(site, "".join(words("w", 60)), 7)
    await site.checker.check()


_ARE_CONNECTED = """
SELECT sum(n) FILTER (WHERE name = 'parley') <= $1
   AND array_agg(name ORDER BY name) FILTER (WHERE name NOT IN ('', 'parley') AND n = 1) = $2::text[]
   AND NOT bool_or(name NOT IN ('', 'parley') AND n > 1)
FROM (
    SELECT application_name AS name, count(*) AS n FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1
) AS connections
"""
