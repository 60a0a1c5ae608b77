"""One whole answer where a stream was asked for, and bodies that are not what their Content-Type says: the body decides."""

import json
from typing import Any

import httpx
import pytest

from app.parts import Finish, ReasoningPart, TextPart, ToolCallPart, Usage
from app.providers.base import Account, Limits, Provider
from app.providers.errors import BadAnswer, Overloaded, RateLimited, StreamCut, Unreachable
from app.providers.frames import BodyDecoder, FrameTooLarge, JsonDecoder, SseFrame, WebPage
from tests.providers.conftest import ADAPTERS, PATIENT, collect, question, replayed
from tests.scripted import ANTHROPIC, GEMINI, OLLAMA, OPENAI, RESPONSES, SPOKEN, Dialect, ScriptedServer, whole

EVERY = pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
TYPES = ("application/json", "text/event-stream", "application/x-ndjson", "text/plain; charset=utf-8", "text/html", "")
WRITTEN = {
    "on one line": lambda value: json.dumps(value),
    "with a line end": lambda value: json.dumps(value) + "\n",
    "on many lines": lambda value: "\n" + json.dumps(value, indent=2, ensure_ascii=False) + "\n\n",
    "with a byte order mark": lambda value: "\ufeff \r\n" + json.dumps(value, indent=1).replace("\n", "\r\n"),
}


def parts_of(text: str, thought: str) -> list[tuple[type, str]]:
    return [(ReasoningPart, thought), (TextPart, text)]


@pytest.fixture
def limits() -> Limits:
    return PATIENT


@EVERY
@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("written", WRITTEN)
async def test_a_whole_answer_is_one(
    written: str, content_type: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    value = dialect.whole("Seven é𝄞\u2028lanterns. ", "Hm, {[", "length", (3, 9))
    server.script(*whole(WRITTEN[written](value).encode(), 200, content_type))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    found = [(type(part), part.text) for part in outcome.parts]  # type: ignore[attr-defined]
    assert found == parts_of("Seven é𝄞\u2028lanterns. ", "Hm, {[")
    assert (outcome.usage, outcome.finish) == ([Usage(3, 9)], [Finish("length")])


@EVERY
async def test_cut_at_any_byte_it_is_the_same_or_no_answer(dialect: Dialect) -> None:
    body = json.dumps(dialect.whole("Seven é𝄞 lanterns.", usage=(3, 9)), indent=1, ensure_ascii=False).encode()
    for cut in range(len(body)):
        outcome = await collect(replayed(dialect, body[:cut], body[cut:]).stream(question()))
        assert (outcome.error, outcome.text) == (None, "Seven é𝄞 lanterns."), cut
        outcome = await collect(replayed(dialect, body[:cut]).stream(question()))
        assert (type(outcome.error), outcome.events) == (Unreachable, []), cut


WHOLE_CALLS: dict[str, Any] = {
    "openai": {
        "choices": [{"message": {"tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at":1}'}}]}}]
    },
    "anthropic": {
        "type": "message",
        "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}],
    },
    "responses": {
        "object": "response",
        "status": "completed",
        "output": [{"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":1}'}],
    },
    "gemini": {
        "candidates": [
            {
                "content": {"parts": [{"functionCall": {"id": "c1", "name": "look", "args": {"at": 1}}}]},
                "finishReason": "STOP",
            }
        ]
    },
    "ollama": {
        "message": {"tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": {"at": 1}}}]},
        "done": True,
    },
}


@EVERY
async def test_its_tool_calls_are_whole(dialect: Dialect) -> None:
    outcome = await collect(replayed(dialect, json.dumps(WHOLE_CALLS[dialect.kind]).encode()).stream(question()))
    assert outcome.error is None
    [call] = outcome.parts
    assert isinstance(call, ToolCallPart)
    assert (call.call_id, call.name, json.loads(call.arguments)) == ("c1", "look", {"at": 1})
    assert len(outcome.finish) == 1


@pytest.mark.parametrize(
    ("dialect", "value"),
    [
        (ANTHROPIC, {"type": "message", "content": [{"type": "text", "text": "Hello"}], "stop_reason": None}),
        (RESPONSES, RESPONSES.whole("Hello") | {"status": "in_progress"}),
        (RESPONSES, RESPONSES.whole("Hello") | {"status": "cancelled"}),
        (GEMINI, {"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}),
        (OLLAMA, {"message": {"content": "Hello"}, "done": False}),
    ],
)
async def test_one_that_is_not_done_is_not_complete(dialect: Dialect, value: Any) -> None:
    outcome = await collect(replayed(dialect, json.dumps(value).encode()).stream(question()))
    assert (outcome.text, type(outcome.error), outcome.finish) == ("Hello", StreamCut, [])


async def test_a_whole_answer_without_a_reason_is_whole() -> None:
    body = b'{"choices": [{"message": {"content": "Hello"}}]}'
    assert (await collect(replayed(OPENAI, body).stream(question()))).finish == [Finish("stop")]


async def test_a_whole_response_that_failed_says_why() -> None:
    failed = RESPONSES.whole("Hello") | {"status": "failed", "error": {"code": "server_error", "message": "The lamp"}}
    outcome = await collect(replayed(RESPONSES, json.dumps(failed).encode()).stream(question()))
    assert (type(outcome.error), outcome.text) == (Overloaded, "Hello")
    assert "The lamp" in outcome.error.sentence


@EVERY
async def test_an_array_of_frames_is_the_frames(dialect: Dialect) -> None:
    """Gemini answers so where nobody asks for events."""
    frames = b"".join(dialect.frames(("Hel", "lo"), usage=(3, 9)))
    texts = [line.removeprefix(b"data: ") for line in frames.replace(b"\r", b"").split(b"\n")]
    values = [json.loads(text) for text in texts if text.startswith(b"{")]
    for body in (json.dumps(values), json.dumps(values, indent=1), "[" + "\n,\r\n".join(map(json.dumps, values)) + "]"):
        for chunks in ((body.encode(),), tuple(bytes([byte]) for byte in body.encode())):
            outcome = await collect(replayed(dialect, *chunks).stream(question()))
            assert (outcome.text, outcome.error) == ("Hello", None)
            assert (outcome.usage, outcome.finish) == ([Usage(3, 9)], [Finish("stop")])


@EVERY
@pytest.mark.parametrize("content_type", TYPES)
async def test_a_stream_is_one_whatever_its_type_says(
    content_type: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    body = b"".join(dialect.frames(("Hel", "lo"), usage=(3, 9)))
    server.script(*whole(body, 200, content_type))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")])


@EVERY
async def test_lines_of_json_and_events_are_told_apart_in_every_dialect(dialect: Dialect) -> None:
    frames = b"".join(dialect.frames(("Hel", "lo"), usage=(3, 9))).replace(b"\r", b"")
    texts = [line.removeprefix(b"data: ") for line in frames.split(b"\n") if b"{" in line]
    as_lines = b"\n".join(texts)
    as_events = b"".join(b"data: %s\n\n" % text for text in texts)
    for body in (as_lines, as_lines + b"\n", as_events):
        outcome = await collect(replayed(dialect, body).stream(question()))
        assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")])


@EVERY
@pytest.mark.parametrize("content_type", TYPES)
async def test_an_error_with_a_status_of_success_says_what_the_server_said(
    content_type: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    for body in (
        dialect.error_body("The lamp went out"),
        b'{"detail":"The lamp went out"}',
        b'{\n "object": "error",\n "message": "The lamp went out"\n}\n',
        b'event: error\ndata: {"message": "The lamp went out"}\n\n',
        b'"The lamp went out"' if dialect is OLLAMA else b'data: "The lamp went out"',
    ):
        server.script(*whole(body, 200, content_type))
        outcome = await collect(provider.stream(question()))
        assert outcome.error is not None
        assert "The lamp went out" in outcome.error.sentence, body
        assert outcome.events == []
    server.script(*whole(b'{"error": {"code": 429, "message": "slow down"}}', 200, content_type))
    assert type((await collect(provider.stream(question()))).error) is RateLimited


@EVERY
@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize(
    "page", [b"<html><title>Sign in</title>", b"\n \xef\xbb\xbf<!DOCTYPE html>\n<p>", b"<?xml version='1.0'?>"]
)
async def test_a_web_page_is_none(
    page: bytes, content_type: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*whole(page, 200, content_type))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is BadAnswer
    assert "web page" in outcome.error.sentence
    server.answers[dialect.listing_path] = whole(page, 200, content_type)
    with pytest.raises(BadAnswer, match="web page"):
        await provider.list_models()


@EVERY
async def test_plain_words_are_no_answer(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    server.script(*whole(b"upstream is away", 200, "text/plain"))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is not None
    assert outcome.finish == []
    assert outcome.error.is_retryable
    assert "upstream is away" in outcome.error.sentence
    server.script(*dialect.stream(dialect.text("Hello"), b"upstream is away"))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is not None
    assert (outcome.text, outcome.finish, "upstream is away" in outcome.error.sentence) == ("Hello", [], True)


def test_the_first_byte_decides_wherever_the_body_is_cut() -> None:
    for body, frames in (
        (b'\xef\xbb\xbf\n {"a":1}\n\n[2]\n', ['{"a":1}', "[2]"]),
        (b'{"a":\n\n1}\n', ['{"a":\n1}']),
        (b"\r\n data: one\n\n: x\n\ndata: two\n\n", ["one", "two"]),
        (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
        (b" \n", []),
        (b"", []),
    ):
        for cut in range(len(body) + 1):
            decoder = BodyDecoder()
            found = [*decoder.feed(body[:cut]), *decoder.feed(body[cut:]), *decoder.end()]
            assert [frame.data for frame in found] == frames, (body, cut)
    with pytest.raises(WebPage):
        BodyDecoder().feed(b"\n <")


def test_one_text_is_bounded_as_a_frame_is() -> None:
    decoder = JsonDecoder(1000)
    assert decoder.feed(b'{"a": [\n') == []
    assert decoder.feed(b'"xxxxx",\n' * 90) == []
    with pytest.raises(FrameTooLarge):
        decoder.feed(b'"xxxxx",\n' * 90)


def test_an_error_without_words_is_still_an_event() -> None:
    decoder = BodyDecoder()
    assert decoder.feed(b"event: error\n\nevent: ping\n\ndata: one\n\n") == [SseFrame("error", ""), SseFrame("", "one")]


async def test_a_list_in_json_said_to_be_html_is_read(server: ScriptedServer, client: httpx.AsyncClient) -> None:
    server.answers[OPENAI.listing_path] = whole(b'{"data": [{"id": "scripted"}]}', 200, "text/html")
    provider = ADAPTERS["openai"](Account("Acme", server.url_for(OPENAI)), client)
    assert [model.name for model in await provider.list_models()] == ["scripted"]


async def test_a_response_of_which_nothing_was_streamed_is_told_when_it_is_complete() -> None:
    whole = RESPONSES.whole("Seven.", "Hm.", "length", (3, 9))
    del whole["status"]
    event = {"type": "response.incomplete", "response": whole}
    stream = RESPONSES.opening() + b"event: response.incomplete\ndata: %s\n\n" % json.dumps(event).encode()
    outcome = await collect(replayed(RESPONSES, stream).stream(question()))
    assert (outcome.text, outcome.reasoning, outcome.error) == ("Seven.", "Hm.", None)
    assert (outcome.usage, outcome.finish) == ([Usage(3, 9)], [Finish("length")])


async def test_words_and_arguments_are_read_in_other_shapes() -> None:
    for choice in (
        {"text": "Hi", "finish_reason": None},
        {"delta": {"content": [{"type": "output_text", "text": "Hi"}]}},
        {"message": {"content": [{"type": "text", "text": "Hi"}]}},
    ):
        frame = OPENAI.data(json.dumps({"choices": [choice]}))
        outcome = await collect(replayed(OPENAI, frame, OPENAI.end_marker).stream(question()))
        assert (outcome.text, outcome.finish) == ("Hi", [Finish("stop")]), choice
    arguments = {"at": "x"}
    call = {"function": {"name": "look", "arguments": arguments}, "id": "c1"}
    for arguments_ in (arguments, json.dumps(arguments)):
        call["function"]["arguments"] = arguments_  # type: ignore[index]
        chat = OPENAI.data(json.dumps({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}))
        line = OLLAMA.data(json.dumps({"message": {"content": "", "tool_calls": [call]}, "done": True}))
        for dialect, frame in ((OPENAI, chat), (OLLAMA, line)):
            outcome = await collect(replayed(dialect, frame).stream(question()))
            found = [json.loads(part.arguments) for part in outcome.parts if isinstance(part, ToolCallPart)]
            assert (found, outcome.finish) == ([arguments], [Finish("tool_calls")])


async def test_lines_of_json_may_end_in_an_events_end_marker() -> None:
    body = json.dumps(OPENAI.whole("Seven.")).encode() + b"\n\ndata: [DONE]\n\n"
    assert (await collect(replayed(OPENAI, body).stream(question()))).finish == [Finish("stop")]


@EVERY
async def test_frames_that_no_empty_line_parts_are_told_apart(dialect: Dialect) -> None:
    frames = b"".join(dialect.frames(("Hel", "lo"), usage=(3, 9))).replace(b"\r", b"")
    texts = [line.removeprefix(b"data: ") for line in frames.split(b"\n") if b"{" in line]
    for body in (
        b"\n".join(b"data: " + text for text in texts),
        b"\r\n".join(b"data:" + text for text in texts) + b"\r\n",
    ):
        for cut in range(0, len(body), 7):
            outcome = await collect(replayed(dialect, body[:cut], body[cut:]).stream(question()))
            assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")]), cut


@EVERY
async def test_json_over_several_lines_of_data_is_one_frame(dialect: Dialect) -> None:
    frames = b"".join(dialect.frames(("Hel", "lo"), usage=(3, 9))).replace(b"\r", b"")
    values = [json.loads(line.removeprefix(b"data: ")) for line in frames.split(b"\n") if b"{" in line]
    texts = [json.dumps(value, indent=1).replace("\n", "\ndata: ") for value in values]
    body = "".join(f"data: {text}\n\n" for text in texts).encode()
    outcome = await collect(replayed(dialect, body).stream(question()))
    assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")])
