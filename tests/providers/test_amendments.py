"""What servers refuse is learned, remembered for as many as fit, and sent no more."""

import json

import httpx
import msgspec
import pytest

from app.parts import TextPart, ToolResultPart
from app.providers import amendments
from app.providers.amendments import MOST_REMEMBERED, Amendments, unknown_field
from app.providers.base import Account, Amended, ChatMessage, ChatRequest, Image, Provider
from app.providers.llamacpp import LlamaCpp
from app.providers.ollama import Ollama
from app.providers.openai import OpenAI
from tests.providers.conftest import KEY, PATIENT, ask, collect, question
from tests.scripted import OLLAMA, OPENAI, ScriptedServer, whole

ACCOUNT = Account("Acme", "http://127.0.0.1:9/v1")


def test_a_refusal_is_known_to_whoever_comes_later_and_not_to_those_under_way() -> None:
    first, second = Amendments(ACCOUNT), Amendments(ACCOUNT)
    assert (first.of("m"), second.of("m")) == (frozenset(), frozenset())
    first.learn("m", "prefill")
    assert first.of("m") == {"prefill"}
    assert second.of("m") == frozenset()
    assert Amendments(ACCOUNT).of("m") == {"prefill"}
    assert Amendments(ACCOUNT).of("another") == frozenset()
    assert Amendments(msgspec.structs.replace(ACCOUNT, base_url="http://127.0.0.1:8/v1")).of("m") == frozenset()
    second.learn("m", "chat")
    assert (second.of("m"), Amendments(ACCOUNT).of("m")) == ({"chat"}, {"prefill", "chat"})


def test_a_refused_parameter_is_the_models_row_to_remember() -> None:
    first = Amendments(ACCOUNT)
    for name in ("top_p", "thinkingConfig", "stream_options"):
        first.learn("m", name)
    assert first.parameters("m") == {"top_p", "reasoning_effort"}
    assert Amendments(ACCOUNT).of("m") == {"stream_options"}
    first.learn("claude", "adaptive")
    assert first.parameters("claude") == frozenset()
    first.learn("claude", "budget")
    assert first.parameters("claude") == {"reasoning_effort"}


def test_only_so_many_are_remembered() -> None:
    busy = Amendments(ACCOUNT)
    for number in range(MOST_REMEMBERED + 5):
        busy.learn(f"m{number}", "chat")
        busy.learn("often", "chat")
    later = Amendments(ACCOUNT)
    assert [bool(later.of(name)) for name in ("m0", f"m{MOST_REMEMBERED + 4}", "often")] == [False, True, True]
    amendments.forget()
    assert Amendments(ACCOUNT).of("often") == frozenset()


COMPLAINTS = {
    "Unsupported parameter: 'top_p' is not supported with this model.": "top_p",
    "Unrecognized request argument supplied: top_p": "top_p",
    "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) is.": "temperature",
    "body.top_p: Extra inputs are not permitted": "top_p",
    "temperature must be between 0 and 2": None,
    "Unsupported parameter: 'top_px'": None,
    "Unsupported media type": None,
    "": None,
}


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_only_a_field_that_is_not_known_is_left_out(complaint: str) -> None:
    body = {"temperature": 0.5, "top_p": 0.9, "messages": []}
    assert unknown_field(("stop", "temperature", "top_p"), body, complaint) == COMPLAINTS[complaint]


async def test_what_is_sent_instead_is_told_before_it_is_sent(
    server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    provider = OpenAI(Account("Acme", server.url_for(OPENAI), KEY), client, PATIENT)
    server.script(*whole(OPENAI.error_body("Unsupported parameter: 'reasoning_effort'"), 400))
    asked = question(reasoning_effort="low")
    events = provider.stream(asked)
    amended = await anext(events)
    assert isinstance(amended, Amended)
    assert len(server.questions) == 1
    assert "reasoning_effort" not in amended.body
    rest = await collect(events)
    assert rest.text.startswith("Seven")
    assert server.questions[1].json == amended.body == provider.body(asked)
    assert provider.refused("scripted") == {"reasoning_effort"}
    later = OpenAI(provider.account, client, PATIENT)
    assert later.body(asked) != amended.body


THINKING = {
    'think value "low" is not supported for this model': True,
    '"scripted" does not support thinking': None,
}


@pytest.mark.parametrize("complaint", THINKING)
async def test_ollama_is_told_to_think_as_far_as_the_model_can(
    complaint: str, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    provider = Ollama(Account("Acme", server.url_for(OLLAMA)), client, PATIENT)
    asked = question(reasoning_effort="low")
    assert provider.body(asked)["think"] == "low"
    assert "think" not in provider.body(question())
    server.script(*whole(OLLAMA.error_body(complaint), 400))
    assert (await collect(provider.stream(asked))).error is None
    assert [each.json.get("think") for each in server.questions] == ["low", THINKING[complaint]]


PICTURE = Image("image/png", b"\x89PNG")


def looked(*parts: TextPart | Image | ToolResultPart) -> ChatRequest:
    return ChatRequest("m", (ChatMessage("user", parts),))


def test_pictures_stand_among_the_words_for_openai(client: httpx.AsyncClient) -> None:
    provider = OpenAI(ACCOUNT, client)
    [message] = provider.body(looked(TextPart("What is"), PICTURE, TextPart("this?")))["messages"]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    assert message == {
        "role": "user",
        "content": [{"type": "text", "text": "What is"}, picture, {"type": "text", "text": "this?"}],
    }
    [alone] = provider.body(looked(PICTURE))["messages"]
    assert alone["content"] == [picture]


def test_pictures_stand_beside_the_words_for_ollama(client: httpx.AsyncClient) -> None:
    provider = Ollama(ACCOUNT, client)
    [message] = provider.body(looked(TextPart("What is"), PICTURE, TextPart("this?")))["messages"]
    assert message == {"role": "user", "content": "What is\n\nthis?", "images": ["iVBORw=="]}
    [alone] = provider.body(looked(PICTURE))["messages"]
    assert alone == {"role": "user", "content": "", "images": ["iVBORw=="]}


async def test_a_picture_arrives_as_it_is(provider: Provider, server: ScriptedServer) -> None:
    assert (await collect(provider.stream(looked(TextPart("What?"), PICTURE)))).error is None
    assert "iVBORw==" in json.dumps(server.questions[0].json)


async def test_the_engine_says_that_it_cannot_see(local: LlamaCpp) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    request = ChatRequest("tiny", (ChatMessage("user", (TextPart("What?"), PICTURE)),), ask().parameters)
    assert local.body(request)["messages"][0]["content"][1] == picture
    error = (await collect(local.stream(request))).error
    assert error is not None
    assert "image" in error.sentence


async def test_the_engines_template_is_told_the_effort(local: LlamaCpp) -> None:
    asked = ask(reasoning_effort="high")
    assert local.body(asked)["chat_template_kwargs"] == {"reasoning_effort": "high"}
    assert "reasoning_effort" not in local.body(asked)
    outcome = await collect(local.stream(asked))
    assert outcome.error is None
    assert (await local.count_tokens(asked)).is_exact
