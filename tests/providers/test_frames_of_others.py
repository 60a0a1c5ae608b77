"""What stands between the frames of an answer: errors in any dress are seen, what says nothing is passed over."""

import json
from typing import Any

import pytest

from app.parts import Finish, TextPart
from app.providers.base import Limits, Provider
from app.providers.errors import BadAnswer, BadRequest, ModelMissing, Overloaded, RateLimited
from app.providers.reasons import error_in, is_keep_alive
from tests.providers.conftest import PATIENT, collect, question, replayed
from tests.scripted import ANTHROPIC, OPENAI, RESPONSES, SPOKEN, Close, Dialect, ScriptedServer
from tests.tiers import crossed

EVERY = pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
SAID = "The lantern went out"

#: An error in the dress of this or that server, with a status of success.
ERRORS: dict[str, Any] = {
    "OpenAI": {"error": {"message": SAID, "type": "server_error", "code": None, "param": None}},
    "Ollama": {"error": SAID},
    "Anthropic": {"type": "error", "error": {"type": "api_error", "message": SAID}},
    "vLLM": {"object": "error", "message": SAID, "type": "InternalServerError", "param": None, "code": 500},
    "DashScope": {"code": "InternalError", "message": SAID, "request_id": "r1"},
    "a code and a message": {"code": 500, "message": SAID},
    "FastAPI": {"detail": SAID},
    "FastAPI's list": {"detail": [{"loc": ["body"], "msg": SAID, "type": "value_error"}]},
    "Cloudflare": {"success": False, "errors": [{"code": 7003, "message": SAID}], "messages": [], "result": None},
    "a list": {"errors": [SAID]},
    "an array": [{"error": {"code": 503, "message": SAID, "status": "UNAVAILABLE"}}],
    "MiniMax": {"choices": None, "base_resp": {"status_code": 1013, "status_msg": SAID}},
    "Baidu": {"error_code": 336000, "error_msg": SAID},
    "Tencent": {"Response": {"Error": {"Code": "InternalError", "Message": SAID}, "RequestId": "r1"}},
    "Spark": {"header": {"code": 10013, "message": SAID, "sid": "s1"}},
    "Spring": {"timestamp": 1, "status": 500, "error": "Internal Server Error", "message": SAID, "path": "/x"},
    "RFC 9457": {"type": "about:blank", "title": "Oh no", "status": 500, "detail": SAID},
    "Apigee": {"fault": {"faultstring": SAID, "detail": {"errorcode": "x"}}},
    "TGI": {"error": SAID, "error_type": "generation"},
    "a message": {"message": SAID},
    "a status": {"status": "error", "message": SAID},
    "an envelope": {"event": "error", "data": {"message": SAID}},
    "JSON in a string": {"error": json.dumps({"error": {"message": SAID}})},
    "Python's words in a string": {"detail": f"Error code: 500 - {{'error': {{'message': '{SAID}', 'param': None}}}}"},
    "a string": SAID,
    "an object as detail": {"detail": {"msg": SAID, "type": "service_unavailable"}},
    "a lambda": {"statusCode": 500, "body": json.dumps({"message": SAID})},
    "short": {"err": SAID},
    "by field": {"errors": {"prompt": [SAID]}},
    "a claim": {"isError": True, "content": SAID},
    "an abort": {"type": "abort", "reason": SAID},
    "a log line": {"level": "ERROR", "text": SAID},
    "Bedrock": {"modelStreamErrorException": {"message": SAID, "originalStatusCode": 500}},
}


def framed(dialect: Dialect, value: Any) -> bytes:
    return dialect.data(json.dumps(value))


@pytest.fixture
def limits() -> Limits:
    return PATIENT


@EVERY
@pytest.mark.parametrize(("dress", "is_begun"), crossed(tuple(ERRORS), (False, True)))
async def test_an_error_in_any_dress_is_one(
    dress: str, is_begun: bool, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    text = dialect.text("Hello") if is_begun else b""
    frame = framed(dialect, ERRORS[dress])
    for behind in ((b"",), (dialect.data("[DONE]"),), (dialect.finish(),), (dialect.text("more"), dialect.finish())):
        server.script(*dialect.stream(text, frame, *behind))
        outcome = await collect(provider.stream(question()))
        assert type(outcome.error) is Overloaded, behind
        assert SAID in outcome.error.sentence
        assert (outcome.text, outcome.finish) == ("Hello" if is_begun else "", [])


@EVERY
async def test_what_an_error_is_about_is_understood(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    for value, expected in (
        ({"object": "error", "code": 429, "message": "slow down"}, RateLimited),
        ({"code": 400, "message": "temperature is wrong"}, BadRequest),
        ({"detail": "model 'scripted' not found"}, ModelMissing),
    ):
        server.script(*dialect.stream(framed(dialect, value), dialect.data("[DONE]")))
        assert type((await collect(provider.stream(question()))).error) is expected


@pytest.mark.parametrize("dialect", [each for each in SPOKEN if each.kind != "ollama"], ids=lambda each: each.kind)
@pytest.mark.parametrize("data", ["data: the lamp went out\n", "data: {}\n", "data: null\n", "data:\n", ""])
async def test_an_event_named_error_is_one_whatever_it_says(
    data: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*dialect.stream(dialect.text("Hello"), f"event: error\n{data}\n".encode(), dialect.finish()))
    outcome = await collect(provider.stream(question()))
    assert (type(outcome.error), outcome.text, outcome.finish) == (Overloaded, "Hello", [])
    assert ("the lamp went out" in outcome.error.sentence) == ("lamp" in data)


ALIVE = [
    "",
    " ",
    "null",
    "[]",
    '""',
    "{}",
    "[ ]",
    "ping",
    "keep-alive",
    ": keepalive",
    "heartbeat",
    "OPENROUTER PROCESSING",
]
ALIVE += [
    ".",
    "still working",
    "Thinking...",
    "Loading model",
    "heartbeat 12",
    "ok",
    ": OPENROUTER PROCESSING",
    '"ping"',
    '{"type":"ping"}',
    '{"event": "heartbeat"}',
    '{"ping":1700000000}',
]


@pytest.mark.parametrize("alive", ALIVE)
async def test_what_keeps_a_line_open_is_passed_over(alive: str, dialect: Dialect) -> None:
    nothing = dialect.data(alive)
    frames = [frame for each in dialect.frames(("Hel", "lo"), usage=(1, 2)) for frame in (nothing, each)]
    outcome = await collect(replayed(dialect, *frames, nothing).stream(question()))
    assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")])


async def test_all_of_them_wherever_the_stream_is_cut(dialect: Dialect) -> None:
    events = b"" if dialect.kind == "ollama" else b"event: ping\n\n:\n\n: ping\n\nevent: ping\ndata: 7\n\ndata\n\n"
    nothing = b"".join(map(dialect.data, ALIVE)) + events
    stream = nothing.join([b"", *dialect.frames(("Hel", "lo")), b""])
    for cut in range(0, len(stream) + 1, 5):
        outcome = await collect(replayed(dialect, stream[:cut], stream[cut:]).stream(question()))
        assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")]), cut
    outcome = await collect(replayed(dialect, *(bytes([byte]) for byte in stream)).stream(question()))
    assert (outcome.text, outcome.error) == ("Hello", None)


async def test_they_alone_are_no_answer(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    server.script(*dialect.stream(*map(dialect.data, ALIVE)))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is not None
    assert (outcome.error.is_retryable, outcome.events) == (True, [])


def test_an_answer_about_keep_alives_is_an_answer() -> None:
    for text in (
        '{"model":"ping","message":{"content":"x"}}',
        '{"choices":[{"delta":{"content":"ping"}}]}',
        "ping me later",
    ):
        assert not is_keep_alive(text)
    assert not is_keep_alive('{"type":"ping","error":"no"}')


@EVERY
@pytest.mark.parametrize(
    "garbage", ["{nonsense", "7", "true", "[7]", "<<<", "Number of choices must be greater than 0."]
)
async def test_real_garbage_still_fails(
    garbage: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*dialect.stream(dialect.text("Hello"), dialect.data(garbage), dialect.finish()))
    outcome = await collect(provider.stream(question()))
    assert (type(outcome.error), outcome.text, outcome.finish) == (BadAnswer, "Hello", [])
    assert ("Number of choices" in outcome.error.sentence) == ("Number of choices" in garbage)


MALFORMED = {
    "openai": ({"choices": 7}, {"choices": [7]}, {"choices": [{"delta": {"content": 7}}], "usage": {}}),
    "anthropic": ({"type": 7}, {"type": "content_block_delta", "delta": 7}, {"type": "message_delta", "delta": []}),
    "responses": ({"type": 7}, {"type": "response.output_text.delta", "delta": 7}),
    "gemini": ({"candidates": 7}, {"candidates": [{"content": {"parts": [{"text": 7}]}}], "usageMetadata": {}}),
    "ollama": ({"message": 7, "done": False}, {"message": {"content": 7}, "done": False}, {"done": 7}),
}


@EVERY
async def test_a_known_frame_of_another_shape_is_not_passed_over(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    for value in MALFORMED[dialect.kind]:
        server.script(*dialect.stream(dialect.text("Hello"), framed(dialect, value), dialect.finish()))
        outcome = await collect(provider.stream(question()))
        assert (type(outcome.error), outcome.text, outcome.finish) == (BadAnswer, "Hello", []), value


UNKNOWN = {"sources": [{"name": "a page", "error": "none of ours"}], "message_id": 7}


@EVERY
async def test_a_frame_of_another_kind_does_not_end_a_proper_answer(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    strange = framed(dialect, UNKNOWN)
    server.script(*dialect.stream(strange, dialect.text("Hel"), strange, dialect.text("lo"), dialect.finish()))
    outcome = await collect(provider.stream(question()))
    assert (outcome.error, outcome.parts, outcome.finish) == (None, (TextPart("Hello"),), [Finish("stop")])


@EVERY
async def test_an_unknown_frame_is_not_skipped_on_the_way_to_complete(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    """Without a finish reason nothing says that the answer is whole, and the frame is the last that was heard."""
    server.script(*dialect.stream(dialect.text("Hello"), framed(dialect, UNKNOWN), dialect.data("[DONE]")))
    outcome = await collect(provider.stream(question()))
    assert (type(outcome.error), outcome.text, outcome.finish) == (BadAnswer, "Hello", [])
    assert "a page" in outcome.error.sentence


async def test_done_without_a_reason_still_ends_an_answer_of_known_frames() -> None:
    stream = OPENAI.text("Hello") + b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n' + OPENAI.end_marker
    assert (await collect(replayed(OPENAI, stream).stream(question()))).finish == [Finish("stop")]


@pytest.mark.parametrize("dialect", [ANTHROPIC, RESPONSES], ids=["anthropic", "responses"])
async def test_types_that_are_added_to_the_protocol_are_passed_over(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    new = b'event: new_thing\ndata: {"type":"new_thing","message":"words of its own","status":"in_progress"}\n\n'
    server.script(*dialect.stream(new, dialect.text("Hello"), new, dialect.finish()))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")])


async def test_done_behind_another_dialect_ends_it_without_completing_it(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    done = dialect.data("[DONE]")
    server.script(*dialect.stream(dialect.text("Hello"), dialect.finish(), done))
    outcome = await collect(provider.stream(question()))
    assert (outcome.error, outcome.finish) == (None, [Finish("stop")])
    if dialect is not OPENAI:
        server.script(dialect.head(), *dialect.stream(dialect.text("Hello"), done)[1:], Close())
        assert (await collect(provider.stream(question()))).finish == []


def test_what_is_no_error_is_none() -> None:
    for value in (
        None, 7, [], {}, {"error": None, "message": ""}, {"code": 0, "message": "Success"}, {"error": {}, "id": 1},
        {"status": "processing", "message": "in the queue"}, {"code": 200, "msg": "ok"}, {"type": "notice", "message": "hi"},
        {"base_resp": {"status_code": 0, "status_msg": "success"}}, {"error_code": 0}, {"sources": [{"error": "x"}]},
    ):  # fmt: skip
        assert not error_in(value), value


def test_words_for_it_may_stand_in_brackets() -> None:
    assert all(map(is_keep_alive, ("[PING]", "<keepalive>", "(processing)", '{"status": "waiting", "at": 7}')))


@pytest.mark.parametrize("end", ["[DONE]", '"[DONE]"', " [DONE] "])
async def test_the_end_marker_is_known_in_every_dress(end: str) -> None:
    stream = OPENAI.text("Hello") + OPENAI.data(end)
    assert (await collect(replayed(OPENAI, stream).stream(question()))).finish == [Finish("stop")]


async def test_an_error_beside_an_empty_choice_is_one() -> None:
    for choice in ({"delta": {"content": ""}, "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}):
        frame = OPENAI.data(json.dumps({"choices": [choice], "code": 500, "message": SAID}))
        outcome = await collect(replayed(OPENAI, OPENAI.text("Hello"), frame, OPENAI.end_marker).stream(question()))
        assert (type(outcome.error), outcome.text, outcome.finish) == (Overloaded, "Hello", [])
    beside = OPENAI.data(json.dumps({"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": SAID}}]}))
    outcome = await collect(replayed(OPENAI, OPENAI.text("Hello"), beside).stream(question()))
    assert outcome.error is not None
    assert SAID in outcome.error.sentence
