"""What only Gemini's protocol has: signatures, blocks, errors in arrays, names in paths, lists in pages."""

import json
from typing import Any

import httpx
import pytest

from app.parts import (
    ErrorPart,
    Finish,
    Part,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from app.providers.base import Account, Amended, ChatMessage, ChatRequest, Image, Model, Role, Tool
from app.providers.errors import (
    BadRequest,
    Filtered,
    GaveUp,
    KeyRejected,
    ModelMissing,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
    StreamCut,
)
from app.providers.gemini import Gemini
from tests.providers.conftest import KEY, PATIENT, collect, question
from tests.scripted import GEMINI, ScriptedServer, whole


@pytest.fixture
def provider(server: ScriptedServer, client: httpx.AsyncClient) -> Gemini:
    return Gemini(Account("Acme", server.url_for(GEMINI), KEY), client, PATIENT)


def frame(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\r\n\r\n"


def chunk(*parts: dict[str, Any], reason: str | None = None, **fields: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    return frame(candidates=[candidate | ({"finishReason": reason} if reason else {})], **fields)


def said(role: Role, *parts: Part | Image) -> ChatMessage:
    return ChatMessage(role, parts)


def test_the_body_has_all_that_a_request_can_carry(provider: Gemini) -> None:
    messages = (
        said("system", TextPart("Be brief.")),
        said("user", TextPart("What is"), Image("image/png", b"\x89PNG"), TextPart("this?")),
        said("user", TextPart("And that?")),
        said(
            "assistant",
            ReasoningPart("Look.", signature="gemini:c2ln"),
            ReasoningPart("Unsigned."),
            ReasoningPart("Elsewhere.", signature="openai:abc"),
            TextPart("A moment."),
            ToolCallPart("c1", "look", '{"at": 1}', signature="gemini:Zmlyc3Q="),
            ToolCallPart("gemini_call_1", "go", "nonsense"),
        ),
        said("tool", ToolResultPart("c1", "found")),
        said("tool", ToolResultPart("gemini_call_1", "no", is_error=True)),
        said("assistant", TextPart("It"), TextPart("", signature="gemini:bGFzdA=="), ErrorPart("cut", "Broken off.")),
    )
    parameters = question(temperature=0, top_p=0.9, top_k=5, max_tokens=7, stop=("END",)).parameters
    tool = Tool("look", "Looks.", {"type": "object"})
    assert provider.body(ChatRequest("m", messages, parameters, (tool,), continues=True)) == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                    {"text": "this?"},
                    {"text": "And that?"},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "Look.", "thought": True, "thoughtSignature": "c2ln"},
                    {"text": "A moment."},
                    {
                        "functionCall": {"id": "c1", "name": "look", "args": {"at": 1}},
                        "thoughtSignature": "Zmlyc3Q=",
                    },
                    {"functionCall": {"name": "go", "args": {"invalid_json": "nonsense"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "look", "response": {"output": "found"}}},
                    {"functionResponse": {"name": "go", "response": {"error": "no"}}},
                ],
            },
            {"role": "model", "parts": [{"text": "It"}, {"text": "", "thoughtSignature": "bGFzdA=="}]},
            {
                "role": "user",
                "parts": [{"text": "Continue exactly where you stopped. Repeat nothing and add no comment."}],
            },
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "look", "description": "Looks.", "parametersJsonSchema": {"type": "object"}}
                ]
            }
        ],
        "generationConfig": {
            "temperature": 0,
            "topP": 0.9,
            "topK": 5,
            "maxOutputTokens": 7,
            "stopSequences": ["END"],
            "thinkingConfig": {"includeThoughts": True},
        },
    }


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-3-pro", "low", {"thinkingLevel": "LOW"}),
        ("gemini-3-pro", "high", {"thinkingLevel": "HIGH"}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1_024}),
        ("gemini-2.5-flash", "high", {"thinkingBudget": 24_576}),
        ("gemini-2.5-flash", None, {}),
    ],
)
def test_efforts_are_told_as_the_model_knows_them(
    model: str, effort: str | None, config: dict[str, Any], provider: Gemini
) -> None:
    body = provider.body(question(model=model, reasoning_effort=effort))
    assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True} | config


def test_more_stop_sequences_than_it_takes_are_refused_by_name(provider: Gemini) -> None:
    with pytest.raises(BadRequest, match=r"Acme takes at most 5 stop sequences\."):
        provider.body(question(stop=("a", "b", "c", "d", "e", "f")))


async def test_signatures_stay_with_the_parts_they_came_with(provider: Gemini, server: ScriptedServer) -> None:
    server.script(
        *GEMINI.stream(
            chunk({"text": "Hm", "thought": True}),
            chunk({"text": ".", "thought": True, "thoughtSignature": "dGhvdWdodA=="}),
            chunk({"text": "Look"}),
            chunk({"text": "ing.", "thoughtSignature": "dGV4dA=="}),
            chunk({"functionCall": {"name": "look", "args": {"b": 1, "a": []}}, "thoughtSignature": "Y2FsbA=="}),
            chunk({"functionCall": {"id": "g2", "name": "go"}}),
            chunk({"thoughtSignature": "ZW5k"}, reason="STOP"),
        )
    )
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    assert outcome.parts == (
        ReasoningPart("Hm.", signature="gemini:dGhvdWdodA=="),
        TextPart("Looking.", signature="gemini:dGV4dA=="),
        ToolCallPart("gemini_call_0", "look", '{"b":1,"a":[]}', signature="gemini:Y2FsbA=="),
        ToolCallPart("g2", "go", "{}"),
        TextPart("", signature="gemini:ZW5k"),
    )
    assert outcome.finish == [Finish("tool_calls")]
    results = said("tool", ToolResultPart("gemini_call_0", "here"), ToolResultPart("g2", "gone"))
    answered = (*question().messages, ChatMessage("assistant", outcome.parts), results)  # type: ignore[arg-type]
    sent = provider.body(ChatRequest("m", answered))
    assert [part.get("thoughtSignature") for part in sent["contents"][1]["parts"]] == [
        "dGhvdWdodA==",
        "dGV4dA==",
        "Y2FsbA==",
        None,
        "ZW5k",
    ]


async def test_usage_counts_thoughts_as_output_and_what_was_cached(provider: Gemini, server: ScriptedServer) -> None:
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "cachedContentTokenCount": 8}
    early, late = {"promptTokenCount": 9}, counts | {"totalTokenCount": 16}
    server.script(*GEMINI.stream(chunk({"text": "Hi"}, usageMetadata=early), chunk(reason="STOP", usageMetadata=late)))
    assert (await collect(provider.stream(question()))).events == [TextDelta("Hi"), Usage(9, 7, 8), Finish("stop")]


ENDS: dict[str, tuple[str, Any]] = {
    "STOP": ("stop", None),
    "MAX_TOKENS": ("length", None),
    "SAFETY": ("content_filter", None),
    "RECITATION": ("content_filter", None),
    "PROHIBITED_CONTENT": ("content_filter", None),
    "BLOCKLIST": ("content_filter", None),
    "SPII": ("content_filter", None),
    "LANGUAGE": ("content_filter", None),
    "IMAGE_SAFETY": ("content_filter", None),
    "OTHER": ("", GaveUp),
    "MALFORMED_FUNCTION_CALL": ("", GaveUp),
    "UNEXPECTED_TOOL_CALL": ("", GaveUp),
    "MISSING_THOUGHT_SIGNATURE": ("", GaveUp),
    "A_REASON_OF_NEXT_YEAR": ("", GaveUp),
    "FINISH_REASON_UNSPECIFIED": ("", StreamCut),
}


@pytest.mark.parametrize("reason", ENDS)
async def test_every_finish_reason_is_an_end_or_an_error(reason: str, provider: Gemini, server: ScriptedServer) -> None:
    finish, error = ENDS[reason]
    server.script(*GEMINI.stream(chunk({"text": "Hi"}), chunk(reason=reason)))
    outcome = await collect(provider.stream(question()))
    assert [each.reason for each in outcome.finish] == ([finish] if finish else [])
    assert (outcome.text, type(outcome.error)) == ("Hi", error or type(None))


async def test_what_came_with_an_unknown_reason_is_kept(provider: Gemini, server: ScriptedServer) -> None:
    server.script(*GEMINI.stream(chunk({"text": "Hi"}, reason="OTHER", usageMetadata={"promptTokenCount": 9})))
    outcome = await collect(provider.stream(question()))
    assert outcome.events == [TextDelta("Hi"), Usage(9)]
    assert isinstance(outcome.error, GaveUp)
    assert outcome.error.sentence == "Acme ended the answer for a reason of its own: OTHER."


BLOCKS = {
    "before it began": frame(promptFeedback={"blockReason": "PROHIBITED_CONTENT"}),
    "with a sentence": frame(promptFeedback={"blockReason": "OTHER", "blockReasonMessage": "Not <b>here</b>."}),
    "instead of an answer": chunk(reason="SAFETY"),
}


@pytest.mark.parametrize("name", BLOCKS)
async def test_a_block_is_said_where_there_is_no_answer(name: str, provider: Gemini, server: ScriptedServer) -> None:
    server.script(*GEMINI.stream(BLOCKS[name]))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is Filtered
    assert outcome.error.sentence in (
        "Acme ended this for safety reasons: PROHIBITED_CONTENT",
        "Acme ended this for safety reasons: Not here .",
        "Acme ended this for safety reasons: SAFETY",
    )
    assert not outcome.finish


async def test_a_reason_in_every_chunk_ends_nothing_before_the_last(provider: Gemini, server: ScriptedServer) -> None:
    server.script(*GEMINI.stream(chunk({"text": "Hel"}, reason="STOP"), chunk({"text": "lo"}, reason="MAX_TOKENS")))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.finish) == ("Hello", [Finish("length")])
    server.script(*GEMINI.stream(chunk({"text": "Hel"}, reason="STOP"), chunk({"text": "lo"})))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.finish, type(outcome.error)) == ("Hello", [], StreamCut)


async def test_what_is_not_text_is_passed_over(provider: Gemini, server: ScriptedServer) -> None:
    server.script(
        *GEMINI.stream(
            frame(candidates=None, usageMetadata=None),
            frame(candidates=[{"content": {"role": "model"}}]),
            chunk({"executableCode": {"code": "1"}}, {"inlineData": {"mimeType": "image/png", "data": ""}}),
            chunk({"text": "Hi"}, reason="STOP"),
        )
    )
    assert (await collect(provider.stream(question()))).events == [TextDelta("Hi"), Finish("stop")]


def google(code: int, message: str, status: str = "", *details: dict[str, Any]) -> bytes:
    return json.dumps([{"error": {"code": code, "message": message, "status": status, "details": details}}]).encode()


REFUSALS: dict[str, tuple[int, bytes, type[ProviderError]]] = {
    "a bad key, as a bad request": (
        400,
        google(400, "API key not valid.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
        KeyRejected,
    ),
    "a prompt that is too long": (
        400,
        google(400, "The input token count (9) exceeds the maximum number of tokens allowed (5).", "INVALID_ARGUMENT"),
        PromptTooLong,
    ),
    "a model that is missing": (
        404,
        google(404, "models/scripted is not found for API version v1beta.", "NOT_FOUND"),
        ModelMissing,
    ),
    "a country": (
        400,
        google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        BadRequest,
    ),
    "too much": (429, google(429, "Resource exhausted", "RESOURCE_EXHAUSTED"), RateLimited),
    "overload": (503, google(503, "The model is overloaded.", "UNAVAILABLE"), Overloaded),
    "an empty array": (500, b"[]", Overloaded),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_in_arrays_are_told_apart(name: str, provider: Gemini, server: ScriptedServer) -> None:
    status, body, expected = REFUSALS[name]
    server.script(*whole(body, status))
    assert type((await collect(provider.stream(question()))).error) is expected


@pytest.mark.parametrize("is_array", [False, True])
async def test_errors_in_the_middle_are_told_apart(is_array: bool, provider: Gemini, server: ScriptedServer) -> None:
    error = {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}
    sent = b"data: " + json.dumps([error] if is_array else error).encode() + b"\n\n"
    server.script(*GEMINI.stream(GEMINI.text("Hi"), sent, GEMINI.finish()))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, type(outcome.error), outcome.finish) == ("Hi", RateLimited, [])


@pytest.mark.parametrize(("delay", "seconds"), [("34.5s", 34.5), ("7s", 7.0), ("soon", None), (7, None)])
async def test_how_long_to_wait_stands_in_the_details(
    delay: object, seconds: float | None, provider: Gemini, server: ScriptedServer
) -> None:
    server.script(*whole(google(429, "slow", "RESOURCE_EXHAUSTED", {"retryDelay": delay}), 429))
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == seconds


NAMES = ["scripted", "tuned/../../x", "a?b=c#d", "é 𝄞", "%2F..", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
async def test_a_models_name_means_nothing_to_the_path(name: str, provider: Gemini, server: ScriptedServer) -> None:
    outcome = await collect(provider.stream(question(model=name)))
    assert outcome.error is None
    assert GEMINI.model_of(server.questions[0]) == name
    assert server.questions[0].path.count("/") == 3
    assert server.questions[0].query == "alt=sse"


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\x00b", "a:b", "\ud800", "x" * 301])
async def test_a_name_that_is_none_is_never_sent(name: str, provider: Gemini, server: ScriptedServer) -> None:
    assert type((await collect(provider.stream(question(model=name)))).error) is ModelMissing
    assert server.requests == []


async def test_the_key_stands_in_no_address(provider: Gemini, server: ScriptedServer) -> None:
    await collect(provider.stream(question()))
    await provider.list_models()
    await provider.count_tokens(question())
    assert len(server.requests) == 3
    for asked in server.requests:
        assert KEY not in asked.target
        assert asked.headers["x-goog-api-key"] == KEY
        assert "authorization" not in asked.headers


async def test_the_list_is_read_page_by_page(provider: Gemini, server: ScriptedServer) -> None:
    chat = {"supportedGenerationMethods": ["generateContent", "countTokens"]}
    entries: list[Any] = [
        {"name": "models/b", "inputTokenLimit": 9, "outputTokenLimit": 5, "thinking": True} | chat,
        {"name": "models/a", "inputTokenLimit": "many", "outputTokenLimit": -1, "thinking": "yes"} | chat,
        {"name": "models/e", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/draws", "supportedGenerationMethods": ["predict"]},
        {"name": "models/unknown"},
        {"name": "models/"},
        {"name": "line\nbreak"},
        {"name": 7},
    ]
    server.answers["/v1beta/models"] = whole(json.dumps({"models": entries}).encode())
    assert await provider.list_models() == [
        Model("a", is_embedding=False),
        Model("b", context_window=9, max_output_tokens=5, has_reasoning=True, is_embedding=False),
        Model("e", is_embedding=True),
        Model("unknown"),
    ]
    assert server.requests[0].query == "pageSize=1000"


async def test_a_list_without_an_end_is_ended(provider: Gemini, server: ScriptedServer) -> None:
    page = {"models": [{"name": "models/a"}], "nextPageToken": "more&more"}
    server.answers["/v1beta/models"] = whole(json.dumps(page).encode())
    assert [model.name for model in await provider.list_models()] == ["a"]
    assert len(server.requests) == 10
    assert {asked.query for asked in server.requests[1:]} == {"pageSize=1000&pageToken=more%26more"}


async def test_tokens_are_counted_by_the_model_or_estimated(provider: Gemini, server: ScriptedServer) -> None:
    counted = await provider.count_tokens(question("One two three", stop=("END",)))
    assert counted.is_exact
    asked = server.requests[0]
    assert asked.path == "/v1beta/models/scripted:countTokens"
    wrapped = asked.json["generateContentRequest"]
    assert wrapped == {"model": "models/scripted"} | provider.body(question("One two three", stop=("END",)))
    server.answers[asked.path] = whole(GEMINI.error_body("boom"), 500)
    assert not (await provider.count_tokens(question("One two three"))).is_exact


AMENDMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Thinking level is not supported for this model.": (
        "effort",
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 24_576}}},
    ),
    "Thinking is not enabled for models/scripted": ("effort", {"generationConfig": None}),
    "Developer instruction is not enabled for models/gemma-3": (
        "system",
        {
            "systemInstruction": None,
            "contents": [{"role": "user", "parts": [{"text": "Be brief."}, {"text": "Why?"}]}],
        },
    ),
}


@pytest.mark.parametrize("complaint", AMENDMENTS)
async def test_what_a_model_refuses_is_told_otherwise_or_not(
    complaint: str, provider: Gemini, server: ScriptedServer
) -> None:
    why, expected = AMENDMENTS[complaint]
    messages = (said("system", TextPart("Be brief.")), said("user", TextPart("Why?")))[why == "effort" :]
    request = ChatRequest("scripted", messages, question(reasoning_effort="high").parameters)
    server.script(*whole(google(400, complaint, "INVALID_ARGUMENT"), 400))
    outcome = await collect(provider.stream(request))
    assert outcome.error is None
    first, second = (each.json for each in server.questions)
    assert {name: second.get(name) for name in first if first[name] != second.get(name)} == expected
    assert outcome.events[0] == Amended(second)
    assert provider.body(request) == second


async def test_a_refusal_for_another_reason_is_one(provider: Gemini, server: ScriptedServer) -> None:
    server.script(*whole(google(400, "Think again: temperature must be below 2.", "INVALID_ARGUMENT"), 400))
    server.script(*whole(google(400, "No.", "INVALID_ARGUMENT"), 400))
    assert type((await collect(provider.stream(question()))).error) is BadRequest
    assert len(server.questions) == 2  # it said something of thinking, so once more without
