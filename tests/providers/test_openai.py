"""What only OpenAI's dialect has: fields that some servers know, and answers in the shapes that some servers give."""

import json
from typing import Any

import httpx
import pytest

from app.parts import Finish, ReasoningDelta, TextDelta, ToolCallPart, Usage
from app.providers.base import Account, Model
from app.providers.errors import BadRequest, Filtered, KeyRejected, ModelMissing, PromptTooLong, RateLimited, StreamCut
from app.providers.openai import OpenAI
from tests.providers.conftest import KEY, PATIENT, collect, conversation, question
from tests.scripted import OPENAI, ScriptedServer, whole


@pytest.fixture
def provider(server: ScriptedServer, client: httpx.AsyncClient) -> OpenAI:
    return OpenAI(Account("Acme", server.url_for(OPENAI), KEY), client, PATIENT)


def frames(*values: Any) -> list[bytes]:
    return [
        b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n" for value in values
    ]


def delta(content: Any = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content, **fields}, "finish_reason": finish}]}


def thinking(text: str) -> dict[str, Any]:
    """As Mistral's reasoning models write it, in the place of a string (BerriAI/litellm#16272)."""
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def test_the_body_has_the_parameters_that_the_protocol_knows(provider: OpenAI) -> None:
    every = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "repeat_penalty": 1.1, "max_tokens": 7, "context_window": 99}
    assert provider.body(question("Why?", **every, stop=("END",))) == {
        "model": "scripted",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["END"],
    }
    assert provider.takes == {"temperature", "top_p", "max_tokens", "stop", "reasoning_effort"}
    assert provider.body(question(reasoning_effort="high"))["reasoning_effort"] == "high"


def test_prompts_are_written_as_the_protocol_wants_them(provider: OpenAI) -> None:
    body = provider.body(conversation(continues=True))
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]  # asked in words to go on
    assert body["messages"][1] == {"role": "user", "content": "One?\n\nTwo?"}
    assert body["messages"][2]["content"] == ""
    call = body["messages"][2]["tool_calls"][0]
    assert call == {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": "found"}
    assert body["messages"][4] == {"role": "assistant", "content": "It is"}
    assert body["tools"][0]["function"] == {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    assert "thoughts" not in str(body)


async def test_servers_without_a_field_are_asked_again_without_it(provider: OpenAI, server: ScriptedServer) -> None:
    refused = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.script(*whole(OPENAI.error_body("Unknown field: stream_options"), 400))
    server.script(*whole(OPENAI.error_body(refused), 400))
    outcome = await collect(provider.stream(question(max_tokens=5)))
    assert outcome.text.startswith("Seven")
    assert [sorted(asked.json) for asked in server.questions] == [
        ["max_tokens", "messages", "model", "stream", "stream_options"],
        ["max_tokens", "messages", "model", "stream"],
        ["max_completion_tokens", "messages", "model", "stream"],
    ]


async def test_a_refusal_that_stays_is_not_asked_for_ever(provider: OpenAI, server: ScriptedServer) -> None:
    for _ in range(9):
        server.script(*whole(OPENAI.error_body("stream_options, max_completion_tokens"), 400))
    assert isinstance((await collect(provider.stream(question(max_tokens=5)))).error, BadRequest)
    assert len(server.questions) == 3


SHAPES: dict[str, tuple[list[Any], list[Any]]] = {
    "reasoning under either name": (
        [delta(reasoning_content="a"), delta(reasoning="b"), delta("c", "stop")],
        [ReasoningDelta("a"), ReasoningDelta("b"), TextDelta("c"), Finish("stop")],
    ),
    "done without a finish reason": ([delta("a"), b"[DONE]"], [TextDelta("a"), Finish("stop")]),
    "done twice": ([delta("a", "stop"), b"[DONE]", b"[DONE]"], [TextDelta("a"), Finish("stop")]),
    "a finish reason without done": ([delta("a"), delta(None, "stop")], [TextDelta("a"), Finish("stop")]),
    "an unknown finish reason": ([delta("a", "eos")], [TextDelta("a"), Finish("stop")]),
    "a content filter": ([delta("a", "content_filter")], [TextDelta("a"), Finish("content_filter")]),
    "a refusal": ([delta(None, refusal="No."), delta(None, "stop")], [TextDelta("No."), Finish("stop")]),
    "cached tokens, usage in every chunk": (
        [
            delta("a") | {"usage": {"prompt_tokens": 1, "completion_tokens": 1}},
            delta(None, "stop"),
            {
                "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}},
            },
            b"[DONE]",
        ],
        [TextDelta("a"), Usage(9, 2, 8), Finish("stop")],
    ),
    "cached tokens as DeepSeek counts them": (
        [
            delta("a", "stop"),
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 2,
                    "prompt_cache_hit_tokens": 8,
                    "prompt_cache_miss_tokens": 1,
                    "prompt_tokens_details": None,
                },
            },
        ],
        [TextDelta("a"), Usage(9, 2, 8), Finish("stop")],
    ),
    "cached tokens under both names": (
        [
            delta("a", "stop"),
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "prompt_cache_hit_tokens": 8,
                    "prompt_tokens_details": {"cached_tokens": 0},
                },
            },
        ],
        [TextDelta("a"), Usage(9, None, 0), Finish("stop")],
    ),
    "usage that makes no sense": (
        [
            delta("a") | {"usage": "much"},
            delta(None, "stop") | {"usage": {"prompt_tokens": -1, "completion_tokens": True}},
        ],
        [TextDelta("a"), Finish("stop")],
    ),
    "Mistral's lists of thoughts and words": (
        [
            delta(""),
            delta([thinking("I "), {"type": "text", "text": ""}]),
            delta(
                [{"type": "thinking", "thinking": [{"type": "text", "text": "thi"}, {"type": "text", "text": "nk\0."}]}]
            ),
            delta([thinking("!"), {"type": "text", "text": "So "}]),
            delta("be "),
            delta([{"type": "text", "text": "it."}], "stop"),
        ],
        [
            ReasoningDelta("I "),
            ReasoningDelta("thi"),
            ReasoningDelta("nk\ufffd."),
            ReasoningDelta("!"),
            TextDelta("So "),
            TextDelta("be "),
            TextDelta("it."),
            Finish("stop"),
        ],
    ),
    "pieces of no known type": (
        [
            delta([{"type": "reference", "reference_ids": [1]}, {"type": "image_url", "image_url": {"url": "x"}}, {}]),
            delta(
                [{"type": "thinking"}, {"type": "thinking", "thinking": [7, None, {"type": "reference", "text": 7}]}]
            ),
            delta([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": {"a": 1}}, {"type": ["text"]}]),
            delta([], "stop"),
        ],
        [ReasoningDelta("Hm."), Finish("stop")],
    ),
    "a whole message": (
        [
            {
                "choices": [
                    {"message": {"content": [thinking("Hm."), {"type": "text", "text": "a"}]}, "finish_reason": "stop"}
                ]
            }
        ],
        [ReasoningDelta("Hm."), TextDelta("a"), Finish("stop")],
    ),
    "a whole message after its pieces": (
        [delta("a"), {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}],
        [TextDelta("a"), Finish("stop")],
    ),
    "null wherever it is allowed": (
        [{"choices": None, "usage": None, "error": None}, {"choices": [{"delta": None}]}, delta("a", "stop")],
        [TextDelta("a"), Finish("stop")],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_that_servers_give_is_read(shape: str, provider: OpenAI, server: ScriptedServer) -> None:
    sent, events = SHAPES[shape]
    server.script(*OPENAI.stream(*frames(*sent)))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    assert outcome.events == events


ERRORS: dict[str, tuple[Any, type[Exception]]] = {
    "a code of OpenRouter": ({"error": {"code": 429, "message": "slow"}}, RateLimited),
    "a rate limit by name": ({"error": {"code": "rate_limit_exceeded", "message": "slow"}}, RateLimited),
    "a key by name": ({"error": {"code": "invalid_api_key", "message": "bad"}}, KeyRejected),
    "a context by name": ({"error": {"code": "context_length_exceeded", "message": "?"}}, PromptTooLong),
    "a model by name": ({"error": {"code": "model_not_found", "message": "?"}}, ModelMissing),
    "a filter by name": ({"error": {"code": "content_filter", "message": "?"}}, Filtered),
    "a request by type": ({"error": {"type": "invalid_request_error", "message": "?"}}, BadRequest),
    "broken off, says the server": (delta(None, "error"), StreamCut),
    "aborted, says the server": (delta(None, "abort"), StreamCut),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_error_events_are_told_apart(name: str, provider: OpenAI, server: ScriptedServer) -> None:
    value, expected = ERRORS[name]
    server.script(*OPENAI.stream(OPENAI.text("Hi"), *frames(value), OPENAI.finish()))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is expected
    assert (outcome.text, outcome.finish) == ("Hi", [])


async def test_events_named_error_are_errors_whatever_they_hold(provider: OpenAI, server: ScriptedServer) -> None:
    server.script(*OPENAI.stream(b'event: error\ndata: {"message": "boom"}\n\n'))
    error = (await collect(provider.stream(question()))).error
    assert error is not None
    assert error.sentence == "Acme has a problem of its own: boom"


def call(index: int | None, call_id: str | None = None, name: str | None = None, arguments: str | None = None) -> bytes:
    function = {"name": name, "arguments": arguments}
    return frames(delta(None, tool_calls=[{"index": index, "id": call_id, "function": function}]))[0]


CALLS = {
    "no index": ([call(None, "c", "f", "{}")], [ToolCallPart("c", "f", "{}")]),
    "no function": (frames(delta(None, tool_calls=[{"index": 0, "id": "c"}])), [ToolCallPart("c", "", "")]),
    "NUL and half a pair": (
        [call(0, "c\0", "f", "@").replace(b"@", b"\\ud800")],
        [ToolCallPart("c\ufffd", "f", "\ufffd")],
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_tool_calls_in_every_dress_are_read(name: str, provider: OpenAI, server: ScriptedServer) -> None:
    sent, parts = CALLS[name]
    server.script(*OPENAI.stream(*sent, OPENAI.finish("tool_calls")))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    assert list(outcome.parts) == parts


async def test_lists_of_models_keep_what_servers_add(provider: OpenAI, server: ScriptedServer) -> None:
    entries: list[Any] = [
        {"id": "b-vllm", "max_model_len": 4096},
        {"id": "a-openrouter", "context_length": 9, "architecture": {"input_modalities": ["text", "image"]}},
        {"id": "c-openrouter", "supported_parameters": ["tools"], "architecture": {"input_modalities": ["text"]}},
        {"id": "d-mistral", "max_context_length": 5, "capabilities": {"vision": False, "function_calling": True}},
        {"id": "e-llama.cpp", "meta": {"n_ctx_train": 7, "size": 11}, "capabilities": ["completion"]},
        {"id": "b-vllm", "max_model_len": 4097},
        {"id": "f-wrong", "context_length": "many", "max_completion_tokens": -3, "meta": [], "architecture": 7},
        {"id": "line\nbreak"},
        {"id": ""},
        {"id": 7},
        {"id": "x" * 301},
        "nonsense",
    ]
    expected = [
        Model("a-openrouter", context_window=9, has_vision=True),
        Model("b-vllm", context_window=4097),
        Model("c-openrouter", has_vision=False, has_tools=True, has_reasoning=False),
        Model("d-mistral", context_window=5, has_vision=False, has_tools=True),
        Model("e-llama.cpp", context_window=7, size_bytes=11),
        Model("f-wrong"),
    ]
    server.answers["/v1/models"] = whole(json.dumps({"data": entries}).encode())
    assert await provider.list_models() == expected
    server.answers["/v1/models"] = whole(json.dumps(entries).encode())
    assert await provider.list_models() == expected
