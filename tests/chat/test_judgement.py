"""What is fine, what is to be looked at, and what is said about it."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from app import words
from app.chat.health import Health, ModelFacts, ProcessFacts, ProviderFacts, ScheduleFacts, Stored, WorkerFacts
from app.chat.judgement import Line, count_troubles, judge, plain, worst

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


WORKER = WorkerFacts("harbour:12", ago(3600), ago(1), 3)
SCHEDULE = ScheduleFacts("upkeep", ago(30), ago(-30), is_running=False)
PROVIDER = ProviderFacts(
    uuid.UUID(int=1),
    "Harbour",
    "openai",
    "ok",
    "",
    12,
    ago(20),
    down_since=None,
    failures=0,
    is_open=False,
    next_probe_at=None,
)
STORED = Stored(
    NOW, "18.4", "2026-11-21", 24_000_000, waiting=0, oldest_waiting_at=None, running=3, jobs=0, oldest_job_at=None,
    delta_rows=1200, workers=(WORKER,), schedules=(SCHEDULE,), providers=(PROVIDER,),
)  # fmt: skip
PROCESS = ProcessFacts(
    uptime_seconds=90, viewers=2, running=3, pending_chars=0, loop_lag_seconds=0.0, connections=3, idle_connections=2
)
FINE = Health(NOW, "0.1.0", "3.11.2", PROCESS, latency_ms=0.4, stored=STORED)


def lines_of(health: Health) -> dict[str, Line]:
    """The lines that are to be looked at, by section."""
    return {section.name: line for section in plain(judge(health)) for line in section.lines if line.state != "ok"}


def stored(**changes: Any) -> Health:
    return msgspec.structs.replace(FINE, stored=msgspec.structs.replace(STORED, **changes))


def test_everything_is_fine() -> None:
    sections = judge(FINE)
    assert (worst(sections), count_troubles(sections)) == ("ok", 0)
    assert all(line.facts and not line.advice for section in sections for line in section.lines)


def test_a_database_that_is_away_is_all_that_is_said() -> None:
    health = msgspec.structs.replace(FINE, stored=None, latency_ms=None, process=None, error="ConnectionRefusedError")
    (section,) = judge(health)
    assert worst([section]) == "down"
    assert "ConnectionRefusedError" in section.lines[0].facts
    assert "Start Postgres" in section.lines[0].advice


def test_a_database_that_is_slow_is_to_be_looked_at() -> None:
    assert "slowly" in lines_of(msgspec.structs.replace(FINE, latency_ms=240.0))["database"].advice


def test_a_queue_that_nobody_empties_does_not_work_and_one_that_is_long_is_to_be_looked_at() -> None:
    alone = lines_of(stored(waiting=2, oldest_waiting_at=ago(3), workers=()))
    assert (alone["answers"].state, alone["workers"].state) == ("down", "down")
    full = lines_of(stored(waiting=2, oldest_waiting_at=ago(30)))
    assert full["answers"].state == "look"
    assert "PARLEY_MAX_GENERATIONS" in full["answers"].advice
    assert not lines_of(stored(waiting=2, oldest_waiting_at=ago(1)))


def test_a_silent_worker_is_to_be_looked_at() -> None:
    silent = msgspec.structs.replace(WORKER, seen_at=ago(8))
    assert "silent" in lines_of(stored(workers=(WORKER, silent)))["workers"].advice


def test_a_model_server_that_is_down_says_since_when_and_when_it_is_asked_again() -> None:
    down = msgspec.structs.replace(
        PROVIDER, state="down", error="Harbour cannot be reached.", down_since=ago(125), next_probe_at=ago(-20)
    )
    line = lines_of(stored(providers=(down,)))["providers"]
    assert line.state == "down"
    assert "2 min 5 s: Harbour cannot be reached. Asked again in 20 s." in line.facts
    now = msgspec.structs.replace(down, next_probe_at=ago(1))
    assert lines_of(stored(providers=(now,)))["providers"].facts.endswith("Asked again now.")
    assert (line.advice, line.page) == ("Start it, or mend its address or key.", "/providers")


def test_a_model_server_that_has_just_failed_or_was_never_asked_is_to_be_looked_at() -> None:
    assert (
        "2 calls failed"
        in lines_of(stored(providers=(msgspec.structs.replace(PROVIDER, failures=2),)))["providers"].facts
    )
    assert lines_of(stored(providers=(msgspec.structs.replace(PROVIDER, state="unknown"),)))["providers"].advice
    assert lines_of(stored(providers=()))["providers"].advice


def test_a_list_that_was_refused_is_no_server_that_is_down() -> None:
    stale = msgspec.structs.replace(
        PROVIDER, state="stale", error="Harbour asks to slow down.", next_probe_at=ago(-600)
    )
    line = lines_of(stored(providers=(stale,)))["providers"]
    assert line.state == "look"
    assert line.facts == (
        "Its list of models could not be refreshed: Harbour asks to slow down. Asked again in 10 min 0 s."
    )
    assert line.advice.startswith("Its models stay available.")


def test_a_model_that_fails_has_a_line_of_its_own_and_its_server_is_fine() -> None:
    silent = ModelFacts("lantern-7b", 5, "Harbour has a problem of its own.", ago(12), ago(-2))
    touchy = ModelFacts("tide-2b", 2, "Harbour broke off.", None, None)
    provider = msgspec.structs.replace(PROVIDER, models=(silent, touchy))
    (section,) = (each for each in plain(judge(stored(providers=(provider,)))) if each.name == "providers")
    harbour, first, second = section.lines
    assert harbour.state == "ok"
    assert (first.part, first.state) == ("lantern-7b · Harbour", "look")
    assert first.facts == "The model has not answered for 12 s: Harbour has a problem of its own."
    assert (second.part, second.facts) == ("tide-2b · Harbour", "2 calls failed just now: Harbour broke off.")


def test_a_server_none_of_whose_models_answers_does_not_work() -> None:
    failing = msgspec.structs.replace(PROVIDER, state="failing", error="Harbour is out of oil.", down_since=ago(125))
    line = lines_of(stored(providers=(failing,)))["providers"]
    assert line.state == "down"
    assert line.facts == "Several of its models have not answered for 2 min 5 s: Harbour is out of oil."


def test_a_late_schedule_is_to_be_looked_at_unless_it_runs() -> None:
    late = msgspec.structs.replace(SCHEDULE, next_run_at=ago(90))
    assert "late" in lines_of(stored(schedules=(late,)))["schedules"].advice
    assert "waits for a worker" in lines_of(stored(schedules=(late,), workers=()))["schedules"].advice
    assert not lines_of(stored(schedules=(msgspec.structs.replace(late, is_running=True),)))


def test_text_that_piles_up_is_to_be_looked_at() -> None:
    health = msgspec.structs.replace(FINE, process=msgspec.structs.replace(PROCESS, pending_chars=4_000_000))
    assert "does not keep up" in lines_of(health)["process"].advice


def test_what_a_server_said_is_text_and_numbers_are_for_the_readers_language() -> None:
    down = msgspec.structs.replace(PROVIDER, state="down", error="<b>500</b> & more", down_since=ago(125))
    [line] = [each for section in judge(stored(providers=(down,))) for each in section.lines if each.state == "down"]
    assert "&lt;b&gt;500&lt;/b&gt; &amp; more" in line.facts
    assert '<data value="125000.0" data-as="duration">' in line.facts
    assert lines_of(stored(providers=(down,)))["providers"].facts == "Down for 2 min 5 s: <b>500</b> & more"


def test_what_is_ours_is_named_in_the_readers_language() -> None:
    health = stored(providers=(msgspec.structs.replace(PROVIDER, name="On this machine"), PROVIDER))
    with words.speaking("de"):
        named = [line.part for section in judge(health) for line in section.lines]
    assert {"Auf diesem Rechner", "Harbour", "Aufräumen"} <= set(named)
