"""What only Anthropic's dialect has on the way back: blocks, signatures, cache counts, errors, models, counts."""

import json
from typing import Any

import httpx
import pytest

from app.parts import Finish, FinishReason, ReasoningDelta, ReasoningPart, TextDelta, TextPart, ToolCallPart, Usage
from app.providers.anthropic import Anthropic
from app.providers.base import Account, ChatMessage, ChatRequest, Model, TokenCount
from app.providers.errors import (
    BadRequest,
    KeyRejected,
    ModelMissing,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
)
from app.providers.message_events import blocks_of
from tests.providers.conftest import KEY, PATIENT, collect, question
from tests.scripted import ANTHROPIC, Close, ScriptedServer, whole


@pytest.fixture
def provider(server: ScriptedServer, client: httpx.AsyncClient) -> Anthropic:
    return Anthropic(Account("Acme", server.url_for(ANTHROPIC), KEY), client, PATIENT)


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind} | fields).encode())


def begin(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind} | fields)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind} | fields)


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def thought(index: int, text: str, signature: str) -> bytes:
    pieces = delta(index, "thinking_delta", thinking=text) + delta(index, "signature_delta", signature=signature)
    return begin(index, "thinking", thinking="", signature="") + pieces + stop(index)


async def test_requests_say_which_version_they_are_of(provider: Anthropic, server: ScriptedServer) -> None:
    await provider.list_models()
    await collect(provider.stream(question()))
    await provider.count_tokens(question())
    assert [asked.headers["anthropic-version"] for asked in server.requests] == ["2023-06-01"] * 3
    assert [asked.headers["x-api-key"] for asked in server.requests] == [KEY] * 3


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_base_urls_come_with_and_without_their_version(
    ending: str, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    provider = Anthropic(Account("Acme", server.url + ending), client, PATIENT)
    assert [model.name for model in await provider.list_models()] == ["scripted"]
    assert (await collect(provider.stream(question()))).finish == [Finish("stop")]


async def test_pings_and_unknown_events_mean_nothing(provider: Anthropic, server: ScriptedServer) -> None:
    unknown = event("content_block_delta", index=0, delta={"type": "citations_delta", "citation": {}})
    odd = begin(3, "server_tool_use", id="s1", name="web_search", input={}) + delta(
        3, "input_json_delta", partial_json="{}"
    )
    server.script(
        *ANTHROPIC.stream(ANTHROPIC.ping(), ANTHROPIC.text("Hi"), event("later"), unknown, odd, ANTHROPIC.finish())
    )
    assert (await collect(provider.stream(question()))).events == [TextDelta("Hi"), Finish("stop")]


async def test_signed_thoughts_go_back_in_the_blocks_that_they_came_in(
    provider: Anthropic, server: ScriptedServer
) -> None:
    blocks = (
        thought(0, "Hm, é𝄞. ", "sig1"),
        begin(1, "redacted_thinking", data="c2VjcmV0"),
        stop(1),
        thought(2, "And so.", "sig2"),
        begin(3, "text", text=""),
        delta(3, "text_delta", text="I look. "),
        stop(3),
        thought(4, "Where?", "[sig3"),
        begin(5, "tool_use", id="c1", name="look", input={}),
        delta(5, "input_json_delta", partial_json='{"at":'),
        delta(5, "input_json_delta", partial_json=" 1}"),
        stop(5),
    )
    server.script(*ANTHROPIC.stream(*blocks, ANTHROPIC.finish("tool_calls")))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    first, text, second, call = outcome.parts
    assert isinstance(first, ReasoningPart)
    assert isinstance(second, ReasoningPart)
    assert (first.text, text, second.text) == ("Hm, é𝄞. And so.", TextPart("I look. "), "Where?")
    assert call == ToolCallPart("c1", "look", '{"at": 1}')
    assert blocks_of(first) == [
        {"type": "thinking", "thinking": "Hm, é𝄞. ", "signature": "sig1"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "thinking", "thinking": "And so.", "signature": "sig2"},
    ]
    assert blocks_of(second) == [{"type": "thinking", "thinking": "Where?", "signature": "[sig3"}]


@pytest.mark.parametrize("signature", [None, "", "gemini:c2ln", "anthropic:", "anthropic:[nonsense", "anthropic:[7]"])
def test_what_anthropic_did_not_sign_is_not_sent_back(signature: str | None) -> None:
    assert blocks_of(ReasoningPart("Hm.", signature=signature)) == []


async def test_thoughts_that_are_kept_secret_are_signed_still(provider: Anthropic, server: ScriptedServer) -> None:
    server.script(*ANTHROPIC.stream(thought(0, "", "sig"), ANTHROPIC.text("Hi"), ANTHROPIC.finish()))
    outcome = await collect(provider.stream(question()))
    assert outcome.events[0] == ReasoningDelta("", "anthropic:sig")
    assert blocks_of(outcome.parts[0]) == [{"type": "thinking", "thinking": "", "signature": "sig"}]  # type: ignore[arg-type]


CALLS: dict[str, tuple[bytes, str]] = {
    "none at all": (begin(1, "tool_use", id="c", name="f", input={}) + stop(1), "{}"),
    "given at the start": (begin(1, "tool_use", id="c", name="f", input={"a": 1}) + stop(1), '{"a":1}'),
    "empty pieces": (
        begin(1, "tool_use", id="c", name="f", input={}) + delta(1, "input_json_delta", partial_json="") + stop(1),
        "{}",
    ),
    "cut off": (begin(1, "tool_use", id="c", name="f") + delta(1, "input_json_delta", partial_json="{"), "{"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_arguments_are_kept_as_the_model_wrote_them(
    name: str, provider: Anthropic, server: ScriptedServer
) -> None:
    sent, arguments = CALLS[name]
    server.script(*ANTHROPIC.stream(sent, ANTHROPIC.finish("tool_calls")))
    outcome = await collect(provider.stream(question()))
    assert outcome.parts == (ToolCallPart("c", "f", arguments),)
    assert outcome.finish == [Finish("tool_calls")]


USAGES: dict[str, tuple[Any, Any, list[Usage]]] = {
    "with a cache": (
        {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1},
        {"output_tokens": 9},
        [Usage(125, 9, 100)],
    ),
    "cumulative at the end": (
        {"input_tokens": 5, "output_tokens": 1},
        {"input_tokens": 6, "cache_read_input_tokens": 0, "output_tokens": 9},
        [Usage(6, 9, 0)],
    ),
    "null and nonsense": (
        {"input_tokens": None, "cache_read_input_tokens": "many", "output_tokens": -1},
        {"output_tokens": True},
        [],
    ),
    "none": (None, None, []),
}


@pytest.mark.parametrize("name", USAGES)
async def test_all_tokens_in_are_counted(name: str, provider: Anthropic, server: ScriptedServer) -> None:
    first, last, expected = USAGES[name]
    start = event("message_start", message={"usage": first})
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage=last)
    server.script(*ANTHROPIC.stream(start, ANTHROPIC.text("Hi"), end, event("message_stop")))
    assert (await collect(provider.stream(question()))).usage == expected


async def test_an_answer_that_breaks_off_says_what_went_in(provider: Anthropic, server: ScriptedServer) -> None:
    start = event("message_start", message={"usage": {"input_tokens": 5, "output_tokens": 1}})
    server.script(*ANTHROPIC.stream(start, ANTHROPIC.text("Hi")))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is not None
    assert outcome.usage == [Usage(5, None)]


STOP_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "length",
    "model_context_window_exceeded": "length",
    "whatever_comes": "stop",
}


@pytest.mark.parametrize("reason", STOP_REASONS)
async def test_stop_reasons_become_ours(reason: str, provider: Anthropic, server: ScriptedServer) -> None:
    server.script(*ANTHROPIC.stream(ANTHROPIC.text("Hi"), ANTHROPIC.finish(reason)))
    assert (await collect(provider.stream(question()))).finish == [Finish(STOP_REASONS[reason])]


ERRORS: list[tuple[str, str, int, type[ProviderError]]] = [
    ("overloaded_error", "Overloaded", 529, Overloaded),
    ("rate_limit_error", "Number of request tokens has exceeded your per-minute rate limit", 429, RateLimited),
    ("authentication_error", "invalid x-api-key", 401, KeyRejected),
    ("permission_error", "Your API key does not have permission to use the specified resource.", 403, KeyRejected),
    ("not_found_error", "model: claude-nonsense", 404, ModelMissing),
    ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", 400, PromptTooLong),
    (
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000, decrease input length",
        400,
        PromptTooLong,
    ),
    ("invalid_request_error", "messages: at least one message is required", 400, BadRequest),
    ("api_error", "Internal server error", 500, Overloaded),
    ("timeout_error", "Request timed out", 504, Overloaded),
]


@pytest.mark.parametrize(
    ("kind", "message", "status", "expected"), ERRORS, ids=[message for _, message, _, _ in ERRORS]
)
async def test_errors_are_told_apart_before_and_within_an_answer(
    kind: str, message: str, status: int, expected: type[ProviderError], provider: Anthropic, server: ScriptedServer
) -> None:
    error = {"type": kind, "message": message}
    server.script(*whole(json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode(), status))
    server.script(*ANTHROPIC.stream(ANTHROPIC.text("Hi"), event("error", error=error)))
    before, within = [await collect(provider.stream(question())) for _ in range(2)]
    assert [type(before.error), type(within.error)] == [expected, expected]
    assert message.replace("`", "")[:20] in str(before.error and before.error.sentence).replace("`", "")
    assert within.text == "Hi"


async def test_models_are_listed_page_by_page(provider: Anthropic, server: ScriptedServer) -> None:
    entries: list[Any] = [
        {"id": "claude-b", "type": "model", "display_name": "B", "created_at": "2026-01-01T00:00:00Z"},
        {
            "id": "claude-a",
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
            "capabilities": {"image_input": {"supported": True}, "thinking": {"supported": False, "types": {}}},
        },
        {"id": "claude-c", "max_input_tokens": "many", "max_tokens": -1, "capabilities": [7]},
        {"id": "line\nbreak"},
        {"id": ""},
        {"id": 7},
        {"id": "x" * 301},
        {},
    ]
    page = {"data": entries, "has_more": True, "first_id": "claude-b", "last_id": "a&b"}
    last = {"data": [{"id": "claude-d"}], "has_more": False, "last_id": "claude-d"}
    server.answers["/v1/models?limit=1000"] = whole(json.dumps(page).encode())
    server.answers["/v1/models?limit=1000&after_id=a%26b"] = whole(json.dumps(last).encode())
    assert await provider.list_models() == [
        Model("claude-a", context_window=200_000, max_output_tokens=64_000, has_vision=True, has_reasoning=False),
        Model("claude-b"),
        Model("claude-c"),
        Model("claude-d"),
    ]
    assert len(server.requests) == 2


async def test_pages_without_end_are_read_no_further_than_the_tenth(
    provider: Anthropic, server: ScriptedServer
) -> None:
    endless = {"data": [{"id": "claude-a"}], "has_more": True, "last_id": "claude-a"}
    server.answers["/v1/models"] = whole(json.dumps(endless).encode())
    assert [model.name for model in await provider.list_models()] == ["claude-a"]
    assert len(server.requests) == 10


async def test_tokens_are_counted_by_the_server_or_estimated(provider: Anthropic, server: ScriptedServer) -> None:
    request = ChatRequest("m", (ChatMessage("user", (TextPart("word " * 300),)),))
    server.answers["/v1/messages/count_tokens"] = whole(b'{"input_tokens": 321}')
    assert await provider.count_tokens(request) == TokenCount(321, is_exact=True)
    assert sorted(server.requests[0].json) == ["messages", "model"]
    for status in (404, 501, 429):
        server.answers["/v1/messages/count_tokens"] = whole(b"{}", status)
        counted = await provider.count_tokens(request)
        assert (counted.is_exact, counted.tokens > 300) == (False, True)


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_count(
    provider: Anthropic, server: ScriptedServer
) -> None:
    server.answers["/v1/messages/count_tokens"] = (*whole(b'{"input_tokens": 321}'), Close())
    counts = [await provider.count_tokens(question()) for _ in range(30)]
    assert counts == [TokenCount(321, is_exact=True)] * 30
    assert len(server.requests) == 30
