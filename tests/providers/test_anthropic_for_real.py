"""Anthropic's dialect spoken to a server that is not ours: llama.cpp's own, with the tiny model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from app.parts import Finish, TextPart, Usage
from app.providers.anthropic import Anthropic
from app.providers.base import Account, ChatMessage, ChatRequest, Limits, Parameters, Tool
from app.providers.engines import Engine, Engines
from app.providers.errors import KeyRejected, PromptTooLong, ProviderError
from tests.providers.conftest import ask, collect, eventually


@pytest.fixture
async def engine(client: httpx.AsyncClient, folder: Path) -> AsyncIterator[Engine]:
    """With one slot, so that a prompt meets the cache of the one before it."""
    engines = Engines(slots=1)
    async with engines.use(folder / "tiny.gguf", 2048) as engine:
        yield engine
    await engines.close()


@pytest.fixture
def provider(engine: Engine, client: httpx.AsyncClient) -> Anthropic:
    return Anthropic(Account("This machine", engine.address, engine.key), client, Limits(120, 120))


async def test_a_real_server_lists_answers_and_counts(provider: Anthropic) -> None:
    assert [model.name for model in await provider.list_models()] == ["tiny"]
    outcome = await collect(provider.stream(ask("Hello", temperature=0.0)))
    assert outcome.error is None
    assert outcome.text
    assert len(outcome.events) > 4
    assert outcome.finish == [Finish("length")]
    [usage] = outcome.usage
    counted = await provider.count_tokens(ask("Hello"))
    assert counted.is_exact
    assert (usage.input_tokens, usage.output_tokens) == (counted.tokens, 12)


async def test_what_was_read_before_comes_from_the_cache(provider: Anthropic) -> None:
    asked = ask("the of and to " * 40, max_tokens=1)
    first, second = [await collect(provider.stream(asked)) for _ in range(2)]
    assert first.usage[0].cached_tokens == 0
    assert first.usage[0].input_tokens == second.usage[0].input_tokens
    assert second.usage[0].cached_tokens is not None
    assert second.usage[0].cached_tokens > 100


async def test_a_real_server_takes_system_tools_stops_and_efforts(provider: Anthropic) -> None:
    messages = (ChatMessage("system", (TextPart("Be brief."),)), ChatMessage("user", (TextPart("Hello"),)))
    tool = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
    parameters = Parameters(0.5, 0.9, 5, max_tokens=4, stop=("never",), reasoning_effort="low")
    outcome = await collect(provider.stream(ChatRequest("tiny", messages, parameters, (tool,))))
    assert outcome.error is None
    assert outcome.finish


async def test_an_unfinished_answer_is_gone_on_from(provider: Anthropic) -> None:
    greedy = Parameters(temperature=0.0, max_tokens=8)
    asked, begun = ChatMessage("user", (TextPart("Hello"),)), ChatMessage("assistant", (TextPart("the water "),))
    request = ChatRequest("tiny", (asked, begun), greedy, continues=True)
    assert provider.body(request)["messages"][-1]["content"] == [{"type": "text", "text": "the water"}]
    rest = await collect(provider.stream(request))
    assert rest.error is None
    assert rest.text
    assert not rest.text.startswith("the water")
    [usage] = rest.usage
    alone = await collect(provider.stream(ChatRequest("tiny", (asked,), greedy)))
    assert isinstance(usage, Usage)
    assert (usage.input_tokens or 0) > (alone.usage[0].input_tokens or 0)


async def test_its_refusals_are_understood(provider: Anthropic, engine: Engine, client: httpx.AsyncClient) -> None:
    assert isinstance((await collect(provider.stream(ask("the " * 3000)))).error, PromptTooLong)
    stranger = Anthropic(Account("This machine", engine.address, "sk-wrong"), client)
    assert isinstance((await collect(stranger.stream(ask()))).error, KeyRejected)
    with pytest.raises(ProviderError):
        await stranger.list_models()


async def test_stop_closes_the_socket_at_once(provider: Anthropic, engine: Engine) -> None:
    def open_lines(process: psutil.Process, end: str) -> int:
        lines = [line for line in process.net_connections("tcp") if line.status == psutil.CONN_ESTABLISHED]
        return sum(bool(getattr(line, end)) and getattr(line, end).port == port for line in lines)

    port, ours, theirs = int(engine.address.rpartition(":")[2]), psutil.Process(), psutil.Process(engine.process.pid)
    for _ in range(5):  # it is faster than a test: held still in the midst; where it had finished, it is asked again
        events = provider.stream(ask(max_tokens=1500, temperature=1.0))
        await anext(events)
        theirs.suspend()
        is_open = (open_lines(ours, "raddr"), open_lines(theirs, "laddr")) == (1, 1)
        if is_open:
            break
        theirs.resume()
        await events.aclose()
    assert is_open
    await events.aclose()
    for _ in range(20):
        await asyncio.sleep(0)  # rounds of the loop, and not seconds: the answer's own end is no second away
    assert open_lines(ours, "raddr") == 0
    theirs.resume()
    await eventually(lambda: open_lines(theirs, "laddr") == 0)
    assert (await collect(provider.stream(ask()))).error is None
