"""Several engines within a memory limit: who goes first, who is waited for, and what never fits."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.providers.engine_memory import (
    BARE_BYTES,
    cache_bytes_per_token,
    default_limit_bytes,
    estimated_bytes,
    machine_bytes,
    measured_bytes,
    size_text,
)
from app.providers.engines import Engines
from app.providers.errors import NoMemory
from app.providers.gguf_header import read_header
from app.providers.keeping import EngineOptions
from tests.providers.conftest import children, eventually
from tests.providers.test_gguf_header import write
from tests.tiny_gguf import HEADS, LAYERS, WIDTH, write_tiny_gguf

#: So many slots that the memory of an engine is mostly that of its keys and values: about 70 MB of about 90.
MANY = EngineOptions(slots=64)
TOKENS = 2048
ROOM_FOR_TWO, ROOM_FOR_ONE = 250_000_000, 150_000_000


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    return {name: write_tiny_gguf(tmp_path / f"{name}.gguf") for name in "abc"}


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    engines = Engines(limit_bytes=ROOM_FOR_TWO)
    yield engines
    await engines.close()
    assert children() == []
    assert engines.states() == []


async def use(engines: Engines, path: Path) -> None:
    async with engines.use(path, TOKENS, MANY):
        pass


def running(engines: Engines) -> list[str]:
    return [state.model_name for state in engines.states()]


async def test_the_least_recently_used_makes_room(engines: Engines, models: dict[str, Path]) -> None:
    await use(engines, models["a"])
    await use(engines, models["b"])
    assert running(engines) == ["a", "b"]
    await use(engines, models["a"])
    await use(engines, models["c"])
    assert running(engines) == ["a", "c"]
    await use(engines, models["b"])
    assert running(engines) == ["c", "b"]
    assert len(children()) == 2


async def test_what_is_used_is_waited_for(engines: Engines, models: dict[str, Path]) -> None:
    engines.limit_bytes = ROOM_FOR_ONE
    async with engines.use(models["a"], TOKENS, MANY) as first:
        waiting = asyncio.create_task(use(engines, models["b"]))
        await eventually(lambda: running(engines) == ["a", "b"])
        await asyncio.sleep(0.5)
        assert not waiting.done()
        assert not first.ended.is_set()
        assert [(state.model_name, state.state) for state in engines.states()] == [("a", "running"), ("b", "starting")]
    await waiting
    assert running(engines) == ["b"]
    assert first.ended.is_set()


async def test_waiting_has_an_end(engines: Engines, models: dict[str, Path]) -> None:
    engines.limit_bytes, engines.room_seconds = ROOM_FOR_ONE, 0.3
    async with engines.use(models["a"], TOKENS, MANY) as first:
        with pytest.raises(NoMemory, match=r"model b needs about \d+ MB of memory, .* of the 150 MB .* Try again"):
            await use(engines, models["b"])
        assert not first.ended.is_set()
    assert running(engines) == ["a"]
    engines.room_seconds = 60
    await use(engines, models["b"])


async def test_who_waits_for_room_can_be_reached(engines: Engines, models: dict[str, Path]) -> None:
    engines.limit_bytes = ROOM_FOR_ONE
    async with engines.use(models["a"], TOKENS, MANY):
        waiting = asyncio.create_task(use(engines, models["b"]))
        await eventually(lambda: running(engines) == ["a", "b"])
        await engines.unload(models["b"])
        assert str((await asyncio.gather(waiting, return_exceptions=True))[0]).startswith("The model b was unloaded")
        assert running(engines) == ["a"]


async def test_what_does_not_even_fit_alone_says_so_and_ends_nobody(engines: Engines, models: dict[str, Path]) -> None:
    await use(engines, models["a"])
    needed = size_text(estimated_bytes(models["b"], TOKENS, 64))
    engines.limit_bytes = 100_000_000
    with pytest.raises(NoMemory) as refused:
        await use(engines, models["b"])
    assert refused.value.sentence == f"The model b needs about {needed} of memory. Models may take 100 MB."
    assert not refused.value.is_retryable
    assert running(engines) == ["a"]


async def test_many_at_once_take_their_turn(engines: Engines, models: dict[str, Path]) -> None:
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(children()))

    engines.on_change = look
    await asyncio.gather(*(use(engines, models[name]) for name in "abcabc"))
    assert most == 2


async def test_a_smaller_limit_ends_who_is_idle(engines: Engines, models: dict[str, Path]) -> None:
    await use(engines, models["a"])
    async with engines.use(models["b"], TOKENS, MANY) as second:
        engines.configure(idle_seconds=300, limit_bytes=ROOM_FOR_ONE // 2)
        await eventually(lambda: running(engines) == ["b"])
        assert not second.ended.is_set()


async def test_a_shorter_rest_holds_for_who_rests_already(engines: Engines, models: dict[str, Path]) -> None:
    await use(engines, models["a"])
    engines.configure(idle_seconds=0.1, limit_bytes=None)
    assert engines.limit_bytes == default_limit_bytes()
    await eventually(lambda: running(engines) == [])


async def test_what_runs_is_measured(engines: Engines, models: dict[str, Path]) -> None:
    estimate = estimated_bytes(models["a"], TOKENS, 64)
    async with engines.use(models["a"], TOKENS, MANY) as engine:
        await eventually(lambda: engine.memory_bytes not in (None, estimate))
        assert engine.memory_bytes is not None
        assert estimate * 0.7 < engine.memory_bytes < estimate * 1.1


def test_the_estimate_knows_layers_heads_and_slots(models: dict[str, Path]) -> None:
    header = read_header(models["a"])
    assert cache_bytes_per_token(header) == LAYERS * HEADS * (WIDTH // HEADS) * 2 * 2
    difference = estimated_bytes(models["a"], 1000, 3) - estimated_bytes(models["a"], 0, 3)
    assert difference == 3000 * cache_bytes_per_token(header)


def test_fewer_heads_for_keys_and_lengths_of_their_own_are_counted(tmp_path: Path) -> None:
    fields = {"block_count": 10, "embedding_length": 4096, "attention.head_count": 32}
    named = {f"llama__{name.replace('.', '__')}": value for name, value in fields.items()}
    path = write(tmp_path / "x.gguf", **named)
    assert cache_bytes_per_token(read_header(path)) == 10 * 32 * 256 * 2
    path = write(tmp_path / "x.gguf", **named, llama__attention__head_count_kv=8)
    assert cache_bytes_per_token(read_header(path)) == 10 * 8 * 256 * 2
    path = write(tmp_path / "x.gguf", **named, llama__attention__key_length=64, llama__attention__value_length=32)
    assert cache_bytes_per_token(read_header(path)) == 10 * 32 * 96 * 2


def test_headers_that_lie_or_cannot_be_read_are_estimated_too(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.gguf", llama__block_count=-5, llama__embedding_length="x", llama__attention__head_count=0
    )
    assert estimated_bytes(path, 4096, 2) == path.stat().st_size + BARE_BYTES
    assert estimated_bytes(tmp_path / "gone.gguf", 4096, 2) == BARE_BYTES


def test_this_process_takes_some_of_the_machine() -> None:
    found = measured_bytes(os.getpid())
    assert found is not None
    assert 10_000_000 < found < machine_bytes()
    assert measured_bytes(2**22 + 1) is None
    assert default_limit_bytes() * 4 // 3 <= machine_bytes()


def test_sizes_are_said_in_the_units_of_settings() -> None:
    assert [size_text(size) for size in (0, 1_500_000, 999_000_000, 1_250_000_000)] == [
        "0 MB",
        "2 MB",
        "999 MB",
        "1.2 GB",
    ]
