"""What a server says of a failure is understood in every shape, and a refused field is left out of the next request."""

import json
import time
from typing import Any

import pytest

from app.providers.amendments import unknown_field
from app.providers.base import Account, Amended, Limits, Provider
from app.providers.errors import (
    BadRequest,
    KeyRejected,
    ModelMissing,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
)
from app.providers.failures import refusal
from app.providers.lenient import find_value
from app.providers.reasons import error_in, reason_in
from tests.providers.conftest import PATIENT, collect, question
from tests.scripted import ANTHROPIC, GEMINI, OLLAMA, OPENAI, RESPONSES, SPOKEN, Dialect, ScriptedServer, whole

ACCOUNT = Account("Acme", "https://models.example/v1")
SAYS = "Extra inputs are not permitted"
ENTRY = {"type": "extra_forbidden", "loc": ["body", "NAME"], "msg": SAYS, "input": 5}
PYTHON = "[{'type': 'extra_forbidden', 'loc': ('body', 'NAME'), 'msg': 'Extra inputs are not permitted', 'input': 5}]"

#: A refusal of the field NAME, by who writes it so.
REFUSALS: dict[str, Any] = {
    "text": {"detail": "Unsupported parameter: NAME"},
    "a list of text": {"detail": ["Unknown field: NAME"]},
    "FastAPI": {"detail": [ENTRY]},
    "FastAPI, several": {"detail": [ENTRY, ENTRY | {"loc": ["body", "another"]}]},
    "Mistral": {"object": "error", "message": {"detail": [ENTRY]}, "type": "invalid_request_error", "code": None},
    "vLLM": {"object": "error", "message": PYTHON, "type": "BadRequestError", "param": None, "code": 400},
    "JSON in a string": {"error": {"message": json.dumps({"detail": [ENTRY]})}},
    "JSON in a detail": {"detail": json.dumps([ENTRY])},
    "JSON behind words": {
        "error": {"message": "litellm.BadRequestError: " + json.dumps({"error": {"message": f"NAME: {SAYS}"}})}
    },
    "Python behind words": {"detail": f"Error code: 422 - {{'detail': {PYTHON}}}"},
    "Python that is cut": {"message": f"Error code: 422 - {{'detail': {PYTHON[:-30]}"},
    "OpenAI": {
        "error": {"message": "Unsupported parameter: 'NAME' is not supported with this model.", "param": "NAME"}
    },
    "a param alone": {"error": {"message": "Unsupported parameter.", "param": "NAME", "code": "unsupported_parameter"}},
    "Google": [{"error": {"code": 400, "message": "Unknown name \"NAME\" at 'generation_config': Cannot find field."}}],
    "errors": {"errors": [{"message": "unexpected property NAME", "field": "NAME"}]},
    "by field": {"errors": {"NAME": ["Unknown field."]}},
    "ASP.NET": {"title": "Bad Request", "status": 400, "errors": {"NAME": ["The field is not recognized."]}},
    "Zod": {"issues": [{"code": "unrecognized_keys", "message": "Unrecognized key(s) in object: 'NAME'", "path": []}]},
    "not valid": {"error": {"message": "Invalid parameter: 'NAME' is not valid for this model"}},
    "not implemented": {"error": {"message": "Parameter NAME is not implemented"}},
    "forbidden": {"error": {"message": "The following fields are forbidden: NAME"}},
    "not with another": {"error": {"message": "`NAME` and `x` cannot both be specified for this model."}},
}
#: What each dialect calls the parameter `top_p`, and where it stands in the body.
NAMES = {"openai": "top_p", "anthropic": "top_p", "responses": "top_p", "gemini": "topP", "ollama": "top_p"}
EVERY = pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])


def written(shape: str, name: str) -> bytes:
    return json.dumps(REFUSALS[shape]).replace("NAME", name).encode()


@pytest.fixture
def limits() -> Limits:
    return PATIENT


@EVERY
@pytest.mark.parametrize("shape", REFUSALS)
async def test_a_refusal_that_names_a_field_is_understood(
    shape: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    name = NAMES[dialect.kind]
    server.script(*whole(written(shape, name), 422 if "FastAPI" in shape else 400))
    asked = question(top_p=0.5)
    outcome = await collect(provider.stream(asked))
    assert (outcome.error, outcome.text) == (None, "Seven quiet lanterns drift over the harbour. ")
    first, second = (json.dumps(each.json) for each in server.questions)
    assert (f'"{name}"' in first, f'"{name}"' in second) == (True, False)
    assert provider.refused("scripted") == {"top_p"}
    [amended] = [event for event in outcome.events if isinstance(event, Amended)]
    assert amended.body == server.questions[1].json == provider.body(asked)


@EVERY
async def test_so_is_one_within_an_answer_that_began_as_a_success(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    error = {"error": {"code": 400, "message": f"Unsupported parameter: {NAMES[dialect.kind]}"}}
    server.script(*dialect.stream(dialect.data(json.dumps(error))))
    outcome = await collect(provider.stream(question(top_p=0.5)))
    assert (outcome.error, len(server.questions)) == (None, 2)
    assert provider.refused("scripted") == {"top_p"}


@EVERY
async def test_after_a_word_it_is_too_late(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    error = {"error": {"code": 400, "message": f"Unsupported parameter: {NAMES[dialect.kind]}"}}
    server.script(*dialect.stream(dialect.text("Hello"), dialect.data(json.dumps(error))))
    outcome = await collect(provider.stream(question(top_p=0.5)))
    assert (type(outcome.error), outcome.text, len(server.questions)) == (BadRequest, "Hello", 1)


@pytest.mark.parametrize(
    ("dialect", "parameter", "name"),
    [
        (OPENAI, {"max_tokens": 9}, "max_tokens"),
        (OPENAI, {"stop": ("END",)}, "stop"),
        (ANTHROPIC, {"top_k": 9}, "top_k"),
        (RESPONSES, {"max_tokens": 9}, "max_output_tokens"),
        (GEMINI, {"max_tokens": 9}, "maxOutputTokens"),
        (GEMINI, {"stop": ("END",)}, "stopSequences"),
        (OLLAMA, {"repeat_penalty": 1.1}, "repeat_penalty"),
        (OLLAMA, {"max_tokens": 9}, "num_predict"),
    ],
    ids=lambda value: value.kind if isinstance(value, Dialect) else None,
)
async def test_every_parameter_can_be_left_out(
    parameter: dict[str, Any], name: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*whole(written("FastAPI", name), 422))
    assert (await collect(provider.stream(question(**parameter)))).error is None
    assert [f'"{name}"' in json.dumps(each.json) for each in server.questions] == [True, False]
    assert provider.refused("scripted") == set(parameter)


@pytest.mark.parametrize("dialect", [OPENAI], ids=["openai"])
async def test_one_field_after_the_other_is_left_out(provider: Provider, server: ScriptedServer) -> None:
    for name in ("stream_options", "temperature", "top_p"):
        server.script(*whole(written("vLLM", name), 400))
    assert (await collect(provider.stream(question(temperature=0.5, top_p=0.5)))).error is None
    assert server.questions[-1].json.keys() == {"model", "messages", "stream"}


async def test_what_the_refusal_echoes_of_the_request_is_not_what_it_refuses(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    """FastAPI repeats what it was given, at the place that it complains of or all of it."""
    body = {"temperature": 0.5, "top_p": 0.5, "messages": ["x" * 3000]}
    entry = ENTRY | {"loc": ["body", NAMES[dialect.kind]], "input": body}
    server.script(*whole(json.dumps({"detail": [entry]}).encode(), 422))
    assert (await collect(provider.stream(question(temperature=0.5, top_p=0.5)))).error is None
    assert provider.refused("scripted") == {"top_p"}


def test_the_field_that_is_named_first_is_the_one() -> None:
    body = {"temperature": 1, "top_p": 1}
    assert unknown_field(("temperature", "top_p"), body, "Unsupported: 'top_p'. Use temperature.") == "top_p"


SENTENCES = {
    json.dumps({"detail": [ENTRY]}).replace("NAME", "top_k"): f"top_k: {SAYS}",
    json.dumps({"detail": [ENTRY, ENTRY]}).replace("NAME", "top_k"): f"top_k: {SAYS}",
    json.dumps({"message": PYTHON}).replace("NAME", "top_k"): f"top_k: {SAYS}",
    '{"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Field required"}]}': "messages.0.role: Field required",
    '{"error": "Bad Request", "message": "boom"}': "boom",
    '{"error": "invalid_request", "error_description": "boom"}': "boom",
    "{\"detail\": \"Error code: 400 - {'error': {'message': 'boom', 'code': None}}\"}": "boom",
    "{\"message\": \"one of ['a', 'b'] is wanted\"}": "one of ['a', 'b'] is wanted",
    '{"message": "use {name}"}': "use {name}",
    '"boom"': "boom",
    '\ufeff{"error": "boom"}': "boom",
    'event: error\ndata: {"error": {"message": "boom"}}\n\n': "boom",
    'event: error\r\ndata: {"type": "error",\r\ndata: "error": {"type": "x", "message": "boom"}}\r\n\r\n': "boom",
    ': ping\n\ndata: {"detail": "boom"}\n\ndata: [DONE]\n\n': "boom",
    "event: error\ndata: boom\n\n": "boom",
    '{"status": "starting"}\n{"error": "boom"}\n': "boom",
    '{"error": {"message": ["boom", "bang"]}}': "boom; bang",
}


@pytest.mark.parametrize("body", SENTENCES)
def test_the_servers_own_sentence_is_found(body: str) -> None:
    assert reason_in(body.encode()).message == SENTENCES[body]


@EVERY
async def test_a_refusal_framed_as_events_is_not_shown_raw(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    body = b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "The lamp went out"}}\n\n'
    for status, expected in ((400, BadRequest), (500, Overloaded), (429, RateLimited), (401, KeyRejected)):
        server.script(*whole(body, status, "text/event-stream"))
        error = (await collect(provider.stream(question()))).error
        assert type(error) is expected
        assert error.sentence.endswith(": The lamp went out")


#: LiteLLM's, OpenRouter's, LM Studio's, Groq's and vLLM's words for a model that they do not have.
MISSING = (
    (400, "/chat/completions: Invalid model name passed in model=lantern. Call `/v1/models` to view available models"),
    (400, "litellm.BadRequestError: You passed in model=lantern. There is no 'model_name' with this string "),
    (400, "litellm.BadRequestError: You passed in model=lantern. There are no healthy deployments for this model"),
    (500, "litellm.BadRequestError: You passed in model=lantern. There are no healthy deployments for this model"),
    (400, "No deployments available for selected model. Passed model=lantern"),
    (429, "No healthy deployment available, passed model=lantern"),
    (404, "No endpoints found for lantern."),
    (400, "lantern is not a valid model ID"),
    (404, "No models loaded. Please load a model in the developer page."),
    (400, "The model `lantern` has been decommissioned and is no longer supported."),
    (404, "The model `lantern` does not exist or you do not have access to it."),
    (422, "Unknown model: lantern"),
)


@pytest.mark.parametrize(("status", "said"), MISSING)
def test_a_model_that_is_not_there_is_missing_in_every_servers_words(status: int, said: str) -> None:
    error = refusal(ACCOUNT, status, json.dumps({"error": {"message": said, "code": str(status)}}).encode())
    assert type(error) is ModelMissing
    assert error.sentence.startswith("Acme does not have this model: ")


def test_a_router_that_rests_a_model_has_it() -> None:
    said = (
        b'{"error": {"message": "No deployments available for selected model, Try again in 5 seconds. Passed model=x"}}'
    )
    error = refusal(ACCOUNT, 429, said)
    assert (type(error), error.retry_after_seconds) == (RateLimited, 5.0)
    assert type(refusal(ACCOUNT, 429, said, wait="7")) is RateLimited


TOO_LARGE: dict[bytes, type[ProviderError]] = {
    b"": BadRequest,
    b"<html><title>413 Request Entity Too Large</title>": BadRequest,
    b'{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}': BadRequest,
    b'{"error":{"message":"Request too large: tokens per minute","code":"rate_limit_exceeded"}}': BadRequest,
    b'{"error":{"message":"the maximum context length is 5 tokens"}}': PromptTooLong,
}


@pytest.mark.parametrize("body", TOO_LARGE, ids=lambda body: body[:20].decode())
def test_413_has_its_own_sentence(body: bytes) -> None:
    error = refusal(ACCOUNT, 413, body)
    assert type(error) is TOO_LARGE[body]
    assert not error.is_retryable
    if type(error) is BadRequest:
        assert error.sentence.startswith("This thread with its files is larger than Acme accepts")


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, RESPONSES], ids=lambda each: each.kind)
@pytest.mark.parametrize(
    "refused",
    [
        {"message": "Your organization must be verified to stream this model.", "param": "stream"},
        {"message": "Streaming is not supported for this model."},
    ],
)
async def test_a_model_that_may_not_stream_answers_all_at_once(
    refused: dict[str, str], provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    """OpenAI asks some to show who they are before it streams to them; first models of a kind often do not stream at all."""
    server.script(*whole(json.dumps({"error": refused}).encode(), 400))
    server.script(*whole(json.dumps(dialect.whole("Seven.", usage=(3, 9))).encode()))
    outcome = await collect(provider.stream(question()))
    assert (outcome.error, outcome.text) == (None, "Seven.")
    assert not {"stream", "stream_options"} & server.questions[1].json.keys()
    assert provider.refused("scripted") == frozenset()


HOSTILE = {
    "brackets": b"[{" * 30_000,
    "signs": b"{'a': " + b"-" * 1_900 + b"1}",
    "parentheses": b"{'a': " + b"(" * 900 + b"1" + b")" * 900 + b"}",
    "objects in objects": b'{"error":' * 900 + b"1" + b"}" * 900,
    "strings in strings": json.dumps({"error": json.dumps({"error": json.dumps({"error": "x" * 20_000})})}).encode(),
    "many entries": json.dumps({"detail": [ENTRY] * 2_000}).encode(),
    "many keys": json.dumps({f"k{number}": {"message": ""} for number in range(3_000)}).encode(),
    "blanks": b"[" + b" " * 60_000,
    "events": b"data: {\n\n" * 6_000,
    "digits": b"{'a': " + b"9" * 1_900 + b"}",
    "powers": b"{'a': 9**9**9}",
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_refusals_cost_little_and_say_something(hostile: str) -> None:
    began = time.thread_time()
    for body in (HOSTILE[hostile], json.dumps({"detail": HOSTILE[hostile].decode()}).encode()):
        sentence = refusal(ACCOUNT, 400, body).sentence
        assert len(sentence) < 500
        error_in(find_value(body))
    assert time.thread_time() - began < 2
