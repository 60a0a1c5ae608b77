"""The circuit of a model: opened by failures in a row, tried by one call at a time, the same to every process."""

import asyncio
import subprocess
import sys
import uuid
from datetime import timedelta
from typing import Any

import pytest

from app.chat import catalog, circuit
from app.chat.circuit import MOST_FAILURES, TRIAL_PAUSE_SECONDS, all_down, close_quiet
from app.chat.health import gather
from app.chat.judgement import judge, plain
from app.chat.worker import Worker
from app.database import fetch
from app.providers.errors import (
    BadAnswer,
    BadRequest,
    GaveUp,
    KeyRejected,
    NoMemory,
    NotConnected,
    Overloaded,
    RateLimited,
    SaidNothing,
    StreamCut,
    TimedOut,
    Unreachable,
)
from tests import watching
from tests.chat.circuits import SENTENCE, add_models, circuit_of, clock, fail, make_trials_due, model_row, provider_row
from tests.chat.conftest import Chat
from tests.chat.test_catalog import refresh
from tests.programs import ROOT
from tests.scripted import OPENAI
from tests.scripted.steps import Close, Send, Sleep, chunk
from tests.watching import PROGRAM_SECONDS

#: What stands with the model: nothing that a server said of one person's question.
TOLD = "It answers with errors."


async def is_open(model: uuid.UUID) -> bool:
    return (await circuit_of(model)).is_open


async def test_failures_in_a_row_open_it_and_a_trial_that_is_answered_closes_it(
    chat: Chat, provider: uuid.UUID, heard: list[str]
) -> None:
    await fail(chat.model, MOST_FAILURES - 1)
    assert not await is_open(chat.model)
    await fail(chat.model, 1)
    row = await model_row(chat.model)
    assert await is_open(chat.model)
    assert (row["error"], row["down_since"] is None) == (TOLD, False)
    assert (await provider_row(provider))["state"] == "ok", "one model's failures are not its server's"
    (choice,) = await catalog.list_models(chat.user)
    assert (choice["is_available"], choice["is_silent"]) == (True, True)
    await until(heard, 1)
    assert not await (await circuit_of(chat.model)).may_call()
    await make_trials_due()
    trial = await circuit_of(chat.model)
    assert await trial.may_call()
    await trial.note_begun()
    assert not await is_open(chat.model), "it closes with the first token, not at the end of a long answer"
    assert (await model_row(chat.model))["failures"] == MOST_FAILURES - 1
    await until(heard, 2)
    await trial.note_success()
    row = await model_row(chat.model)
    assert (row["failures"], row["error"], row["down_since"], row["trial_at"]) == (0, "", None, None)
    assert heard == ["catalog", "catalog"]


async def test_other_models_of_the_provider_are_called_as_before(chat: Chat, provider: uuid.UUID) -> None:
    (other,) = await add_models(provider, "other")
    await fail(chat.model, 3 * MOST_FAILURES)
    found = await circuit_of(other)
    assert (found.is_open, found.needs_trial, await found.may_call()) == (False, False, True)


async def test_of_many_at_once_one_makes_the_trial(chat: Chat) -> None:
    await fail(chat.model)
    await make_trials_due()
    waiting = [await circuit_of(chat.model) for _ in range(50)]
    assert not any(each.is_open for each in waiting)
    before = await clock()
    assert sum(await asyncio.gather(*(each.may_call() for each in waiting))) == 1
    assert (await model_row(chat.model))["trial_at"] > before, "and those that come now wait for the next"


async def test_nothing_moves_the_next_trial_but_a_trial(chat: Chat) -> None:
    """Calls that hang fail long after the circuit opened: were the pause counted from then on, it would never end."""
    opened, later = None, None
    for opened_by in range(MOST_FAILURES + 10):
        await (await circuit_of(chat.model)).note_failure(Overloaded(SENTENCE))
        later = await model_row(chat.model)
        opened = later if opened_by == MOST_FAILURES - 1 else opened
    assert opened
    assert later
    assert (later["trial_at"], later["down_since"]) == (opened["trial_at"], opened["down_since"])
    assert (opened["trial_at"] - opened["down_since"]).total_seconds() == TRIAL_PAUSE_SECONDS


async def test_a_trial_that_fails_leaves_it_open_for_the_same_pause(chat: Chat) -> None:
    await fail(chat.model)
    for _ in range(4):
        await make_trials_due()
        trial, before = await circuit_of(chat.model), await clock()
        assert await trial.may_call()
        taken = await clock()
        await trial.note_failure(Overloaded(SENTENCE))
        row = await model_row(chat.model)
        assert before <= row["trial_at"] - timedelta(seconds=TRIAL_PAUSE_SECONDS) <= taken
        assert row["down_since"]


async def test_an_answer_that_was_begun_before_it_opened_does_not_close_it(chat: Chat) -> None:
    begun = await circuit_of(chat.model)
    await fail(chat.model)
    await begun.note_begun()
    await begun.note_success()
    assert await is_open(chat.model)


async def test_an_open_circuit_that_nobody_tries_closes_and_the_next_failure_opens_it(
    chat: Chat, heard: list[str]
) -> None:
    await fail(chat.model)
    await close_quiet()
    assert await is_open(chat.model), "its pause is not over"
    await fetch("UPDATE model SET trial_at = now() - interval '2 seconds'")
    await close_quiet()
    row = await model_row(chat.model)
    assert (row["down_since"], row["failures"], await is_open(chat.model)) == (None, MOST_FAILURES - 1, False)
    await until(heard, 2)
    await fail(chat.model, 1)
    assert await is_open(chat.model)


async def test_two_models_that_fail_mean_the_provider_unless_one_answered_lately(
    chat: Chat, provider: uuid.UUID, heard: list[str]
) -> None:
    second, third = await add_models(provider, "second", "third")
    await (await circuit_of(third)).note_success()
    await fail(chat.model)
    await fail(second)
    assert (await provider_row(provider))["state"] == "ok", "the third answered a moment ago"
    await fetch("UPDATE provider SET answered_at = now() - interval '66 seconds'")
    await fail(second, 1)
    row = await provider_row(provider)
    assert (row["state"], row["error"], row["down_since"] is None) == ("failing", TOLD, False)
    await until(heard, 3)
    trial = await circuit_of(third)
    assert trial.needs_trial
    before = await clock()
    assert await trial.may_call()
    assert (await model_row(third))["trial_at"] > before, "one question at a time tries a model of such a provider"
    await trial.note_begun()
    row = await provider_row(provider)
    assert (row["state"], row["error"], row["down_since"]) == ("ok", "", None)
    assert not (await circuit_of(third)).needs_trial
    assert await is_open(second)
    await until(heard, 4)


async def test_a_provider_is_not_failing_any_more_when_its_models_are_not(chat: Chat, provider: uuid.UUID) -> None:
    (second,) = await add_models(provider, "second")
    await fail(chat.model)
    await fail(second)
    assert (await provider_row(provider))["state"] == "failing"
    await close_quiet()
    assert (await provider_row(provider))["state"] == "failing"
    await fetch("UPDATE model SET trial_at = now() - interval '2 seconds'")
    await close_quiet()
    assert (await provider_row(provider))["state"] == "ok"


async def test_a_good_call_in_between_begins_the_count_anew(chat: Chat) -> None:
    await fail(chat.model, MOST_FAILURES - 1)
    await (await circuit_of(chat.model)).note_success()
    await fail(chat.model, MOST_FAILURES - 1)
    assert not await is_open(chat.model)


async def test_answers_are_noted_now_and_then_where_nothing_had_failed(
    chat: Chat, provider: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit, "NOTED_SECONDS", 240.0)
    found = await circuit_of(chat.model)
    await found.note_success()
    noted = (await provider_row(provider))["answered_at"]
    assert noted is not None
    await found.note_success()
    assert (await provider_row(provider))["answered_at"] == noted
    await fetch("UPDATE model SET failures = 2, failing_since = now()")
    await (await circuit_of(chat.model)).note_success()
    row = await model_row(chat.model)
    assert (row["failures"], row["failing_since"]) == (0, None)


async def test_failures_that_lie_far_apart_open_nothing(chat: Chat) -> None:
    for _ in range(3 * MOST_FAILURES):
        await fail(chat.model, 1)
        await fetch("UPDATE model SET failing_since = failing_since - interval '20 seconds'")
    assert not await is_open(chat.model)


async def test_failures_that_took_long_open_it_like_quick_ones(chat: Chat) -> None:
    """Each of these calls hung for two minutes, and nobody asked in between."""
    for _ in range(MOST_FAILURES):
        await fetch("UPDATE model SET failing_since = failing_since - interval '121 seconds'")
        await (await circuit_of(chat.model)).note_failure(TimedOut(SENTENCE), seconds=120)
    assert (await circuit_of(chat.model)).needs_trial


@pytest.mark.parametrize("kind", [RateLimited, KeyRejected, BadRequest, NoMemory, GaveUp, SaidNothing])
async def test_what_says_that_the_model_is_there_does_not_count(chat: Chat, kind: type[Any]) -> None:
    await fail(chat.model, 2 * MOST_FAILURES, kind(SENTENCE))
    assert (await model_row(chat.model))["failures"] == 0


@pytest.mark.parametrize("kind", [Unreachable, TimedOut, Overloaded, StreamCut, BadAnswer])
async def test_what_says_that_it_is_not_counts(chat: Chat, provider: uuid.UUID, kind: type[Any]) -> None:
    await fail(chat.model, MOST_FAILURES, kind(SENTENCE))
    assert await is_open(chat.model)
    assert (await provider_row(provider))["failures"] == 0


async def test_a_connection_that_could_not_be_made_is_the_providers_failure(chat: Chat, provider: uuid.UUID) -> None:
    await fail(chat.model, MOST_FAILURES, NotConnected(SENTENCE))
    row = await model_row(chat.model)
    assert (row["failures"], row["down_since"]) == (0, None)
    assert (await provider_row(provider))["state"] == "down"


async def test_the_engine_of_one_model_that_is_gone_is_that_models_failure(chat: Chat, provider: uuid.UUID) -> None:
    """Each model that we run ourselves has a server of its own."""
    await fetch("UPDATE provider SET kind = 'llamacpp'")
    await fail(chat.model, MOST_FAILURES, NotConnected(SENTENCE))
    assert await is_open(chat.model)
    assert (await provider_row(provider))["state"] == "ok"


async def test_a_model_that_cuts_every_answer_is_not_called_any_more(chat: Chat, worker: Worker) -> None:
    """A good answer in between forgives the cuts before it."""
    cut = (OPENAI.head(), Send(chunk(OPENAI.text("One "))), Sleep(0.05), Close())
    for script in [cut] * (MOST_FAILURES - 1) + [chat.server.defaults[OPENAI.kind]] + [cut] * MOST_FAILURES:
        assert not await is_open(chat.model)
        chat.server.script(*script)
        await chat.final((await chat.ask()).answer)
    assert (await circuit_of(chat.model)).needs_trial


async def test_nonsense_within_an_answer_may_be_the_models_own(chat: Chat) -> None:
    found = await circuit_of(chat.model)
    for _ in range(2 * MOST_FAILURES):
        await found.note_failure(BadAnswer(SENTENCE), has_begun=True)
    assert (await model_row(chat.model))["failures"] == 0


async def test_fifty_that_fail_at_once_open_it_once(chat: Chat, heard: list[str]) -> None:
    await asyncio.gather(*(fail(chat.model, 3) for _ in range(50)))
    assert (await model_row(chat.model))["failures"] == MOST_FAILURES
    assert await is_open(chat.model)
    await until(heard, 1)
    assert heard == ["catalog"]


async def test_failures_at_once_are_all_counted(chat: Chat) -> None:
    await asyncio.gather(*(fail(chat.model, 1) for _ in range(MOST_FAILURES - 1)))
    assert (await model_row(chat.model))["failures"] == MOST_FAILURES - 1


async def test_failures_answers_and_looks_at_once_wait_for_no_lock_in_a_ring(chat: Chat, provider: uuid.UUID) -> None:
    (other,) = await add_models(provider, "other")
    found = [await circuit_of(model) for model in (chat.model, other)]

    async def fail_and_answer(each: circuit.Circuit) -> None:
        for _ in range(10):
            await each.note_failure(Overloaded(SENTENCE))
            await fetch("UPDATE model SET refused = '[\"top_k\"]' WHERE id = $1", each.model)
            await each.note_success()

    async def look() -> None:
        for number in range(10):
            await refresh_with(chat, f"size-{number}")

    await asyncio.gather(*(fail_and_answer(each) for each in found * 4), look(), look())


async def refresh_with(chat: Chat, name: str) -> None:
    chat.server.models = ["scripted", "other", name]
    assert await refresh() == ""


async def test_health_names_the_model_and_not_its_server(chat: Chat) -> None:
    await fail(chat.model)
    sections = plain(judge(await gather(patience_seconds=60)))
    found = {line.part: line for section in sections if section.name == "providers" for line in section.lines}
    assert found["Scripted"].state == "ok"
    line = found["scripted · Scripted"]
    assert (line.state, "has not answered for" in line.facts, TOLD in line.facts) == ("look", True, True)


async def test_two_processes_see_the_same_circuit(chat: Chat, provider: uuid.UUID, database: str) -> None:
    others = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER, database, str(chat.model), cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [(await asyncio.wait_for(other.communicate(), PROGRAM_SECONDS))[0].decode().split()[-1] for other in others]
    assert set(said) <= {"open", "closed"}
    assert "open" in said  # to the last one, at least
    assert await is_open(chat.model)


async def test_what_people_are_told_names_the_model_or_the_server_that_is_missing(
    chat: Chat, provider: uuid.UUID
) -> None:
    await fail(chat.model)
    first = await circuit_of(chat.model)
    assert "The model scripted does not answer" in all_down([first]).sentence
    (other,) = await add_models(provider, "other")
    assert "None of other, scripted answers" in all_down([await circuit_of(other), first]).sentence
    await fetch("UPDATE provider SET state = 'down', probe_at = now()")
    assert all_down([await circuit_of(chat.model)]).sentence.startswith("Scripted does not answer")
    assert all_down([first]).code == "all_down"


async def until(heard: list[str], count: int) -> None:
    """So many news are heard."""
    await watching.until(f"{count} news", lambda: len(heard) >= count)


#: Notes three failures, and says what it sees.
_OTHER = """
import asyncio, sys, uuid
from app import database
from tests.chat.circuits import circuit_of, fail

async def main(url, model):
    await database.open_pool(url, size=2)
    await fail(model, 3)
    print("open" if (await circuit_of(model)).is_open else "closed")
    await database.close_pool()

asyncio.run(main(sys.argv[1], uuid.UUID(sys.argv[2])))
"""
