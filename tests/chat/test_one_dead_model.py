"""One model of a server fails in some way, under one, ten and fifty questions: the others answer at once all the while."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from app.chat import circuit
from app.chat.circuit import MOST_FAILURES
from app.chat.new_message import NewMessage
from app.chat.turn import Turn, start_thread
from app.database import fetch, new_id
from app.settings import read
from tests.chat.circuits import add_models, circuit_of, clock, hold_trials, make_trials_due, model_row, provider_row
from tests.chat.conftest import Chat, working
from tests.scripted import OPENAI, Close, Reset, Script, Send, Sleep, Stall, Wait, chunk, whole
from tests.tiers import soaked

SETTINGS = {"PARLEY_DRAIN_SECONDS": "0", "PARLEY_MAX_GENERATIONS": "200"}
#: A model that hangs is given up after two seconds.
HURRIED = SETTINGS | {"PARLEY_FIRST_TOKEN_TIMEOUT_SECONDS": "2", "PARLEY_IDLE_TIMEOUT_SECONDS": "2"}


class Fault(NamedTuple):
    """What a model does instead of answering, and whether that says that it does not work."""

    script: Script
    counts: bool = True


FAULTS = {
    "503": Fault(whole(OPENAI.error_body("loading"), 503)),
    "502 of a router": Fault(whole(b"<html><h1>Bad Gateway</h1>", 502, "text/html")),
    "error in a 200": Fault(OPENAI.stream(OPENAI.error("boom"))),
    "429": Fault(whole(OPENAI.error_body("slow down"), 429), counts=False),
    "429 for an hour": Fault(whole(OPENAI.error_body("slow down"), 429, Retry_After="3600"), counts=False),
    "reset": Fault((Reset(),)),
    "closed": Fault((Close(),)),
    "hangs": Fault((Stall(),)),
    "headers and no token": Fault((OPENAI.head(), Stall())),
    "cuts": Fault((OPENAI.head(), Send(chunk(OPENAI.text("One "))), Sleep(0.05), Close())),
    "silent after a token": Fault((OPENAI.head(), Send(chunk(OPENAI.text("One "))), Stall())),
    "a web page": Fault(whole(b"<html>Hello</html>", 200, "text/html")),
}
ANSWERED = {"complete"}
GIVEN_UP = {"failed", "interrupted"}


class Router:
    """A provider with a model that fails ("scripted") and two that do not."""

    def __init__(self, chat: Chat, provider: uuid.UUID, healthy: Sequence[uuid.UUID]) -> None:
        self.chat = chat
        self.provider = provider
        self.dead = chat.model
        self.healthy = healthy

    def break_down(self, fault: Fault) -> None:
        self.chat.server.scripts["scripted"] = fault.script

    def recover(self) -> None:
        del self.chat.server.scripts["scripted"]

    async def ask(self, model: uuid.UUID, count: int = 1) -> list[Turn]:
        return [
            await start_thread(self.chat.user, NewMessage("Hello", model, new_id()), options="{}", system_prompt="")
            for _ in range(count)
        ]

    async def ends(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(self.chat.final(turn.answer) for turn in turns)))

    async def undisturbed(self, model: uuid.UUID, count: int = 1) -> list[dict[str, Any]]:
        """Answers of what works, asked for again where it seemed as silent as the dead one: the machine stood still."""
        for _ in range(5):
            answers = await self.ends(await self.ask(model, count))
            if not any(answer["error_code"] == "timed_out" or "silent for" in answer["tried"] for answer in answers):
                break
        return answers

    def calls(self, model: str = "scripted") -> int:
        return sum(question.json["model"] == model for question in self.chat.server.questions)


@pytest.fixture
def name() -> str:
    """The fault of a test that does not go through all of them."""
    return "503"


@pytest.fixture
async def router(chat: Chat, provider: uuid.UUID, database: str, name: str) -> AsyncIterator[Router]:
    healthy = await add_models(provider, "healthy", "another")
    chat.server.models = ["scripted", "healthy", "another"]
    is_silent = any(isinstance(step, Stall) for step in FAULTS[name].script)
    async with working(database, read(HURRIED if is_silent else SETTINGS)):
        yield Router(chat, provider, healthy)


async def assert_at_once(router: Router) -> None:
    """Both of the others answer, by themselves and whatever still waits for the dead one."""
    for (answer,) in await asyncio.gather(*(router.undisturbed(model) for model in router.healthy)):
        assert (answer["status"], answer["tried"]) == ("complete", "[]")


@pytest.mark.parametrize("count", [10, soaked(1), soaked(50)])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_model_that_fails_shuts_out_no_other(router: Router, name: str, count: int) -> None:
    fault = FAULTS[name]
    router.break_down(fault)
    turns = await router.ask(router.dead, count)
    await assert_at_once(router)
    assert {answer["status"] for answer in await router.ends(turns)} <= GIVEN_UP
    await assert_at_once(router)
    row, account = await model_row(router.dead), await provider_row(router.provider)
    assert (account["state"], account["failures"]) == ("ok", 0)
    assert row["failures"] <= MOST_FAILURES
    assert (row["failures"] > 0) is fault.counts
    if fault.counts and count > MOST_FAILURES:
        assert (await circuit_of(router.dead)).needs_trial
    for model in router.healthy:
        assert (await model_row(model))["failures"] == 0


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.counts])
async def test_it_is_refused_at_once_or_another_one_answers_and_it_is_used_when_it_is_back(
    router: Router, name: str
) -> None:
    router.break_down(FAULTS[name])
    await router.ends(await router.ask(router.dead, 10))
    await hold_trials()
    calls = router.calls()
    (refused,) = await router.ends(await router.ask(router.dead))
    assert (refused["error_code"], "The model scripted does not answer" in refused["error_sentence"]) == (
        "all_down", True,
    )  # fmt: skip
    await fall_back_on(router.dead, router.healthy[0])
    for answer in await router.undisturbed(router.dead, 10):
        assert (answer["status"], answer["model_label"]) == ("complete", "healthy")
        assert "scripted is not answering and was not called" in answer["tried"]
    assert router.calls() == calls
    router.recover()
    assert await circuit.list_answerable([refused["id"]]) == {refused["id"]}, "its fallback would answer now"
    await make_trials_due()
    (answer,) = await router.undisturbed(router.dead)
    assert (answer["status"], answer["model_label"], answer["tried"]) == ("complete", "scripted", "[]")
    assert not (await circuit_of(router.dead)).needs_trial
    answers = await router.undisturbed(router.dead, 10)
    assert {answer["model_label"] for answer in answers} == {"scripted"}


async def fall_back_on(model: uuid.UUID, other: uuid.UUID) -> None:
    await fetch("UPDATE model SET fallbacks = jsonb_build_array($2::text) WHERE id = $1", model, str(other))


@pytest.mark.parametrize("name", ["503", "hangs", "cuts"])
async def test_some_seconds_after_its_return_questions_are_answered(router: Router, name: str) -> None:
    """No clock is moved and no schedule helps: people ask again and again, as people do, and are refused until the pause ends."""
    router.break_down(FAULTS[name])
    await router.ends(await router.ask(router.dead, 10))
    assert (await circuit_of(router.dead)).needs_trial
    router.recover()
    due_at = (await model_row(router.dead))["trial_at"]
    assert due_at - await clock() <= timedelta(seconds=circuit.TRIAL_PAUSE_SECONDS)
    while True:
        asked_at = await clock()
        (answer,) = await router.ends(await router.ask(router.dead))
        if answer["status"] == "complete":
            break
        if answer["error_code"] == "timed_out":  # the machine stood still during the trial
            due_at = (await model_row(router.dead))["trial_at"]
        assert asked_at < due_at, "a question was refused though its trial was due"
        await asyncio.sleep(0.2)


async def test_the_one_who_tries_gets_an_answer_by_fallback_and_does_not_wait_long(
    chat: Chat, provider: uuid.UUID, database: str
) -> None:
    """The model hangs; by itself it would be waited for two minutes."""
    router = Router(chat, provider, await add_models(provider, "healthy"))
    router.break_down(FAULTS["hangs"])
    await fall_back_on(router.dead, router.healthy[0])
    await open_circuit(router.dead)
    async with working(database, read({"PARLEY_DRAIN_SECONDS": "0"})):
        answers = await router.ends(await router.ask(router.dead, 5))
    assert {(answer["status"], answer["model_label"]) for answer in answers} == {("complete", "healthy")}
    tried = sum("silent for 10 seconds" in answer["tried"] for answer in answers)
    assert 1 <= tried == router.calls() < 5  # more than one where the machine was slower than the pause between trials
    assert sum("was not called" in answer["tried"] for answer in answers) == 5 - tried


@pytest.mark.parametrize("is_loaded", [soaked(True), soaked(None), False])
async def test_one_that_failed_just_now_is_not_waited_for_long_unless_it_must_be_loaded(
    chat: Chat, provider: uuid.UUID, database: str, is_loaded: bool | None
) -> None:
    """Its circuit closed because nobody asked; the server begins its answer after a while."""
    router = Router(chat, provider, await add_models(provider, "healthy"))
    router.break_down(Fault((OPENAI.head(), Sleep(12.0), *OPENAI.answer(["Late."])[1:])))
    await fall_back_on(router.dead, router.healthy[0])
    await fetch(
        "UPDATE model SET failures = $2, failing_since = now(), is_loaded = $3 WHERE id = $1",
        router.dead, MOST_FAILURES - 1, is_loaded,
    )  # fmt: skip
    async with working(database, read({"PARLEY_DRAIN_SECONDS": "0"})):
        (answer,) = await router.ends(await router.ask(router.dead))
    assert answer["content"].startswith("Late." if is_loaded is False else "Seven quiet lanterns")
    assert (await circuit_of(router.dead)).needs_trial is (is_loaded is not False)


async def open_circuit(model: uuid.UUID) -> None:
    """Its next trial is due."""
    await fetch(
        "UPDATE model SET failures = $2, failing_since = now(), down_since = now(), trial_at = now() WHERE id = $1",
        model, MOST_FAILURES,
    )  # fmt: skip


async def test_a_model_whose_circuit_opened_meanwhile_is_not_called_again(router: Router) -> None:
    """Each of these would be called three times by itself."""
    router.break_down(FAULTS["503"])
    turns = await router.ask(router.dead, 20)
    assert {answer["error_code"] for answer in await router.ends(turns)} <= {"overloaded", "all_down"}
    assert router.calls() < 2 * len(turns)


async def test_a_trial_without_a_fallback_is_one_call(router: Router) -> None:
    router.break_down(FAULTS["503"])
    await open_circuit(router.dead)
    (answer,) = await router.ends(await router.ask(router.dead))
    assert (answer["status"], answer["error_code"], router.calls()) == ("failed", "overloaded", 1)


async def test_a_fallback_on_trial_that_another_one_tries_leaves_the_first_ones_reason(router: Router) -> None:
    """The trial of the fallback is taken by another question between this one's claim and its turn."""
    chat = router.chat
    gate = asyncio.Event()
    router.break_down(Fault((Wait(gate), *FAULTS["503"].script)))
    await fall_back_on(router.dead, router.healthy[0])
    await open_circuit(router.healthy[0])
    turns = await router.ask(router.dead)
    await chat.server.next_question()
    await hold_trials()
    gate.set()
    (answer,) = await router.ends(turns)
    assert (answer["status"], answer["error_code"], router.calls("healthy")) == ("failed", "overloaded", 0)


async def test_all_models_that_fail_are_said_to_be_the_server_and_the_first_answer_ends_that(router: Router) -> None:
    chat = router.chat
    names = {router.dead: "scripted", router.healthy[0]: "healthy"}
    for model, name in names.items():
        chat.server.scripts[name] = FAULTS["503"].script
        await router.ends(await router.ask(model, 4))
    assert (await provider_row(router.provider))["state"] == "failing"
    await fetch("UPDATE model SET trial_at = now() + interval '1 hour'")
    (refused,) = await router.ends(await router.ask(router.healthy[1]))
    assert refused["error_sentence"].startswith("Scripted does not answer at the moment.")
    await make_trials_due()
    (answer,) = await router.ends(await router.ask(router.healthy[1]))
    assert answer["status"] == "complete"
    assert (await provider_row(router.provider))["state"] == "ok"


async def test_calls_of_each_model_are_three_at_most_whatever_came_before_it(router: Router) -> None:
    """The first one is passed without a call, since the prompt does not fit, and the last one is called no more often."""
    chat = router.chat
    await fetch("UPDATE model SET set_by_owner = '{\"context_window\": 64}' WHERE id = $1", router.dead)
    await fetch(
        "UPDATE model SET fallbacks = $2::jsonb WHERE id = $1",
        router.dead,
        msgspec.json.encode([str(router.dead), str(router.healthy[0]), str(router.healthy[0])]).decode(),
    )
    chat.server.scripts["healthy"] = FAULTS["503"].script
    new = NewMessage("word " * 400, router.dead, new_id())
    turn = await start_thread(chat.user, new, options="{}", system_prompt="")
    (answer,) = await router.ends([turn])
    assert (answer["status"], answer["error_code"]) == ("failed", "overloaded")
    assert (router.calls(), router.calls("healthy")) == (0, 3)


async def test_a_pause_between_calls_ends_with_the_deadline(chat: Chat, database: str) -> None:
    chat.server.scripts["scripted"] = whole(OPENAI.error_body("slow down"), 429, Retry_After="30")
    settings = read({"PARLEY_GENERATION_DEADLINE_SECONDS": "2", "PARLEY_DRAIN_SECONDS": "0"})
    async with working(database, settings):
        answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "deadline")
    assert len(chat.server.questions) <= 1  # none where the machine stood still before the first
