"""OpenAI's Responses API: the contract of every adapter once more, and what only this dialect has."""

import json
from typing import Any

import httpx
import pytest

from app.parts import (
    ErrorPart,
    FilePart,
    Finish,
    Part,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from app.providers.base import Account, Amended, ChatMessage, ChatRequest, Image, Limits, Role, Tool
from app.providers.errors import BadRequest, ModelMissing, Overloaded, ProviderError, RateLimited, StreamCut
from app.providers.openai import OpenAI
from tests.providers import test_contract as contract
from tests.providers.conftest import KEY, PATIENT, AtOpenAI, collect, question
from tests.providers.faults import FAULTS, dripped
from tests.providers.test_contract import (  # noqa: F401  (collected here again, with the fixtures below)
    test_after_a_fault_the_next_answer_is_whole,
    test_an_answer_cut_at_any_byte_is_the_same_answer,
    test_an_endless_answer_is_cut_at_the_limit,
    test_answers_that_were_complete_stay_complete_whatever_follows,
    test_broken_off_after_any_byte_it_is_never_complete,
    test_hostile_content_is_text_and_nothing_else,
    test_retry_after_is_read_or_ignored,
)
from tests.scripted import LAST_CHUNK, OPENAI, RESPONSES, Dialect, ScriptedServer, Send, chunk, whole

limits = contract.limits


@pytest.fixture
def dialect() -> Dialect:
    return RESPONSES


@pytest.fixture
def provider(server: ScriptedServer, client: httpx.AsyncClient, limits: Limits) -> AtOpenAI:
    return AtOpenAI(Account("Acme", server.url_for(RESPONSES), KEY), client, limits)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "404 of a path"])
async def test_every_fault_has_its_error(
    fault: str, provider: AtOpenAI, server: ScriptedServer, dialect: Dialect
) -> None:
    await contract.test_every_fault_has_its_error_and_keeps_the_text_before_it(fault, provider, server, dialect)


async def test_characters_split_across_network_chunks_are_whole(provider: AtOpenAI, server: ScriptedServer) -> None:
    text = RESPONSES.text("@@@").replace(b"@@@", "aé€𝄞z".encode())  # the last event alone is too long to drip
    server.script(RESPONSES.head(), *dripped(text, 0.0005), Send(chunk(RESPONSES.finish())), Send(LAST_CHUNK))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.error) == ("aé€𝄞z", None)


async def test_openais_own_package_reads_the_scripted_server(server: ScriptedServer) -> None:
    import openai  # takes half a second: not whenever this file is read

    call = RESPONSES.tool_call("c1", "look", {"at": "x"})
    server.script(*RESPONSES.answer(("Hel", "lo"), thoughts=("Hm",), tool_calls=[call], usage=(3, 4)))
    async with openai.AsyncOpenAI(api_key="k", base_url=server.url_for(RESPONSES)) as sdk:
        stream = await sdk.responses.create(model="scripted", input="Hi", stream=True, store=False)
        events = [event async for event in stream]
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    found = {kind: [event for event in events if event.type == kind] for kind in {event.type for event in events}}
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    thought = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    assert ("".join(said), "".join(thought)) == ("Hello", "Hm")
    items = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.type for item in items] == ["reasoning", "message", "function_call"]
    assert len(found["response.output_item.added"]) == 3
    calls = [item for item in items if item.type == "function_call"]
    assert [(item.call_id, item.name, item.arguments) for item in calls] == [("c1", "look", '{"at": "x"}')]
    usage = events[-1].response.usage  # type: ignore[union-attr]
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (3, 4, 1)


def test_only_hosts_that_are_known_to_have_it_are_asked_through_it(client: httpx.AsyncClient) -> None:
    def is_asked(url: str, **parameters: object) -> bool:
        return "input" in OpenAI(Account("Acme", url), client).body(question(**parameters))

    assert is_asked("https://api.openai.com/v1")
    assert is_asked("https://eu.api.openai.com/v1/")
    assert is_asked("https://harbour.openai.azure.com/openai/v1")
    assert not is_asked("https://api.openai.com.example.org/v1")
    assert not is_asked("https://notapi.openai.com.example.org/v1")
    assert not is_asked("http://127.0.0.1:8000/v1")
    assert not is_asked("http://[/v1")
    assert not is_asked("https://api.openai.com/v1", stop=("END",))  # it has no word for these


async def test_tokens_are_counted_by_the_api_or_estimated(provider: AtOpenAI, server: ScriptedServer) -> None:
    import openai  # takes half a second: not whenever this file is read

    asked = question("One two three", reasoning_effort="low", temperature=0.5)
    counted = await provider.count_tokens(asked)
    assert counted.is_exact
    assert server.requests[0].path == "/v1/responses/input_tokens"
    assert sorted(server.requests[0].json) == ["input", "model", "reasoning"]
    assert server.questions == []
    async with openai.AsyncOpenAI(api_key="k", base_url=server.url_for(RESPONSES)) as sdk:
        vendors = await sdk.responses.input_tokens.count(model="scripted", input=provider.body(asked)["input"])
    assert vendors.input_tokens == counted.tokens
    server.answers["/v1/responses/input_tokens"] = whole(RESPONSES.error_body("boom"), 500)
    assert not (await provider.count_tokens(asked)).is_exact
    elsewhere = OpenAI(provider.account, provider.client)
    assert not (await elsewhere.count_tokens(asked)).is_exact
    assert len(server.requests) == 3


async def test_signatures_weigh_nothing_in_an_estimate(client: httpx.AsyncClient) -> None:
    """They are long, and no tokenizer's business."""
    elsewhere = OpenAI(Account("Acme", "http://127.0.0.1:9/v1"), client)
    signed, plain = (
        said("assistant", ReasoningPart("Hm.", signature=text)) for text in ("openai:" + "x" * 90_000, "-")
    )
    counts = [await elsewhere.count_tokens(ChatRequest("m", (message,))) for message in (signed, plain)]
    assert counts[0] == counts[1]


def said(role: Role, *parts: Part | Image) -> ChatMessage:
    return ChatMessage(role, parts)


def test_the_body_has_all_that_a_request_can_carry(provider: AtOpenAI) -> None:
    messages = (
        said("system", TextPart("Be brief.")),
        said("user", TextPart("What is"), Image("image/png", b"\x89PNG"), TextPart("this?")),
        said(
            "assistant",
            ReasoningPart("Look.", signature="openai:gAAA"),
            ReasoningPart("Elsewhere.", signature="gemini:abc"),
            TextPart("A moment."),
            ToolCallPart("c1", "look", '{"at": 1}'),
        ),
        said("tool", ToolResultPart("c1", "found")),
        said("assistant", TextPart("It"), ErrorPart("cut", "Broken off.")),
    )
    parameters = question(temperature=0, top_p=0.9, top_k=5, max_tokens=7, reasoning_effort="low").parameters
    tool = Tool("look", "Looks.", {"type": "object"})
    assert provider.body(ChatRequest("m", messages, parameters, (tool,), continues=True)) == {
        "model": "m",
        "input": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is"},
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
                    {"type": "input_text", "text": "this?"},
                ],
            },
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Look."}],
                "encrypted_content": "gAAA",
            },
            {"role": "assistant", "content": "A moment."},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": 1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "found"},
            {"role": "assistant", "content": "It"},
            {"role": "user", "content": "Continue exactly where you stopped. Repeat nothing and add no comment."},
        ],
        "stream": True,
        "store": False,
        "temperature": 0,
        "top_p": 0.9,
        "max_output_tokens": 7,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "tools": [
            {
                "type": "function",
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object"},
                "strict": False,
            }
        ],
    }


def test_a_plain_question_says_nothing_of_reasoning(provider: AtOpenAI) -> None:
    asked = [{"role": "user", "content": "Why?"}]
    assert provider.body(question()) == {"model": "scripted", "input": asked, "stream": True, "store": False}


def test_thoughts_that_led_to_nothing_are_not_sent_back(provider: AtOpenAI) -> None:
    thought = ReasoningPart("", signature="openai:gAAA")
    alone, followed = said("assistant", thought), said("assistant", thought, TextPart("So."))
    assert provider.body(ChatRequest("m", (alone,)))["input"] == []
    asked = (*question().messages, followed)
    assert [item.get("summary") for item in provider.body(ChatRequest("m", asked))["input"][1:]] == [[], None]


def test_files_are_refused_until_something_stands_in_their_place(provider: AtOpenAI) -> None:
    file = FilePart("a1", "cat.png", "image/png", 9)
    with pytest.raises(BadRequest, match=r"The file cat\.png cannot be sent to Acme"):
        provider.body(ChatRequest("m", (said("user", TextPart("Look"), file),)))


async def test_what_a_model_thought_comes_back_to_it(provider: AtOpenAI, server: ScriptedServer) -> None:
    server.script(*RESPONSES.answer(("So ", "be it."), thoughts=("I ", "think."), usage=(5, 2), reason="length"))
    outcome = await collect(provider.stream(question()))
    signed = ReasoningPart("I think.", signature=f"openai:{RESPONSES.signature}")
    assert outcome.parts == (signed, TextPart("So be it."))
    assert outcome.events[-2:] == [Usage(5, 2), Finish("length")]
    answer = ChatMessage("assistant", (signed, TextPart("So be it.")))
    again = provider.body(ChatRequest("m", (*question().messages, answer)))
    assert again["input"][1]["encrypted_content"] == RESPONSES.signature


def frame(kind: str, **fields: Any) -> bytes:
    return b"data: " + json.dumps({"type": kind} | fields).encode() + b"\n\n"


CALL = {"type": "function_call", "call_id": "c", "name": "f"}
SHAPES: dict[str, tuple[list[bytes], list[Any]]] = {
    "a refusal": ([frame("response.refusal.delta", delta="No.")], [TextPart("No.")]),
    "raw thoughts": ([frame("response.reasoning_text.delta", delta="Hm.")], [ReasoningPart("Hm.")]),
    "two summaries": (
        [
            frame("response.reasoning_summary_part.added", summary_index=0),
            frame("response.reasoning_summary_text.delta", delta="a"),
            frame("response.reasoning_summary_part.added", summary_index=1),
            frame("response.reasoning_summary_text.delta", delta="b"),
        ],
        [ReasoningPart("a\n\nb")],
    ),
    "two messages": (
        [
            frame("response.output_item.added", item={"type": "message"}),
            RESPONSES.text("First."),
            frame("response.output_item.added", output_index=1, item={"type": "message"}),
            RESPONSES.text("Second."),
        ],
        [TextPart("First.\n\nSecond.")],
    ),
    "a call that comes whole": (
        [frame("response.output_item.done", output_index=3, item=CALL | {"arguments": "{}"})],
        [ToolCallPart("c", "f", "{}")],
    ),
    "a call whose arguments come whole": (
        [
            frame("response.output_item.added", output_index=3, item=CALL | {"arguments": ""}),
            frame("response.function_call_arguments.done", output_index=3, arguments='{"a":1}'),
        ],
        [ToolCallPart("c", "f", '{"a":1}')],
    ),
    "what nobody knows yet": ([frame("response.new.thing", delta="x", item={"type": "new"})], []),
    "the type in the event alone": (
        [b'event: response.output_text.delta\ndata: {"delta":"Hi"}\n\n'],
        [TextPart("Hi")],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_of_events_is_read(shape: str, provider: AtOpenAI, server: ScriptedServer) -> None:
    sent, parts = SHAPES[shape]
    server.script(*RESPONSES.stream(*sent, RESPONSES.finish(), b"data: [DONE]\n\n"))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    assert list(outcome.parts) == parts
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    assert outcome.finish == [Finish("tool_calls" if calls else "stop")]


ENDS: dict[str, tuple[bytes, type[ProviderError]]] = {
    "a rate limit": (RESPONSES.failed("slow", "rate_limit_exceeded"), RateLimited),
    "a fault": (RESPONSES.failed("boom", "server_error"), Overloaded),
    "an error inside an error": (frame("error", error={"message": "slow", "code": "rate_limit_exceeded"}), RateLimited),
    "cancelled": (frame("response.cancelled", response={}), StreamCut),
    "incomplete for a new reason": (
        frame("response.incomplete", response={"incomplete_details": {"reason": "steered"}}),
        StreamCut,
    ),
    "done, but not ended": (b"data: [DONE]\n\n", StreamCut),
}


@pytest.mark.parametrize("name", ENDS)
async def test_what_is_no_end_is_an_error(name: str, provider: AtOpenAI, server: ScriptedServer) -> None:
    sent, expected = ENDS[name]
    server.script(*RESPONSES.stream(RESPONSES.text("Hi"), sent))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is expected
    assert (outcome.text, outcome.finish) == ("Hi", [])


async def test_cached_tokens_are_told(provider: AtOpenAI, server: ScriptedServer) -> None:
    usage = {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 8}}
    server.script(*RESPONSES.stream(RESPONSES.text("Hi"), frame("response.completed", response={"usage": usage})))
    assert (await collect(provider.stream(question()))).events == [TextDelta("Hi"), Usage(9, 2, 8), Finish("stop")]


async def test_a_content_filter_ends_the_answer(provider: AtOpenAI, server: ScriptedServer) -> None:
    server.script(*RESPONSES.answer(("Hi",), reason="content_filter"))
    assert (await collect(provider.stream(question()))).events == [TextDelta("Hi"), Finish("content_filter")]


REFUSALS = {
    "no such path": (404, "404 page not found"),
    "no such method": (405, "Method Not Allowed"),
    "a model that is not in it": (400, "The requested model 'scripted' is not supported with the Responses API."),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_host_without_it_is_asked_for_completions_from_then_on(
    name: str, provider: AtOpenAI, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    status, sentence = REFUSALS[name]
    server.script(*whole(RESPONSES.error_body(sentence), status))
    outcome = await collect(provider.stream(question()))
    assert outcome.text.startswith("Seven")
    chat, sent = {"messages": [{"role": "user", "content": "Why?"}]}, server.questions[1].json
    assert outcome.events[0] == Amended(sent)
    assert chat.items() <= sent.items()
    assert [asked.path for asked in server.questions] == [RESPONSES.chat_path, OPENAI.chat_path]
    later = AtOpenAI(provider.account, client, PATIENT)
    assert later.body(question()) == sent
    assert "input" in later.body(question(model="another"))


async def test_a_model_that_is_missing_is_missing(provider: AtOpenAI, server: ScriptedServer) -> None:
    server.script(*whole(RESPONSES.error_body("The model 'scripted' does not exist"), 404))
    assert isinstance((await collect(provider.stream(question()))).error, ModelMissing)
    assert len(server.questions) == 1


FIELDS = {
    "Your organization must be verified to generate reasoning summaries.": {"reasoning": {"effort": "low"}},
    "Unsupported parameter: 'reasoning.effort' is not supported with this model.": {"reasoning": None},
    "Encrypted content is not supported with this model.": {"include": None},
    "Unsupported parameter: 'temperature' is not supported with this model.": {"temperature": None},
}


@pytest.mark.parametrize("complaint", FIELDS)
async def test_fields_that_a_model_refuses_are_left_out(
    complaint: str, provider: AtOpenAI, server: ScriptedServer
) -> None:
    server.script(*whole(RESPONSES.error_body(complaint), 400))
    asked = question(reasoning_effort="low", temperature=0.5)
    outcome = await collect(provider.stream(asked))
    assert outcome.error is None
    first, second = (each.json for each in server.questions)
    changed = {name: second.get(name) for name in first if first[name] != second.get(name)}
    assert changed == FIELDS[complaint]
    assert outcome.events[0] == Amended(second)
    assert provider.body(asked) == second


async def test_empty_events_are_no_deltas(provider: AtOpenAI, server: ScriptedServer) -> None:
    empty = frame("response.reasoning_summary_text.delta", delta="")
    nothing = frame("response.function_call_arguments.delta", delta="")
    server.script(*RESPONSES.stream(empty, nothing, frame("response.output_item.added"), RESPONSES.finish()))
    outcome = await collect(provider.stream(question()))
    assert not [event for event in outcome.events if isinstance(event, TextDelta | ReasoningDelta)]
