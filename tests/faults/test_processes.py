"""Workers that stand still, that are told to end, that are replaced under load; web and worker in two processes."""

import asyncio
import signal

from tests.e2e.model_server import ModelServer
from tests.faults.ledger import Acknowledged
from tests.faults.relay import Dial, Relay, to_port
from tests.faults.site import Site, held, paced, words
from tests.programs import Program
from tests.scripted import OPENAI, Send, Stall, chunk
from tests.watching import PROGRAM_SECONDS

PATIENT = {"PARLEY_DRAIN_SECONDS": "100"}


async def test_a_frozen_worker_is_fenced_and_begins_again(site: Site, models: ModelServer) -> None:
    """It stands still for longer than it may; what it wrote of is resolved, what it writes then does not count."""
    web = await site.web()
    frozen = await site.worker()
    alice = await site.person(web.base_url)
    talking = (OPENAI.head(), *(Send(chunk(OPENAI.text(word))) for word in words("w", 5)), Stall())
    for script in ([talking] * 4) + ([(Stall(),)] * 3):
        models.script(*script)
    begun = [await alice.begin(f"one {n}") for n in range(4)]
    await models.next_question(4)
    waiting = [await alice.begin(f"two {n}") for n in range(3)]
    await models.next_question(7)
    await site.until("SELECT count(DISTINCT generation_id) = 4 FROM delta WHERE body LIKE '%w4 '")
    models.defaults[OPENAI.kind] = paced("new", 5, 50)
    other = await site.worker()
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        await site.until_final()
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    await asyncio.to_thread(frozen.wait_for_line, "worker_begins_again", PROGRAM_SECONDS)
    assert await _ends(site, begun) == [("interrupted", "".join(words("w", 5)))] * 4
    assert await _ends(site, waiting) == [("complete", "".join(words("new", 5)))] * 3
    # It is a worker like any other now.
    await asyncio.to_thread(other.kill)
    again = await alice.begin("three")
    await site.until_final()
    assert await _ends(site, [again]) == [("complete", "".join(words("new", 5)))]
    await site.checker.check()


async def test_a_worker_that_is_told_to_end_drains(site: Site, models: ModelServer) -> None:
    web = await site.web()
    models.defaults[OPENAI.kind] = paced("w", 40, 20)
    patient = await site.worker(environment=PATIENT)
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(5)]
    await site.until("SELECT count(DISTINCT generation_id) = 5 FROM delta")
    assert await asyncio.to_thread(patient.stop, PROGRAM_SECONDS) == 0
    assert await _ends(site, turns) == [("complete", "".join(words("w", 40)))] * 5
    # With less patience than an answer needs, it is interrupted and kept; what was only queued waits for another one.
    models.defaults[OPENAI.kind] = held(asyncio.Event(), "w", 40, 20, before=10)
    hasty = await site.worker(environment={"PARLEY_DRAIN_SECONDS": "0.5", "PARLEY_MAX_GENERATIONS": "3"})
    turns = [await alice.begin(f"two {n}") for n in range(5)]
    await site.until("SELECT count(DISTINCT generation_id) = 8 FROM delta")
    await site.keep_waiting()
    models.defaults[OPENAI.kind] = paced("w", 40, 20)
    assert await asyncio.to_thread(hasty.stop) == 0
    ends = await _ends(site, turns)
    assert sorted(status for status, _ in ends) == ["interrupted"] * 3 + ["queued"] * 2
    assert all("".join(words("w", 40)).startswith(content) for _, content in ends)
    await site.worker()
    await site.until_final()
    assert sorted(status for status, _ in await _ends(site, turns)) == ["complete"] * 2 + ["interrupted"] * 3
    await site.checker.check()


async def test_answers_that_wait_for_a_slot_are_no_orphans(site: Site, models: ModelServer) -> None:
    """They wait longer than a lost job may; each is asked once, and each gets its turn."""
    models.defaults[OPENAI.kind] = paced("w", 30, 10)
    web = await site.serve(environment={"PARLEY_MAX_GENERATIONS": "2"})
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(6)]
    await site.until_final()
    assert await _ends(site, turns) == [("complete", "".join(words("w", 30)))] * 6
    assert len(models.asked) == 6
    assert (await site.row("SELECT max(attempt) AS most FROM generation"))["most"] == 1
    await site.checker.check()


async def test_a_rolling_restart_under_fifty_turns_fails_no_request(site: Site, models: ModelServer) -> None:
    gate = asyncio.Event()
    models.defaults[OPENAI.kind] = held(gate, "w", 30, 5, before=3)
    webs = [await site.web(environment=PATIENT) for _ in range(2)]
    workers = [await site.worker(environment=PATIENT) for _ in range(2)]
    async with Relay(*map(_dial, webs)) as relay:
        people = [await site.person(f"http://127.0.0.1:{relay.port}") for _ in range(10)]
        is_rolling = asyncio.Event()

        async def converse(number: int) -> None:
            """Two turns, each watched to its end; one request a connection, as a proxy would make of it."""
            person = people[number % len(people)]
            person.client.headers["connection"] = "close"
            turn = await person.begin(f"one {number}")
            tab = await person.tab(turn.thread).open()
            for is_last in (False, True):
                await tab.until(lambda tab: tab.articles and tab.running is None)
                if not is_last:
                    await is_rolling.wait()
                    await site.until(
                        "SELECT NOT EXISTS (SELECT 1 FROM generation WHERE thread = $1 AND state <> 'ended')",
                        turn.thread,
                    )
                    await person.ask(f"two {number}", turn.thread)
                    await tab.until(lambda tab: len(tab.articles) == 4)
            assert not tab.failed, tab.failed
            await tab.close()

        async def roll() -> None:
            await site.until("SELECT count(*) = 50 FROM generation WHERE state = 'running'")
            gate.set()
            for number in range(2):
                fresh = await site.web(environment=PATIENT)
                relay.dials = [
                    _dial(fresh),
                    *(_dial(web) for web in webs if web.is_running and web is not webs[number]),
                ]
                is_rolling.set()
                await relay.until_answered()  # what a proxy has sent to a server must have come before that ends
                assert await asyncio.to_thread(webs[number].stop, PROGRAM_SECONDS) == 0
                webs[number] = fresh
                relay.dials = list(map(_dial, webs))
                replacement = await site.worker(environment=PATIENT)
                assert await asyncio.to_thread(workers[number].stop, PROGRAM_SECONDS) == 0
                workers[number] = replacement

        await asyncio.gather(roll(), *(converse(number) for number in range(50)))
        assert len(site.ledger.turns) == 100
        rows = await site.database.fetch("SELECT status, content FROM message WHERE role = 'assistant'")
        assert {tuple(row) for row in rows} == {("complete", "".join(words("w", 30)))}
        assert len(rows) == 100
    await site.checker.check()


async def test_web_and_worker_in_two_processes_and_two_viewers(site: Site, models: ModelServer) -> None:
    models.defaults[OPENAI.kind] = paced("w", 30, 20)
    webs = [await site.web(), await site.web()]
    await site.worker()
    alice = await site.person(webs[0].base_url)
    elsewhere = await site.device(alice, webs[1].base_url)
    turn = await alice.begin("one")
    tabs = [await alice.tab(turn.thread).open(), await elsewhere.tab(turn.thread).open()]
    await asyncio.gather(*(tab.until(lambda tab: tab.shows_end(str(turn.answer))) for tab in tabs))
    await site.until("SELECT html <> '' FROM message WHERE id = $1", turn.answer)
    stored = (await site.row("SELECT html FROM message WHERE id = $1", turn.answer))["html"]
    for tab in tabs:
        assert stored in tab.articles[str(turn.answer)].html()
        assert tab.articles[str(turn.answer)].html() == tabs[0].articles[str(turn.answer)].html()
        await tab.close()
    await site.checker.check()


def _dial(web: Program) -> Dial:
    return to_port(int(web.base_url.rsplit(":", 1)[1]))


async def _ends(site: Site, turns: list[Acknowledged]) -> list[tuple[str, str]]:
    rows = await site.database.fetch(
        "SELECT status, content FROM message WHERE id = ANY($1) ORDER BY id", [turn.answer for turn in turns]
    )
    return [(row["status"], row["content"]) for row in rows]
