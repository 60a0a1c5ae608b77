"""Answers that Anthropic's models go on from, word for word or asked in words."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.parts import ReasoningPart, TextPart
from app.providers import amendments
from app.providers.anthropic import Anthropic
from app.providers.base import Account, ChatMessage, ChatRequest, Parameters
from app.providers.prompts import CONTINUE
from tests.providers.conftest import KEY, PATIENT, collect
from tests.scripted import ANTHROPIC, ScriptedServer, whole

OLD, NEW = "claude-sonnet-4-5-20250929", "claude-opus-4-8"


@pytest.fixture
async def provider(server: ScriptedServer, client: httpx.AsyncClient) -> AsyncIterator[Anthropic]:
    yield Anthropic(Account("Acme", server.url_for(ANTHROPIC), KEY), client, PATIENT)
    amendments.forget()


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def unfinished(words: str, model: str = OLD, **parameters: Any) -> ChatRequest:
    messages = (
        ChatMessage("user", (TextPart("Hi"),)),
        ChatMessage("assistant", (ReasoningPart("Hm."), TextPart(words))),
    )
    return ChatRequest(model, messages, Parameters(**parameters), continues=True)


@pytest.mark.parametrize(
    ("written", "comes", "joined"),
    [
        ("It is", (" so", "."), "It is so."),
        ("It is ", (" so", "."), "It is so."),
        ("It is ", ("so",), "It is so"),
        ("It is\n\n", ("\n", "\n", "so"), "It is\n\nso"),
        ("It is\n\n", ("\n  so",), "It is\n\n  so"),
        ("It is", ("\n\nso",), "It is\n\nso"),
    ],
)
async def test_an_answer_is_gone_on_from_without_its_last_blanks(
    written: str, comes: tuple[str, ...], joined: str, provider: Anthropic, server: ScriptedServer
) -> None:
    server.script(*ANTHROPIC.answer(comes))
    outcome = await collect(provider.stream(unfinished(written)))
    last = {"role": "assistant", "content": [text(written.rstrip())]}
    assert server.questions[0].json["messages"][-1] == last
    assert written + outcome.text == joined


@pytest.mark.parametrize("request_", [unfinished("It is ", NEW), unfinished("It is ", OLD, reasoning_effort="low")])
async def test_models_that_think_or_are_new_are_asked_in_words_to_go_on(
    request_: ChatRequest, provider: Anthropic, server: ScriptedServer
) -> None:
    server.script(*ANTHROPIC.answer((" so",)))
    assert (await collect(provider.stream(request_))).text == " so"
    answer, words = server.questions[0].json["messages"][-2:]
    assert answer == {"role": "assistant", "content": [text("It is ")]}
    assert words == {"role": "user", "content": [text(CONTINUE)]}


async def test_a_model_that_refuses_to_go_on_is_asked_in_words(provider: Anthropic, server: ScriptedServer) -> None:
    refused = "This model does not support assistant message prefill. The conversation must end with a user message."
    server.script(*whole(ANTHROPIC.error_body(refused), 400))
    server.script(*ANTHROPIC.answer((" so",)))
    outcome = await collect(provider.stream(unfinished("It is ")))
    assert outcome.text == " so"
    assert [asked.json["messages"][-1]["role"] for asked in server.questions] == ["assistant", "user"]
