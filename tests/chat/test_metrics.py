"""What Prometheus is told: in its own format, counted once per answer, true to the rows."""

import asyncio
import re
import time
from collections.abc import Iterator

import pytest

from app.chat import counters
from app.chat.circuit import MOST_FAILURES
from app.chat.counters import Counter, Histogram, note_end
from app.chat.health import gather
from app.chat.metrics import exposition
from app.chat.pulse import Pulse
from app.chat.reachability import found_down
from app.chat.worker import Worker
from app.database import close_pool, fetch, open_pool
from app.parts import Usage
from app.providers.errors import RateLimited
from tests.chat.circuits import fail
from tests.chat.conftest import Chat
from tests.scripted.steps import whole

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.]+(?:e[-+]?[0-9]+)?|\+Inf)$")


def read(text: str) -> dict[str, float]:
    """Every sample by its name and labels. Refuses what the format 0.0.4 does not allow."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _hash, _type, name, kind = line.split(" ")
            assert name not in kinds, "a metric is described once, its samples together"
            kinds[name] = kind
            continue
        match = SAMPLE.match(line)
        assert match, line
        family = re.sub(r"_(bucket|sum|count)$", "", match[1]) if match[1] not in kinds else match[1]
        assert list(kinds)[-1] == family, line
        key = line.rpartition(" ")[0]
        assert key not in found, line
        found[key] = float(match[3])
    return found


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """The counters belong to the process: each test gets them empty, and leaves them as they were."""
    kept = [(each, dict(vars(each))) for each in counters.COUNTED]
    for each in counters.COUNTED:
        if isinstance(each, Counter):
            each._values = {} if each._labels else {(): 0}
        else:
            each._counts, each._sum = [0] * len(each._counts), 0.0
    yield
    for each, values in kept:
        vars(each).update(values)


async def told() -> dict[str, float]:
    return read(exposition(await gather(patience_seconds=60)))


async def test_an_answer_is_counted_when_it_ends(chat: Chat, worker: Worker) -> None:
    assert (await chat.final((await chat.ask()).answer))["status"] == "complete"
    message = (await fetch("SELECT * FROM message WHERE role = 'assistant'"))[0]
    found = await told()
    assert found['parley_generations_total{status="complete"}'] == 1
    assert found['parley_tokens_total{direction="in"}'] == message["input_tokens"]
    assert found['parley_tokens_total{direction="out"}'] == message["output_tokens"]
    assert found["parley_first_token_seconds_count"] == found["parley_generation_seconds_count"] == 1
    assert found["parley_generation_seconds_sum"] == pytest.approx(message["duration_ms"] / 1000, abs=0.05)
    assert not [sample for sample in found if sample.startswith("parley_retries_total")]
    assert (found["parley_database_up"], found["parley_workers"], found["parley_queue_depth"]) == (1, 1, 0)
    (provider,) = await fetch("SELECT id FROM provider")
    labels = f'{{provider="Scripted",kind="openai",id="{provider["id"]}"}}'
    assert (found[f"parley_provider_up{labels}"], found[f"parley_circuit_open{labels}"]) == (1, 0)


async def test_a_model_that_fails_is_told_apart_from_its_server(chat: Chat) -> None:
    await fail(chat.model, MOST_FAILURES - 1)
    (provider,) = await fetch("SELECT id FROM provider")
    labels = f'provider="Scripted",kind="openai",id="{provider["id"]}"'
    model = f'{{{labels},model="scripted"}}'
    found = await told()
    assert (found[f"parley_model_circuit_open{model}"], found[f"parley_model_failures{model}"]) == (
        0,
        MOST_FAILURES - 1,
    )
    await fail(chat.model, 1)
    found = await told()
    assert (found[f"parley_model_circuit_open{model}"], found[f"parley_model_failures{model}"]) == (1, MOST_FAILURES)
    assert (found[f"parley_provider_up{{{labels}}}"], found[f"parley_circuit_open{{{labels}}}"]) == (1, 0)
    await found_down(provider["id"], RateLimited("Slow down."))
    found = await told()
    assert (found[f"parley_provider_up{{{labels}}}"], found[f"parley_provider_list_stale{{{labels}}}"]) == (1, 1)


async def test_a_call_that_failed_is_counted_for_its_provider_and_the_retry_after_it(
    chat: Chat, worker: Worker
) -> None:
    chat.server.script(*whole(b'{"error": {"message": "out of oil"}}', status=503))
    assert (await chat.final((await chat.ask()).answer))["status"] == "complete"
    found = await told()
    (provider,) = await fetch("SELECT id FROM provider")
    labels = f'provider="Scripted",kind="openai",id="{provider["id"]}"'
    assert found[f'parley_provider_errors_total{{{labels},code="overloaded"}}'] == 1
    assert found[f'parley_retries_total{{{labels},model="scripted"}}'] == 1
    assert found['parley_generations_total{status="complete"}'] == 1


async def test_a_call_of_the_next_model_is_no_retry_and_providers_of_one_kind_are_told_apart(database: str) -> None:
    def call(provider: str, model: str, error: str) -> dict[str, str]:
        return {"provider": provider, "provider_id": provider.lower(), "kind": "openai", "model": model, "error": error}

    attempts = [
        call("Harbour", "a", "overloaded"), call("Pier", "a", "overloaded"), call("Pier", "b", "timed_out"),
        call("Pier", "b", "timed_out"), call("Pier", "b", ""),
    ]  # fmt: skip
    note_end(status="complete", usage=Usage(), attempts=attempts, first_token_ms=None, duration_ms=10)
    found = await told()
    errors = {key: value for key, value in found.items() if key.startswith("parley_provider_errors_total")}
    start = "parley_provider_errors_total{provider="
    assert errors == {
        f'{start}"Harbour",kind="openai",id="harbour",code="overloaded"}}': 1,
        f'{start}"Pier",kind="openai",id="pier",code="overloaded"}}': 1,
        f'{start}"Pier",kind="openai",id="pier",code="timed_out"}}': 2,
    }
    retries = {key: value for key, value in found.items() if key.startswith("parley_retries_total")}
    assert retries == {'parley_retries_total{provider="Pier",kind="openai",id="pier",model="b"}': 2}


async def test_a_queue_without_a_worker_is_told(chat: Chat) -> None:
    await chat.ask()
    await fetch("UPDATE generation SET queued_at = now() - interval '30 seconds'")
    found = await told()
    assert (found["parley_queue_depth"], found["parley_workers"], found["parley_queue_jobs"]) == (1, 0, 1)
    assert 30 <= found["parley_queue_oldest_seconds"] < 60


async def test_while_the_database_is_away_the_process_still_tells_its_own(database: str) -> None:
    await close_pool()
    await open_pool(database, size=4)
    note_end(status="failed", usage=Usage(), attempts=[], first_token_ms=None, duration_ms=10)
    await fetch("ALTER TABLE migration RENAME TO away")
    try:
        found = await told()
    finally:
        await fetch("ALTER TABLE away RENAME TO migration")
    assert found["parley_database_up"] == 0
    assert "parley_queue_depth" not in found
    assert found['parley_generations_total{status="failed"}'] == 1
    assert found["process_resident_memory_bytes"] > 10_000_000


async def test_names_of_providers_cannot_break_the_format(chat: Chat) -> None:
    await fetch("UPDATE provider SET name = $1", 'a"b\\c\nd} 1')
    start = 'parley_provider_up{provider="a\\"b\\\\c\\nd} 1",kind="openai"'
    assert [value for key, value in (await told()).items() if key.startswith(start)] == [1]


async def test_providers_of_one_name_are_two(chat: Chat) -> None:
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at)"
        " SELECT gen_random_uuid(), kind, name, base_url, key_sealed, error, created_at FROM provider"
    )
    assert len([key for key in await told() if key.startswith("parley_provider_up")]) == 2


def test_buckets_hold_those_before_them() -> None:
    histogram = Histogram("x_seconds", "For a test.", (0.1, 1.0))
    for amount in (0.05, 0.1, 0.5, 7):
        histogram.observe(amount)
    found = read("\n".join(histogram.lines()) + "\n")
    assert [found[f'x_seconds_bucket{{le="{bound}"}}'] for bound in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert (found["x_seconds_sum"], found["x_seconds_count"]) == (7.65, 4)


def test_the_pace_of_an_answer_is_its_mean_between_tokens() -> None:
    usage = Usage(input_tokens=5, output_tokens=11, cached_tokens=3)
    note_end(status="complete", usage=usage, attempts=[], first_token_ms=1000, duration_ms=2000)
    found = read("".join(line + "\n" for each in counters.COUNTED for line in each.lines()))
    assert found["parley_token_seconds_sum"] == 0.1
    assert found['parley_tokens_total{direction="cached"}'] == 3


def test_counting_an_answer_takes_microseconds() -> None:
    attempts = [{"error": "", "kind": "openai", "provider": "Harbour", "provider_id": "1", "model": "a"}] * 2
    began = time.thread_time()
    for _ in range(1000):
        note_end(
            status="complete", usage=Usage(1, 2), attempts=attempts, first_token_ms=1, duration_ms=2
        )  # fmt: skip
    assert time.thread_time() - began < 0.2


async def test_a_loop_that_is_held_up_is_late() -> None:
    pulse = Pulse()
    beating = asyncio.create_task(pulse.run())
    await asyncio.sleep(0.3)
    time.sleep(0.6)  # noqa: ASYNC251  what the pulse is there to find
    await asyncio.sleep(0.05)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    assert 0.2 < pulse.lag_seconds < 60
