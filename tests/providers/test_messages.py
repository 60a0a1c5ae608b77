"""What Anthropic is asked: bodies, and what a refusal changes in them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.parts import ErrorPart, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from app.providers import amendments
from app.providers.anthropic import Anthropic
from app.providers.base import Account, Amended, ChatMessage, ChatRequest, Image, Parameters, Role
from app.providers.messages import is_recent
from app.providers.prompts import CUT_OFF
from tests.providers.conftest import KEY, PATIENT, collect, conversation, question
from tests.scripted import ANTHROPIC, ScriptedServer, whole

OLD, NEW = "claude-sonnet-4-5-20250929", "claude-opus-4-8"


@pytest.fixture
async def provider(server: ScriptedServer, client: httpx.AsyncClient) -> AsyncIterator[Anthropic]:
    yield Anthropic(Account("Acme", server.url_for(ANTHROPIC), KEY), client, PATIENT)
    amendments.forget()


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def said(role: Role, *parts: Part | Image) -> ChatMessage:
    return ChatMessage(role, parts)


def test_the_body_has_the_parameters_that_the_protocol_knows(provider: Anthropic) -> None:
    every = Parameters(0.5, 0.9, 5, 1.1, max_tokens=7, context_window=99, stop=("END", "\n"))
    assert provider.body(ChatRequest("m", (said("user", TextPart("Why?")),), every)) == {
        "model": "m",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": [text("Why?")]}],
        "stream": True,
        "cache_control": {"type": "ephemeral"},
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
    }
    assert provider.takes == {"temperature", "top_p", "top_k", "max_tokens", "stop", "reasoning_effort"}
    assert provider.body(question(temperature=1.7))["temperature"] == 1.0


@pytest.mark.parametrize(
    ("asked", "known", "sent"), [(None, None, 8192), (None, 4096, 4096), (None, 128_000, 32_000), (99, None, 99)]
)
def test_every_body_says_how_long_an_answer_may_be(
    asked: int | None, known: int | None, sent: int, provider: Anthropic
) -> None:
    request = ChatRequest("m", (), Parameters(max_tokens=asked), max_output_tokens=known)
    assert provider.body(request)["max_tokens"] == sent


def test_prompts_are_written_as_the_protocol_wants_them(provider: Anthropic) -> None:
    body = provider.body(conversation(continues=False))
    assert body["system"] == "Be brief."
    assert body["messages"] == [
        {"role": "user", "content": [text("One?"), text("Two?")]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "found"}]},
        {"role": "assistant", "content": [text("It is")]},
    ]
    assert body["tools"] == [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]


def test_pictures_results_and_oddities_have_their_places(provider: Anthropic) -> None:
    thought = ReasoningPart("Where?", signature="anthropic:c2ln")
    messages = (
        said("user", TextPart(" "), Image("image/png", b"\x89PNG"), TextPart("What is this?")),
        said(
            "assistant",
            thought,
            TextPart("I look."),
            ToolCallPart("call:1", "look", "nonsense"),
            ToolCallPart("c2", "go", "{}"),
        ),
        said("tool", ToolResultPart("call:1", "found")),
        said("tool", ToolResultPart("c2", "", is_error=True)),
        said("user", TextPart("Go on.")),
        said("assistant", thought, ToolCallPart("c3", "look", "{}"), ErrorPart("x", "It failed.")),
        said("assistant", thought, TextPart("\n"), Image("image/png", b"drawn")),
        said("user", TextPart("Well?")),
    )
    sent = provider.body(ChatRequest("m", messages))["messages"]
    assert sent == [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                text("What is this?"),
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Where?", "signature": "c2ln"},
                text("I look."),
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"invalid_json": "nonsense"}},
                {"type": "tool_use", "id": "c2", "name": "go", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "found"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "", "is_error": True},
            ],
        },
        {"role": "assistant", "content": [text(CUT_OFF)]},
        {"role": "user", "content": [text("Go on."), text("Well?")]},
    ]


NAMES = {
    "claude-2.1": False,
    "claude-instant-1.2": False,
    "claude-3-haiku-20240307": False,
    "claude-3-7-sonnet-latest": False,
    "claude-sonnet-4-20250514": False,
    "claude-opus-4-1-20250805": False,
    "claude-sonnet-4-5": False,
    "claude-haiku-4-5@20251001": False,
    "anthropic.claude-opus-4-5-20251101-v1:0": False,
    "anthropic/claude-opus-4.5": False,
    "claude-opus-4-6": True,
    "claude-opus-4-10": True,
    "anthropic/claude-sonnet-4.6": True,
    "claude-sonnet-5-20260601": True,
    "claude-mythos-preview": True,
    "deepseek-chat": False,
    "tiny": False,
}


@pytest.mark.parametrize("name", NAMES)
def test_claude_since_4_6_is_known_by_its_name(name: str) -> None:
    assert is_recent(name) is NAMES[name]


EFFORTS: list[tuple[str, str, int | None, int | None, Any, int]] = [
    (OLD, "low", None, None, {"type": "enabled", "budget_tokens": 2048}, 8192 + 2048),
    (OLD, "medium", 500, None, {"type": "enabled", "budget_tokens": 8192}, 500 + 8192),
    (OLD, "high", None, 64_000, {"type": "enabled", "budget_tokens": 24_576}, 32_000 + 24_576),
    (OLD, "high", None, 4096, {"type": "enabled", "budget_tokens": 4095}, 4096),
    (OLD, "high", 800, 1000, None, 800),
    (NEW, "high", 500, None, {"type": "adaptive", "display": "summarized"}, 500 + 24_576),
    (NEW, "low", None, 128_000, {"type": "adaptive", "display": "summarized"}, 32_000 + 2048),
]


@pytest.mark.parametrize(("model", "effort", "asked", "known", "thinking", "sent"), EFFORTS)
def test_efforts_become_budgets_or_are_told(
    model: str, effort: Any, asked: int | None, known: int | None, thinking: Any, sent: int, provider: Anthropic
) -> None:
    parameters = Parameters(reasoning_effort=effort, max_tokens=asked, temperature=0.5, top_k=3, top_p=0.5)
    body = provider.body(ChatRequest(model, (), parameters, max_output_tokens=known))
    assert (body.get("thinking"), body["max_tokens"]) == (thinking, sent)
    assert body.get("output_config") == ({"effort": effort} if model == NEW else None)
    sampled = {"temperature", "top_k", "top_p"}
    assert body.keys() & sampled == (set() if thinking else sampled)
    high = Parameters(reasoning_effort="high", top_p=0.97)
    assert provider.body(ChatRequest(model, (), high))["top_p"] == 0.97


@pytest.mark.parametrize(("signature", "thinks"), [("anthropic:c2ln", True), ("gemini:c2ln", False), (None, False)])
def test_a_turn_goes_on_thinking_where_its_thoughts_can_go_back(
    signature: str | None, thinks: bool, provider: Anthropic
) -> None:
    call = said("assistant", ReasoningPart("Where?", signature=signature), ToolCallPart("c1", "look", "{}"))
    messages = (said("user", TextPart("Where?")), call, said("tool", ToolResultPart("c1", "found")))
    high = Parameters(reasoning_effort="high")
    assert ("thinking" in provider.body(ChatRequest(OLD, messages, high))) is thinks
    later = (*messages, said("assistant", TextPart("There.")), said("user", TextPart("And?")))
    assert "thinking" in provider.body(ChatRequest(OLD, later, high))


REFUSALS: list[tuple[str, ChatRequest, str, Any]] = [
    (
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort"'
        " to control thinking behavior.",
        question("Hi", OLD, reasoning_effort="high"),
        "thinking",
        {"type": "adaptive", "display": "summarized"},
    ),
    (
        "adaptive thinking is not supported on this model",
        question("Hi", NEW, reasoning_effort="low"),
        "thinking",
        {"type": "enabled", "budget_tokens": 2048},
    ),
    (
        "This model does not support the effort parameter.",
        question("Hi", NEW, reasoning_effort="low"),
        "output_config",
        None,
    ),
    ("`temperature` is deprecated for this model.", question(temperature=0.2), "temperature", None),
    (
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        question(temperature=0.2, top_p=0.5),
        "top_p",
        None,
    ),
    ("top_k: Extra inputs are not permitted", question(top_k=3), "top_k", None),
    ("cache_control: Extra inputs are not permitted", question(), "cache_control", None),
    (
        "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku-20240307",
        question(),
        "max_tokens",
        4096,
    ),
    (
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        ChatRequest(
            "m",
            (
                said("user", TextPart("Hi")),
                said("assistant", ReasoningPart("Hm.", signature="anthropic:bad"), ToolCallPart("c", "f", "{}")),
                said("tool", ToolResultPart("c", "found")),
            ),
        ),
        "messages",
        [
            {"role": "user", "content": [text("Hi")]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "found"}]},
        ],
    ),
]


@pytest.mark.parametrize(("complaint", "request_", "field", "value"), REFUSALS, ids=[r[0][:40] for r in REFUSALS])
async def test_what_is_refused_is_asked_otherwise_at_once_and_from_then_on(
    complaint: str, request_: ChatRequest, field: str, value: Any, provider: Anthropic, server: ScriptedServer
) -> None:
    first = provider.body(request_)
    assert first[field] != value
    error = {"type": "invalid_request_error", "message": complaint}
    server.script(*whole(json.dumps({"type": "error", "error": error}).encode(), 400))
    outcome = await collect(provider.stream(request_))
    assert outcome.error is None
    assert [asked.json for asked in server.questions] == [first, provider.body(request_)]
    assert provider.body(request_).get(field) == value
    assert outcome.events[0] == Amended(provider.body(request_))


async def test_a_model_that_cannot_think_at_all_is_not_asked_to(provider: Anthropic, server: ScriptedServer) -> None:
    for _ in range(2):
        server.script(*whole(ANTHROPIC.error_body("thinking is not supported by this model"), 400))
    outcome = await collect(provider.stream(question("Hi", OLD, reasoning_effort="high")))
    assert outcome.text.startswith("Seven")
    assert ["thinking" in asked.json for asked in server.questions] == [True, True, False]
