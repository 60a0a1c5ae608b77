"""The demo provider, and the scripted server as the process that the bench starts."""

import asyncio
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.parts import Finish, TextPart
from app.providers import PROVIDERS
from app.providers.base import Account, ChatMessage, ChatRequest, Provider
from app.providers.scripted import MODEL, TOUR, Scripted
from tests.providers.conftest import collect, question
from tests.scripted import DIALECTS


@pytest.fixture
def demo(client: httpx.AsyncClient) -> Scripted:
    return Scripted(Account("Demo"), client)


async def test_the_demo_gives_a_question_back(demo: Scripted) -> None:
    assert [model.name for model in await demo.list_models()] == [MODEL]
    outcome = await collect(demo.stream(question("Why is\nthe sky blue?", MODEL)))
    assert outcome.text == "You said:\n\n> Why is\n> the sky blue?\n\nThis is the **demo**.\n"
    assert outcome.finish == [Finish("stop")]
    assert len(outcome.usage) == 1


async def test_the_demo_stops_where_it_is_told_and_goes_on_from_there(demo: Scripted) -> None:
    first = await collect(demo.stream(question("show me", MODEL, max_tokens=4)))
    assert TOUR.startswith(first.text)
    assert first.finish == [Finish("length")]
    asked = question("Show me!", MODEL, max_tokens=6)
    prompt = (*asked.messages, ChatMessage("assistant", (TextPart(first.text),)))
    rest = await collect(demo.stream(ChatRequest(MODEL, prompt, asked.parameters, continues=True)))
    assert TOUR.startswith(first.text + rest.text)
    assert rest.text


def test_providers_are_registered_under_their_own_kinds() -> None:
    assert {kind: provider.kind for kind, provider in PROVIDERS.items()} == {kind: kind for kind in PROVIDERS}
    assert list(PROVIDERS) == ["openai", "anthropic", "gemini", "ollama", "deepai", "llamacpp", "scripted"]
    assert all(issubclass(provider, Provider) and provider.label() for provider in PROVIDERS.values())


async def test_estimated_counts_err_high_and_say_that_they_are_estimates(demo: Scripted) -> None:
    counted = await demo.count_tokens(question("word " * 300))
    assert not counted.is_exact
    assert 300 <= counted.tokens <= 700


async def test_the_server_runs_as_a_process_at_the_rate_it_is_told(client: httpx.AsyncClient) -> None:
    arguments = (
        "-m",
        "tests.scripted",
        "--port",
        "0",
        "--rate",
        "100",
        "--tokens",
        "30",
        "--model",
        "m1",
        "--model",
        "m2",
    )
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=root, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        for dialect in DIALECTS:
            provider = PROVIDERS[dialect.kind](Account("Acme", url + dialect.base_path), client)
            assert [model.name for model in await provider.list_models()] == ["m1", "m2"]
            began = time.monotonic()
            outcome = await collect(provider.stream(question()))
            assert time.monotonic() - began > 0.25
            assert len(outcome.events) == 32
            assert outcome.usage[0].output_tokens == 30
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
