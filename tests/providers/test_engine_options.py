"""How an engine runs: its options, what it says while it loads, its states, and orders that reach it at any time."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from app.providers.engine import EngineState
from app.providers.engines import Engines
from app.providers.errors import BadAnswer, StreamCut
from app.providers.keeping import EngineOptions
from app.providers.llamacpp import LlamaCpp
from tests.providers.conftest import ask, broken_off, children, collect, eventually


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "tiny.gguf"


async def lines_of(engines: Engines, path: Path, options: EngineOptions) -> list[str]:
    return [line async for line in engines.load(path, 256, options)]


async def test_options_reach_llama_cpp(engines: Engines, path: Path) -> None:
    said = " ".join(await lines_of(engines, path, EngineOptions(threads=1, slots=3, gpu_layers=0)))
    assert "n_threads = 1" in said
    assert "n_slots = 3" in said
    assert "n_ctx_slot = 256" in said
    assert str(path.parent) not in said


async def test_other_options_replace_the_engine_and_the_same_do_not(engines: Engines, path: Path) -> None:
    async with engines.use(path, 256, EngineOptions(slots=1)) as first:
        pass
    async with engines.use(path, 128, EngineOptions(slots=1)) as second:
        assert second is first
    async with engines.use(path, 128, EngineOptions(slots=4)) as third:
        assert third is not first
        assert third.slots == 4
    await eventually(lambda: len(children()) == 1)
    assert first.ended.is_set()


async def test_who_is_still_using_the_old_options_finishes_first(engines: Engines, path: Path) -> None:
    async with (
        engines.use(path, 256, EngineOptions(slots=1)) as old,
        engines.use(path, 256, EngineOptions(slots=2)) as new,
    ):
        assert not old.ended.is_set()
        assert [state.slots for state in engines.states()] == [1, 2]
    await eventually(lambda: old.ended.is_set())
    assert not new.ended.is_set()


async def test_a_log_streams_while_it_loads_to_everybody_who_waits(engines: Engines, path: Path) -> None:
    told = await asyncio.gather(*(lines_of(engines, path, EngineOptions()) for _ in range(3)))
    assert len(children()) == 1
    assert any("model loaded" in line for line in told[0])
    assert told[0] == told[1] == told[2]
    assert all(line.isprintable() and len(line) <= 300 for line in told[0])


async def test_leaving_a_load_leaves_the_start_to_others(engines: Engines, path: Path) -> None:
    load = engines.load(path, 256)
    await anext(load)
    await load.aclose()
    await eventually(lambda: engines.is_running(path))


async def test_states_tell_the_life_of_an_engine(engines: Engines, path: Path) -> None:
    seen: list[EngineState | None] = []

    def look() -> None:
        state = next(iter(engines.states()), None)
        if not seen or seen[-1] != state:
            seen.append(state)

    engines.on_change = look
    async with engines.use(path, 256):
        pass
    await eventually(lambda: seen[-1] is not None and seen[-1].expires_at is not None)
    await engines.unload(path)
    assert seen[-1] is None
    states = [state for state in seen if state is not None]
    assert states[0].state == "starting"
    assert (states[0].model_name, states[0].context_tokens, states[0].slots) == ("tiny", 256, 2)
    assert states[0].expires_at is None
    assert any(state.state == "running" and state.expires_at is None for state in states)
    rest = next(state for state in reversed(states) if state.expires_at)
    assert rest.expires_at is not None
    assert rest.expires_at.utcoffset() is not None
    assert 295 < (rest.expires_at - rest.started_at).total_seconds() < 360


async def test_the_list_of_models_says_what_is_loaded(local: LlamaCpp, engines: Engines, path: Path) -> None:
    async with engines.use(path, 256):
        [model] = await local.list_models()
        assert model.is_loaded
        assert model.memory_bytes
        assert model.expires_at is None
    [model] = await local.list_models()
    assert model.expires_at is not None


async def test_unloading_breaks_off_what_is_being_written(local: LlamaCpp, engines: Engines, path: Path) -> None:
    async def unload(child: int) -> None:
        await engines.unload(path)
        assert children() == []

    assert isinstance((await broken_off(local, unload)).error, StreamCut)
    assert engines.states() == []


@pytest.mark.parametrize("after_seconds", [None, 0, 0.02])
async def test_unloading_reaches_an_engine_that_is_starting(
    after_seconds: float | None, local: LlamaCpp, engines: Engines, path: Path
) -> None:
    for _ in range(5):  # it may be ready, on a machine that stood still meanwhile
        asking = asyncio.create_task(lines_of(engines, path, EngineOptions()))
        await eventually(lambda: bool(engines.states()))
        if after_seconds is not None:
            await asyncio.sleep(after_seconds)
        await engines.unload(path)
        assert children() == []
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(outcome, BaseException):
            break
    assert isinstance(outcome, StreamCut)
    assert "The model tiny was unloaded before it was ready" in outcome.sentence
    assert (await collect(local.stream(ask()))).error is None


async def test_unloading_what_is_not_loaded_does_nothing(engines: Engines, path: Path) -> None:
    await engines.unload(path)
    assert engines.states() == []


async def test_a_child_that_is_killed_while_it_loads_says_so(engines: Engines, path: Path) -> None:
    for _ in range(5):  # it may be loaded, on a machine that stood still meanwhile
        loading = asyncio.create_task(lines_of(engines, path, EngineOptions()))
        await eventually(lambda: len(children()) == 1)
        os.kill(children()[0], signal.SIGKILL)
        (outcome,) = await asyncio.gather(loading, return_exceptions=True)
        if isinstance(outcome, BaseException):
            break
        await eventually(lambda: engines.states() == [])
    assert isinstance(outcome, BadAnswer)
    assert "ended with signal 9" in outcome.sentence
    assert engines.states() == []


async def test_a_killed_child_is_one_state_less(engines: Engines, path: Path) -> None:
    changes = 0

    def count() -> None:
        nonlocal changes
        changes += 1

    await lines_of(engines, path, EngineOptions())
    engines.on_change = count
    os.kill(children()[0], signal.SIGKILL)
    await eventually(lambda: engines.states() == [])
    assert changes >= 1
