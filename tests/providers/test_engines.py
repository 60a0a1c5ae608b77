"""The llama.cpp processes: started once, shared, replaced, ended; and what happens when one dies."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil

from app.providers.base import Account
from app.providers.engines import Engines
from app.providers.errors import BadAnswer, StreamCut, Unreachable
from app.providers.llamacpp import LlamaCpp
from tests.programs import lives
from tests.providers.conftest import ask, broken_off, children, collect, eventually


async def test_many_first_uses_start_one_child(local: LlamaCpp) -> None:
    outcomes = await asyncio.gather(*(collect(local.stream(ask())) for _ in range(6)))
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert len(children()) == 1


async def test_a_larger_context_replaces_the_child_and_a_smaller_one_does_not(local: LlamaCpp) -> None:
    await collect(local.stream(ask(context_window=256)))
    [small] = children()
    await collect(local.stream(ask(context_window=128)))
    assert children() == [small]
    await collect(local.stream(ask(context_window=512)))
    await eventually(lambda: len(children()) == 1)
    assert children() != [small]


async def test_a_child_killed_in_mid_answer_fails_that_answer_only(local: LlamaCpp) -> None:
    killed = []

    async def kill(child: int) -> None:
        os.kill(child, signal.SIGKILL)
        killed.append(child)

    outcome = await broken_off(local, kill)
    assert isinstance(outcome.error, StreamCut)
    assert outcome.finish == []
    again = await collect(local.stream(ask()))
    assert again.error is None
    assert children() != killed[-1:]


async def test_a_child_that_ended_while_idle_is_started_again(local: LlamaCpp, engines: Engines, folder: Path) -> None:
    await collect(local.stream(ask()))
    [child] = children()
    os.kill(child, signal.SIGTERM)
    await eventually(lambda: not engines.is_running(folder / "tiny.gguf"))
    assert children() == []
    assert [model.is_loaded for model in await local.list_models()] == [False]
    assert (await collect(local.stream(ask()))).error is None


async def test_an_idle_child_is_ended(folder: Path, client: httpx.AsyncClient) -> None:
    engines = Engines(idle_seconds=0.2)
    local = LlamaCpp(Account("This machine", models_folder=str(folder)), client, engines=engines)
    async with engines.use(folder / "tiny.gguf", 128):
        await asyncio.sleep(0.5)
        assert len(children()) == 1
        assert (await collect(local.stream(ask(context_window=128)))).error is None
    await eventually(lambda: children() == [])
    assert (await collect(local.stream(ask()))).error is None
    await engines.close()
    assert children() == []


async def test_leaving_the_stream_frees_the_engine(local: LlamaCpp, engines: Engines, folder: Path) -> None:
    for _ in range(5):
        events = local.stream(ask(max_tokens=None))
        await anext(events)
        await events.aclose()
    async with engines.use(folder / "tiny.gguf", 128) as engine:
        assert engine.users == 1
    assert engine.users == 0


async def test_nobody_without_the_key_can_use_the_child(local: LlamaCpp, engines: Engines, folder: Path) -> None:
    await collect(local.stream(ask()))
    async with engines.use(folder / "tiny.gguf", 128) as engine:
        assert engine.address.startswith("http://127.0.0.1:")
        for path in ("/v1/models", "/props", "/slots", "/metrics"):
            assert (await local.client.get(engine.address + path)).status_code in (401, 404, 501)
        asked = await local.client.post(engine.address + "/v1/chat/completions", json=local.body(ask()))
        assert asked.status_code == 401
        command = psutil.Process(engine.process.pid)
        assert engine.key not in " ".join(command.cmdline())
        assert engine.key not in str(command.environ())


async def test_models_that_cannot_be_loaded_say_why(folder: Path, local: LlamaCpp, engines: Engines) -> None:
    content = (folder / "tiny.gguf").read_bytes()
    (folder / "tiny.gguf").write_bytes(content.replace(b"llama.block_count", b"llama.block_cownt"))
    error = (await collect(local.stream(ask()))).error
    assert isinstance(error, BadAnswer)
    assert error.sentence.startswith("The model tiny could not be loaded: ")
    assert "block_count" in error.sentence
    assert str(folder) not in error.sentence
    assert children() == []
    (folder / "tiny.gguf").write_bytes(content)
    assert (await collect(local.stream(ask()))).error is None


async def test_closing_ends_children_that_are_starting_too(folder: Path, local: LlamaCpp, engines: Engines) -> None:
    for _ in range(5):  # it may have started, and answered, on a machine that stood still meanwhile
        starting = asyncio.create_task(collect(local.stream(ask())))
        await eventually(lambda: len(children()) == 1)
        await engines.close()
        assert children() == []
        if error := (await starting).error:
            break
    assert isinstance(error, Unreachable)
    assert (await collect(local.stream(ask()))).error is None  # closed is not broken


async def test_leaving_while_it_starts_leaves_the_start_to_others(local: LlamaCpp, engines: Engines) -> None:
    for _ in range(5):  # it may have started, and answered, on a machine that stood still meanwhile
        leaving = asyncio.create_task(collect(local.stream(ask())))
        staying = asyncio.create_task(collect(local.stream(ask())))
        await eventually(lambda: len(children()) == 1)
        leaving.cancel()
        assert (await staying).error is None
        assert len(children()) == 1
        if leaving.cancelled():
            break
        await engines.close()
    assert leaving.cancelled()


async def test_children_die_with_their_parent(folder: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from app.providers.engines import Engines\n"
        "async def main():\n"
        "    async with Engines().use(Path(sys.argv[1]), 128) as engine:\n"
        "        print(engine.process.pid, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    pipe = asyncio.subprocess.PIPE
    model = str(folder / "tiny.gguf")
    root = Path(__file__).parents[2]
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, model, cwd=root, stdout=pipe)
    assert parent.stdout is not None
    lines = [line async for line in _until_number(parent.stdout)]
    child = psutil.Process(int(lines[-1]))
    parent.kill()
    await parent.wait()
    await eventually(lambda: not lives(child))


async def _until_number(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines up to the first that is a number: the ones before it are the log's."""
    while line := (await stream.readline()).decode().strip():
        yield line
        if line.isdecimal():
            return


async def test_a_child_that_ends_before_its_first_token_may_be_asked_again(local: LlamaCpp, engines: Engines) -> None:
    for seconds in (0.2, 2, 10):  # until it has certainly been asked
        await collect(local.stream(ask()))
        [child] = children()
        os.kill(child, signal.SIGSTOP)
        asking = asyncio.create_task(collect(local.stream(ask())))
        await asyncio.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        if error := (await asking).error:
            break
    assert isinstance(error, Unreachable)
    assert error.is_retryable
