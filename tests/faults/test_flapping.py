"""A model server that comes and goes under fifty conversations: another model goes on, or the question is kept."""

import asyncio
import collections
import itertools
import random
import socket
from collections.abc import AsyncIterator

import pytest

from app.chat.title import ASK
from tests.e2e.model_server import ModelServer
from tests.faults.drawn_tab import DrawnTab, text_of
from tests.faults.site import Site, Visitor, in_background, paced, words
from tests.programs import Program
from tests.scripted import OPENAI, Request, Reset, Script, whole
from tests.watching import PROGRAM_SECONDS, until

CONVERSATIONS = 50
BROKEN: tuple[Script, ...] = (whole(b'{"error": {"message": "out of oil"}}', 503), (Reset(),))


class Flapping(ModelServer):
    """Answers a question that ends in `q7` with numbered words of its own, some in a moment and some for longer.

    Then it fails: `break_down` answers whatever it is asked with one of `BROKEN`, and soon breaks off what it is saying;
    `close` breaks it off at once, and refuses connections from then on. `recover` ends both.
    """

    def __init__(self, model: str, letter: str) -> None:
        super().__init__([model])
        self.letter = letter
        self._faults: itertools.cycle[Script] | None = None
        self._holder = socket.socket()  # bound and not listening: nobody else gets the port while it refuses

    async def start(self, port: int = 0) -> None:
        if not self._holder.getsockname()[1]:
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._holder.bind(("127.0.0.1", port))
        await super().start(self._holder.getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        self._holder.close()

    async def break_down(self) -> None:
        self._faults = itertools.cycle(BROKEN)
        await asyncio.sleep(0.2)  # what breaks off opens the circuit: then nothing is asked any more
        for task in self._connections:
            task.cancel()

    async def recover(self) -> None:
        self._faults = None
        if self._server is None or not self._server.is_serving():
            await self.start()

    async def flap(self) -> None:
        """Down every 1.5 to 3 s until cancelled, in both ways. Up for longer than down: who looks every five seconds whether it
        is back shall find it so, with time left for whole answers.
        """
        for leaves in itertools.cycle((False, True)):
            await self.recover()
            await asyncio.sleep(random.uniform(1, 2))
            if leaves:
                await self.close()
            else:
                await self.break_down()
            await asyncio.sleep(random.uniform(0.5, 1))

    def calls(self) -> collections.Counter[str]:
        """How often it was asked each question."""
        return collections.Counter(_tag_of(request) for request in self.asked)

    def text_for(self, tag: str) -> str:
        return "".join(words(f"{tag}{self.letter}-", _length(tag)))

    def _answer_to(self, request: Request) -> Script:
        if self._faults is not None:
            return next(self._faults)
        if request.path != OPENAI.chat_path or ASK in str(request.json["messages"][-1]):
            return super()._answer_to(request)
        tag = _tag_of(request)
        return paced(f"{tag}{self.letter}-", _length(tag), 20)


@pytest.fixture
async def models() -> AsyncIterator[Flapping]:
    async with Flapping("lantern-7b", "a") as server:
        yield server


async def test_a_flapping_server_under_fifty_conversations_costs_no_turn(site: Site, models: Flapping) -> None:
    async with Flapping("spare", "b") as spare:
        spare_model = await site.connect_spare(spare.url_for(OPENAI))
        people, workers = await _open(site)
        numbers, is_over = itertools.count(), asyncio.Event()

        async def converse(person: Visitor) -> DrawnTab:
            """One question after the other, each watched to its end."""
            tab = await _ask_and_watch(person, f"begin q{next(numbers)}")
            while not is_over.is_set():
                await _ask_and_watch(person, f"go on q{next(numbers)}", tab)
            return tab

        async with in_background(lambda: _make_probes_due(site)):
            async with in_background(models.flap):
                talks = [asyncio.create_task(converse(person)) for person in people]
                await site.until(_MET_EVERYTHING, site.model, spare_model)
                await _until_logged(workers[0], "circuit_opened", 2)
                is_over.set()
            await models.recover()
            tabs = await asyncio.gather(*talks)
            await site.until(_IS_UP)
        await _until_logged(workers[0], "circuit_closed", 2)
        # Now that all is well again both workers call the first model; a busy machine may leave all of a round to one.
        while not await site.database.fetchval(_BOTH_WORK):
            pairs = zip(people, tabs, strict=True)
            await asyncio.gather(*(_ask_and_watch(person, f"last q{next(numbers)}", tab) for person, tab in pairs))
        await asyncio.gather(*(tab.close() for tab in tabs))
        await site.until_final()
        answers = await site.database.fetch(_ANSWERS)
        for row in answers:
            writer = spare if row["model"] == spare_model else models
            if row["status"] == "complete":
                assert row["content"] == writer.text_for(row["tag"])
            else:
                assert (row["status"], writer) == ("interrupted", models), dict(row)
                assert row["content"]
                assert models.text_for(row["tag"]).startswith(row["content"])
        # While there is another model none is asked twice.
        assert {*models.calls().values(), *spare.calls().values()} == {1}
        last = [row for row in answers if row["question"].startswith("last")]
        assert last
        assert {(row["status"], row["model"], row["tried"]) for row in last} == {("complete", site.model, "[]")}
        await site.checker.check()


async def test_when_everything_is_down_each_question_waits_for_its_server(site: Site, models: Flapping) -> None:
    people, _ = await _open(site)
    await models.close()
    tabs = await asyncio.gather(*(_ask_and_watch(person, f"first q{n}") for n, person in enumerate(people[:40])))
    await site.until("SELECT state = 'down' FROM provider WHERE name = 'Scripted'")
    tabs += await asyncio.gather(*(_ask_and_watch(person, f"then q{n}") for n, person in enumerate(people[40:], 40)))
    failed = await site.database.fetch(_ANSWERS)
    ends = {row["question"]: (row["status"], row["error_code"]) for row in failed}
    assert len(ends) == CONVERSATIONS
    assert set(ends.values()) == {("failed", "unreachable"), ("failed", "all_down")}
    assert {ends[f"then q{n}"] for n in range(40, CONVERSATIONS)} == {("failed", "all_down")}
    assert not models.asked
    sentences = {str(row["id"]): row["error_sentence"] for row in failed}
    for tab in tabs:
        question, answer = tab.articles.values()
        assert ends[question.text] == ("failed", "all_down" if "is kept" in sentences[answer.id] else "unreachable")
        assert sentences[answer.id].startswith("Scripted ")
        assert sentences[answer.id] in text_of(answer.root)
        assert "Try again" in text_of(answer.root)

    heard = [tab.events.count("catalog") for tab in tabs]
    await models.recover()
    async with in_background(lambda: _make_probes_due(site)):
        await site.until(_IS_UP)
    for tab, before in zip(tabs, heard, strict=True):
        await tab.until(lambda tab, before=before: tab.events.count("catalog") > before)  # type: ignore[misc]
    await asyncio.gather(*map(_try_again, people, tabs))
    await asyncio.gather(*(tab.close() for tab in tabs))
    await site.until_final()
    answers = await site.database.fetch(_ANSWERS)
    again = [row for row in answers if str(row["id"]) not in sentences]
    assert [dict(row) for row in answers if row not in again] == [dict(row) for row in failed]
    assert sorted(row["tag"] for row in again) == sorted(row["tag"] for row in failed)
    assert {row["status"] for row in again} == {"complete"}
    assert all(row["content"] == models.text_for(row["tag"]) for row in again)
    assert set(models.calls().values()) == {1}
    await site.checker.check()


async def _open(site: Site) -> tuple[list[Visitor], list[Program]]:
    """A web process and two workers; somebody for each conversation, ten people in all."""
    web, *workers = await asyncio.gather(site.web(), site.worker(), site.worker())
    persons = [await site.person(web.base_url) for _ in range(10)]
    return [persons[number % 10] for number in range(CONVERSATIONS)], workers


async def _ask_and_watch(person: Visitor, text: str, tab: DrawnTab | None = None) -> DrawnTab:
    """Ask, in the tab's thread or a new one, and watch the answer to its end."""
    if tab is None:
        turn = await person.begin(text)
        tab = await person.tab(turn.thread).open()
    else:
        turn = await person.ask(text, tab.thread)
    await tab.until(lambda tab: tab.shows_end(str(turn.answer)))
    return tab


async def _try_again(person: Visitor, tab: DrawnTab) -> None:
    """Press Try again below the answer that failed, and watch the other one to its end."""
    failed = list(tab.articles)[-1]
    answer = await person.post(f"/messages/{failed}/generation", model=str(person.site.model))
    assert answer.status_code == 200
    await tab.until(lambda tab: failed not in tab.articles and tab.shows_end(list(tab.articles)[-1]))


async def _make_probes_due(site: Site) -> None:
    """The workers look every five seconds; what is due then need not be waited for any longer."""
    while True:
        await site.database.execute("UPDATE provider SET probe_at = now() WHERE probe_at > now()")
        await site.database.execute("UPDATE model SET trial_at = now() - interval '1 second' WHERE trial_at > now()")
        await asyncio.sleep(0.5)


async def _until_logged(program: Program, event: str, times: int) -> None:
    """Until the log, which all programs of a site share, tells of an event so often."""

    def count() -> int:
        return program.text().count(f'"{event}"')

    await until(f"{event} {times} times in the log", lambda: count() >= times, PROGRAM_SECONDS, shows=count)


def _tag_of(request: Request) -> str:
    return str(request.json["messages"][-1]["content"]).split()[-1]


def _length(tag: str) -> int:
    return (4, 20, 40)[int(tag.removeprefix("q")) % 3]


_IS_UP = """
SELECT p.state = 'ok' AND m.down_since IS NULL FROM provider AS p JOIN model AS m ON m.provider = p.id WHERE p.name = 'Scripted'
"""
_BOTH_WORK = """
SELECT count(DISTINCT g.worker) = 2
FROM message AS a JOIN message AS q ON q.id = a.parent JOIN generation AS g ON g.message = a.id
WHERE q.content LIKE 'last %'
"""
_ANSWERS = """
SELECT a.id, a.status, a.model, a.content, a.tried, a.error_code, a.error_sentence, g.worker, q.content AS question,
       substring(q.content from '\\S+$') AS tag
FROM message AS a JOIN message AS q ON q.id = a.parent JOIN generation AS g ON g.message = a.id
WHERE a.role = 'assistant' ORDER BY a.id
"""

# The first model to its end, and cut; the other one after a call of the first that failed, and by each worker without one.
_MET_EVERYTHING = """
SELECT bool_or(a.model = $1 AND a.status = 'complete') AND bool_or(a.model = $1 AND a.status = 'interrupted')
   AND bool_or(a.model = $2 AND jsonb_array_length(g.provider_attempts) = 2)
   AND count(DISTINCT g.worker) FILTER (WHERE a.model = $2 AND jsonb_array_length(g.provider_attempts) = 1) = 2
FROM message AS a JOIN generation AS g ON g.message = a.id WHERE g.state = 'ended'
"""
