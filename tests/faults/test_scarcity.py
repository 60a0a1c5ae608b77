"""What runs out: the disk of Postgres, file descriptors, and a line that goes silent without a word."""

import asyncio
import contextlib
import os
import pathlib
import re
import time
from collections.abc import AsyncIterator

import asyncpg
import httpx
import psutil
import pytest

from app.cli.slow_readers import SLOWEST_READ_SECONDS
from app.database import new_id
from tests.clusters import fresh_database, run_sql
from tests.conftest import StartProgram
from tests.e2e.model_server import ModelServer
from tests.faults.clusters import Cluster, full_disk, small_cluster
from tests.faults.relay import Relay, to_port
from tests.faults.renderers import serve
from tests.faults.site import Site, Visitor, held, paced, words
from tests.scripted import LAST_CHUNK, OPENAI, Paced, Wait, chunk
from tests.watching import PROGRAM_SECONDS, until

#: What no disk can make smaller: letters by chance, as long as a question may be.
BULKY = os.urandom(90_000).hex()

TOKEN = "a-token-of-thirty-two-characters"
METRICS = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def small(
    program: StartProgram, models: ModelServer, tmp_path: pathlib.Path
) -> AsyncIterator[tuple[Site, Cluster]]:
    """A site whose Postgres has a small disk of its own, where one may be mounted."""
    async with small_cluster() as cluster:
        with fresh_database(cluster) as url:
            async with asyncpg.create_pool(url, min_size=0, max_size=10) as database:
                made = Site(program, database, url, tmp_path / "data")
                await made.connect(models.url_for(OPENAI))
                yield made, cluster
                await made.close()


@contextlib.asynccontextmanager
async def filled(site: Site, cluster: Cluster) -> AsyncIterator[None]:
    """Not one block is left on its disk until the end of the block; for who may not mount one, Postgres only says so."""
    if not cluster.folder.parent.is_mount():
        async with full_disk(site.url):
            yield
        return
    ballast = cluster.folder.parent / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    try:
        yield
    finally:
        ballast.unlink()


async def test_a_disk_that_is_really_full_refuses_in_a_sentence_and_loses_nothing(
    small: tuple[Site, Cluster], models: ModelServer
) -> None:
    site, cluster = small
    models.defaults[OPENAI.kind] = paced("w", 60, 20)
    web = await site.serve()
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(3)]
    await site.until_final()
    # So that the log of Postgres has room in files of its own, as it has on any disk that was in use for a while.
    for _ in range(2):
        await run_sql(cluster.url, "SELECT pg_switch_wal()")
        await run_sql(cluster.url, "CHECKPOINT")
    request_id = new_id()
    async with filled(site, cluster):
        fields = {"text": BULKY, "model": str(site.model), "request_id": str(request_id)}
        refused = await alice.post(f"/threads/{turns[0].thread}/messages", **fields)
        assert refused.status_code == 503
        assert "cannot store anything now" in refused.text
        assert (await alice.client.get(f"/threads/{turns[0].thread}")).status_code == 200
        assert (await alice.client.get("/health")).status_code in (200, 503)
    await alice.ask(BULKY, turns[0].thread, request_id)
    await site.until_final()
    rows = await site.database.fetch("SELECT status, content FROM message WHERE role = 'assistant'")
    assert [(row["status"], row["content"]) for row in rows] == [("complete", "".join(words("w", 60)))] * 4
    await site.checker.check()


async def test_without_file_descriptors_nobody_is_let_in_and_nothing_is_lost(site: Site, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.defaults[OPENAI.kind] = held(gate, "w", 100, 20, before=10)
    web = await site.serve()
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(5)]
    tab = await alice.tab(turns[0].thread).open()
    await tab.until(lambda tab: tab.running and "w5" in tab.running.text)
    process = psutil.Process(web.process.pid)
    before, connects = process.num_fds(), tab.connects
    usual = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (before + 2, usual[1]))
    try:
        async with httpx.AsyncClient(
            base_url=web.base_url, timeout=1.0, limits=httpx.Limits(max_connections=30)
        ) as many:
            answers = await asyncio.gather(*(many.get("/health") for _ in range(30)), return_exceptions=True)
        assert any(isinstance(answer, Exception) for answer in answers), "there were descriptors enough"
        # Who is let in may find the database away: there is no descriptor for another connection to it either.
        let_in = [answer for answer in answers if isinstance(answer, httpx.Response)]
        said = {(answer.status_code, answer.json()["status"]) for answer in let_in}
        assert said <= {(200, "ok"), (503, "database away")}
        # Who was there before notices nothing.
        gate.set()
        await tab.until(lambda tab: "w60" in tab.articles[str(turns[0].answer)].text)
    finally:
        process.rlimit(psutil.RLIMIT_NOFILE, usual)

    async def lets_in() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await alice.client.get("/health", timeout=10)).status_code == 200
        return False

    await until("people are let in again", lets_in, PROGRAM_SECONDS)
    await alice.ask("two")
    await site.until_final()
    await tab.until(lambda tab: tab.shows_end(str(turns[0].answer)))
    # A page begins again only if it, too, found no descriptor for a connection to the database, and then the log says so.
    log = web.text()
    assert tab.connects == connects or "page_lost" in log or "database_lost" in log, log[-5_000:]
    rows = await site.database.fetch("SELECT status, content FROM message WHERE role = 'assistant'")
    assert [(row["status"], row["content"]) for row in rows] == [("complete", "".join(words("w", 100)))] * 6
    await tab.close()
    await until(
        f"no more than {before} descriptors",
        lambda: process.num_fds() <= before,
        PROGRAM_SECONDS,
        shows=process.num_fds,
    )
    await site.checker.check()


async def test_a_line_that_goes_silent_holds_nothing_up_and_is_given_up(site: Site, models: ModelServer) -> None:
    pieces = [f"w{number} {'on ' * 200}" for number in range(600)]
    last = chunk(OPENAI.finish("stop", (5, 600))) + LAST_CHUNK
    frames, gate = (*(chunk(OPENAI.text(piece)) for piece in pieces), last), asyncio.Event()
    models.defaults[OPENAI.kind] = (OPENAI.head(), Paced(frames[:50], 60), Wait(gate), Paced(frames[50:], 60))
    web = await serve(site, seconds=PROGRAM_SECONDS, environment={"PARLEY_METRICS_TOKEN": TOKEN})
    alice = await site.person(web.base_url)
    turn = await alice.begin("one")
    async with Relay(to_port(int(web.base_url.rpartition(":")[2]))) as relay:
        phone = await site.device(alice, f"http://127.0.0.1:{relay.port}")
        # A line that no person writes is cut in blocks while it grows: so what shows is not noted word by word.
        there = await phone.tab(turn.thread, is_prose=False).open()
        here = await alice.tab(turn.thread, is_prose=False).open()
        await there.until(lambda tab: tab.running and "w5 " in tab.running.text)
        # The phone is in a tunnel: no byte passes, and no end is told either.
        relay.flowing.clear()
        began = time.monotonic()
        await asyncio.sleep(0.5)  # what was under way already arrives
        seen = there.running.text if there.running else ""
        gate.set()
        await here.until(lambda tab: tab.shows_end(str(turn.answer)))
        assert there.running is not None
        assert there.running.text == seen
        # On a machine that is too busy the phone may have been given up already.
        assert await _viewers(alice) == 2 or time.monotonic() - began > SLOWEST_READ_SECONDS

        async def is_given_up() -> bool:
            """What is sent to the phone waits for nobody for ever: its page is given up, the desk's stays."""
            return await _viewers(alice) == 1

        await until("the phone's page is given up", is_given_up, PROGRAM_SECONDS)
        assert here.is_connected
        relay.flowing.set()
        relay.cut()
        await there.until(lambda tab: tab.shows_end(str(turn.answer)))
        assert there.articles[str(turn.answer)].html() == here.articles[str(turn.answer)].html()
        await there.close()
        await here.close()
    await site.checker.check()


async def _viewers(visitor: Visitor) -> int:
    """How many open pages the process says that it has."""
    found = re.search(
        r"^parley_viewers (\d+)$", (await visitor.client.get("/metrics", headers=METRICS)).text, re.MULTILINE
    )
    assert found
    return int(found[1])
