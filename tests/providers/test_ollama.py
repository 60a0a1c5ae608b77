"""What only Ollama's protocol has: options, what it tells of its models, calls with arguments that are objects."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.parts import Finish, TextDelta, ToolCallDelta, ToolCallPart, ToolResultPart, Usage
from app.providers.base import Account, ChatMessage, ChatRequest, Model
from app.providers.errors import KeyRejected, Overloaded, PromptTooLong, ProviderError, StreamCut
from app.providers.ollama import Ollama
from tests.providers.conftest import PATIENT, collect, conversation, question
from tests.scripted import OLLAMA, ScriptedServer, whole


@pytest.fixture
def provider(server: ScriptedServer, client: httpx.AsyncClient) -> Ollama:
    return Ollama(Account("Acme", server.url_for(OLLAMA)), client, PATIENT)


EXPIRY = datetime(2030, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)


def line(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "done": False} | fields).encode() + b"\n"


def test_the_body_never_lets_ollama_cut_the_prompt(provider: Ollama) -> None:
    assert provider.body(question()) == {
        "model": "scripted",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": 8192},
    }


def test_every_parameter_is_taken(provider: Ollama) -> None:
    every = {"temperature": 0.0, "top_p": 0.9, "top_k": 5, "repeat_penalty": 1.1, "max_tokens": 7, "context_window": 99}
    assert provider.takes == {*every, "stop", "reasoning_effort"}
    assert provider.body(question(**every, stop=("END", "\n")))["options"] == {
        "num_ctx": 99,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 5,
        "repeat_penalty": 1.1,
        "num_predict": 7,
        "stop": ["END", "\n"],
    }


def test_prompts_are_written_as_the_protocol_wants_them(provider: Ollama) -> None:
    body = provider.body(conversation(continues=True))
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]  # the unfinished answer is gone on from
    assert body["messages"][1] == {"role": "user", "content": "One?\n\nTwo?"}
    assert body["messages"][2]["content"] == ""
    assert body["messages"][2]["tool_calls"] == [{"id": "c1", "function": {"name": "look", "arguments": {"at": 1}}}]
    assert body["messages"][3] == {"role": "tool", "content": "found", "tool_call_id": "c1", "tool_name": "look"}
    assert body["messages"][4] == {"role": "assistant", "content": "It is"}
    assert body["tools"][0]["function"] == {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    assert "thoughts" not in str(body)


def test_arguments_that_are_no_object_are_shown_to_the_model_as_they_were(provider: Ollama) -> None:
    for written in ("nonsense", "[1]", "7", "[" * 100_000):
        call = ToolCallPart("c1", "look", written)
        answered = (ChatMessage("assistant", (call,)), ChatMessage("tool", (ToolResultPart("c1", "No."),)))
        body = provider.body(ChatRequest("m", (*question().messages, *answered)))
        arguments = body["messages"][1]["tool_calls"][0]["function"]["arguments"]
        assert arguments == {"invalid_json": written}


async def test_models_are_told_with_all_that_ollama_knows(provider: Ollama, server: ScriptedServer) -> None:
    server.models = ["b", "a"]
    known = {"context_window": 131_072, "size_bytes": 1234, "family": "llama", "quantisation": "Q4_0"}
    can = {"has_vision": False, "has_tools": True, "has_reasoning": False, "is_embedding": False}
    assert await provider.list_models() == [
        Model("a", is_loaded=False, **known, **can),
        Model("b", is_loaded=True, memory_bytes=2345, expires_at=EXPIRY, **known, **can),
    ]


async def test_what_ollama_does_not_tell_stays_unknown(provider: Ollama, server: ScriptedServer) -> None:
    server.answers["/api/tags"] = whole(b'{"models": [{"name": "a"}, {"name": ""}, {"name": "x\\ny"}, {}]}')
    server.answers["/api/ps"] = whole(b"gone", 404)
    for shown in (whole(b"gone", 404), whole(b"{}"), whole(b'{"model_info": {"general.architecture": "x"}}')):
        server.answers["/api/show"] = shown
        assert await provider.list_models() == [Model("a")]


async def test_a_server_that_is_away_is_an_error_and_no_empty_list(provider: Ollama, server: ScriptedServer) -> None:
    server.answers["/api/tags"] = whole(b'{"error": "no"}', 401)
    with pytest.raises(KeyRejected):
        await provider.list_models()


ENDINGS: dict[str, tuple[list[bytes], list[Any], type[ProviderError] | None]] = {
    "stop": (
        [line(message={"content": "a"}), line(done=True, done_reason="stop", prompt_eval_count=2, eval_count=1)],
        [TextDelta("a"), Usage(2, 1), Finish("stop")],
        None,
    ),
    "length": (
        [line(message={"content": "a"}, done=True, done_reason="length")],
        [TextDelta("a"), Finish("length")],
        None,
    ),
    "no reason": ([line(done=True)], [Finish("stop")], None),
    "a call": (
        [
            line(message={"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}),
            line(done=True, done_reason="stop"),
        ],
        [ToolCallDelta(0, "call_0", "f", "{}"), Finish("tool_calls")],
        None,
    ),
    "a call without arguments": (
        [line(message={"tool_calls": [{"id": "x", "function": {"name": "f"}}]}, done=True)],
        [ToolCallDelta(0, "x", "f", "{}"), Finish("tool_calls")],
        None,
    ),
    "nothing": ([line(message={"content": "a"})], [TextDelta("a")], StreamCut),
    "an error": ([line(message={"content": "a"}), b'{"error": "boom"}\n'], [TextDelta("a")], Overloaded),
    "an error about the context": (
        [b'{"error": "the input length exceeds the context length"}\n'],
        [],
        PromptTooLong,
    ),
    "an error about the context, with its status": ([b'{"error": {"message": "context size"}}'], [], PromptTooLong),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_every_ending_is_told_apart(ending: str, provider: Ollama, server: ScriptedServer) -> None:
    lines, events, error = ENDINGS[ending]
    server.script(*OLLAMA.stream(*lines))
    outcome = await collect(provider.stream(question()))
    assert outcome.events == events
    assert type(outcome.error) is (error or type(None))
