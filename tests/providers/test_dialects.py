"""What all dialects have in common: the same answer, the same events, and prompts that only grow."""

import json

import httpx
import msgspec
import pytest

from app.parts import (
    FilePart,
    Finish,
    Part,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from app.providers import PROVIDERS
from app.providers.base import Account, ChatMessage, ChatRequest, Image, Provider, Role
from app.providers.errors import BadRequest
from tests.providers.conftest import ADAPTERS, KEY, collect, conversation, question
from tests.scripted import ANTHROPIC, GEMINI, RESPONSES, SPOKEN, Dialect, ScriptedServer, whole


async def test_reasoning_fields_become_reasoning(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    server.script(*dialect.answer(("So ", "be it."), thoughts=("I ", "think."), usage=(1, 2), reason="length"))
    outcome = await collect(provider.stream(question()))
    assert outcome.parts[1:] == (TextPart("So be it."),)
    assert outcome.reasoning == "I think."
    assert outcome.events[-2:] == [Usage(1, 2), Finish("length")]


async def test_usage_that_is_not_given_stays_unknown(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*dialect.answer(("Hi",)))
    assert (await collect(provider.stream(question()))).events == [TextDelta("Hi"), Finish("stop")]


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
async def test_counts_that_cannot_be_are_unknown(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    """Law 4: what is shown was counted. And a column of Postgres holds it, with all that is added to it."""
    for said, read in {
        (10**12, 7): [Usage(None, 7)],
        (-5, 7): [Usage(None, 7)],
        (5, 10**12): [Usage(5)],
        (2**31, 2**64): [],
        (100_000_000, 7): [Usage(100_000_000, 7)],
    }.items():
        server.script(*dialect.answer(("Hi",), usage=said))
        outcome = await collect(provider.stream(question()))
        assert (outcome.text, outcome.error, outcome.usage) == ("Hi", None, read), said


async def test_prompts_that_servers_miscount_are_estimated(client: httpx.AsyncClient, server: ScriptedServer) -> None:
    for dialect, path, name in COUNTED:
        provider = ADAPTERS[dialect.kind](Account("Acme", server.url_for(dialect), KEY), client)
        for tokens, is_exact in ((7, True), (-5, False), (10**12, False), ("7", False)):
            server.answers[path] = whole(json.dumps({name: tokens}).encode())
            counted = await provider.count_tokens(question())
            assert counted.is_exact is is_exact
            assert 0 < counted.tokens < 1000


COUNTED = (
    (ANTHROPIC, "/v1/messages/count_tokens", "input_tokens"),
    (GEMINI, "/v1beta/models/scripted:countTokens", "totalTokens"),
    (RESPONSES, "/v1/responses/input_tokens", "input_tokens"),
)


async def test_tool_calls_come_with_id_name_and_arguments(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    calls = [dialect.tool_call("c1", "look", {"at": "x"}, 0), dialect.tool_call("c2", "go", {"to": [1, {}]}, 1)]
    server.script(*dialect.answer((), tool_calls=calls, reason="tool_calls"))
    outcome = await collect(provider.stream(question()))
    found = [(part.call_id, part.name, part.arguments.replace(" ", "")) for part in outcome.parts]  # type: ignore[attr-defined]
    assert found == [("c1", "look", '{"at":"x"}'), ("c2", "go", '{"to":[1,{}]}')]
    assert outcome.finish == [Finish("tool_calls")]


async def test_the_key_travels_in_its_header(
    provider: Provider, server: ScriptedServer, client: httpx.AsyncClient, dialect: Dialect
) -> None:
    await collect(provider.stream(question()))
    assert dialect.key_headers(KEY).items() <= server.questions[0].headers.items()
    assert server.questions[0].headers["accept-encoding"] == "identity"
    login = server.url_for(dialect).replace("://", "://ann:p%40ss@")
    await collect(PROVIDERS[dialect.kind](Account("Acme", login + "?version=3"), client).stream(question()))
    assert [dialect.is_question(asked) and "version=3" in asked.query for asked in server.requests[1:]] == [True]
    assert server.requests[1].headers["authorization"] == "Basic YW5uOnBAc3M="


async def test_cookies_of_one_server_reach_no_request(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    plain = dialect.answer(("Hi",))
    head = plain[0].content.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n\r\n")  # type: ignore[union-attr]
    server.scripts["scripted"] = (type(plain[0])(head), *plain[1:])
    for _ in range(2):
        assert (await collect(provider.stream(question()))).text == "Hi"
    assert "cookie" not in server.questions[1].headers


def test_files_are_refused_until_something_stands_in_their_place(provider: Provider) -> None:
    parts = (TextPart("Look"), FilePart("a1", "cat.png", "image/png", 9))
    with pytest.raises(BadRequest, match=r"The file cat\.png cannot be sent to Acme"):
        provider.body(ChatRequest("m", (ChatMessage("user", parts),)))


async def test_what_is_sent_is_exactly_what_the_body_says(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    request = conversation(continues=False)
    await collect(provider.stream(request))
    assert server.questions[0].json == provider.body(request)


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
def test_calls_and_results_of_one_message_are_said_in_turn(provider: Provider, dialect: Dialect) -> None:
    answer = said(
        "assistant",
        TextPart("I look."),
        ToolCallPart("c1", "look", '{"at": "left"}'),
        ToolResultPart("c1", "found"),
        ToolCallPart("c2", "look", '{"at": "right"}'),
        ToolResultPart("c2", "nothing"),
        TextPart("It is."),
    )
    sent = dialect.messages(provider.body(ChatRequest("m", (said("user", TextPart("Where?")), answer))))
    written = [msgspec.json.encode(entry).decode() for entry in sent]
    words = ("Where?", "I look.", "left", "found", "right", "nothing", "It is.")
    places = [next(place for place, entry in enumerate(written) if word in entry) for word in words]
    assert places == sorted(places)
    speakers = {word: sent[place].get("role") for word, place in zip(words, places, strict=True)}
    assert {speakers[word] for word in ("I look.", "left", "right", "It is.")} <= {"assistant", "model", None}
    assert {speakers[word] for word in ("Where?", "found", "nothing")} <= {"user", "tool", None}
    assert len({place for word, place in zip(words, places, strict=True) if word in ("left", "found", "right")}) == 3


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
def test_calls_without_a_result_are_not_sent(provider: Provider, dialect: Dialect) -> None:
    """They are refused. Ids begin anew with each answer of some servers, so a later result is not one of theirs."""
    messages = (
        said("user", TextPart("Where?")),
        said("assistant", TextPart("I look."), ToolCallPart("c0", "look", '{"at": "nowhere"}')),
        said("user", TextPart("Well?")),
        said("assistant", ReasoningPart("Hm."), ToolCallPart("c0", "look", '{"at": "elsewhere"}')),
        said("user", TextPart("Well?")),
        said("assistant", ToolCallPart("c0", "look", '{"at": "left"}'), ToolCallPart("c1", "look", '{"at": "astray"}')),
        said("tool", ToolResultPart("c0", "found")),
        said("assistant", ToolCallPart("c0", "look", '{"at": "lost"}')),
        said("user", TextPart("So?")),
    )
    body = msgspec.json.encode(provider.body(ChatRequest("m", messages))).decode()
    assert [word in body for word in ("I look.", "left", "found", "So?")] == [True] * 4
    assert not [word for word in ("nowhere", "elsewhere", "astray", "lost") if word in body]


def said(role: Role, *parts: Part | Image) -> ChatMessage:
    return ChatMessage(role, parts)


def looked_up(call_id: str, signature: str) -> tuple[ChatMessage, ChatMessage]:
    """A model thinks and calls a tool, which answers."""
    thought = ReasoningPart("Where is it?", signature=signature)
    call = said("assistant", thought, ToolCallPart(call_id, "look", '{"at": "é"}'))
    return call, said("tool", ToolResultPart(call_id, "found", is_error=call_id == "c2"))


def threads(dialect: Dialect) -> dict[str, list[ChatMessage]]:
    """Threads as they grow: without tools, and with them. Both of OpenAI's dialects are signed as its own."""
    sign = f"{'openai' if dialect.kind == 'responses' else dialect.kind}:c2lnbmVk"
    system, picture = said("system", TextPart("Be brief.")), Image("image/png", b"\x89PNG")
    plain = [
        said("user", TextPart("One?")),
        said("assistant", ReasoningPart("Hm.", signature=sign), TextPart("One é\u2028𝄞. \n")),
        said("user", TextPart("Two?"), picture),
        said("assistant", TextPart("Two.")),
        said("user", TextPart("  Three? ")),
        said("assistant", ReasoningPart("Hm?"), TextPart("Three.")),
        said("user", TextPart("Four?")),
    ]
    with_tools = [*plain[:1], *looked_up("c1", sign), *looked_up("c2", sign), *plain[1:3], *looked_up("c3", sign)]
    call, result = looked_up("c4", sign)
    at_once = said("assistant", *call.parts, *result.parts, TextPart("There."))
    unanswered = said("assistant", TextPart("I look."), ToolCallPart("c4", "look", "{}"))
    mixed = [plain[0], at_once, plain[2], unanswered, plain[4], at_once, plain[6]]
    return {
        "plain": [system, *plain],
        "with tools": [system, *with_tools, *plain[3:]],
        "in one message": [system, *mixed],
    }


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
@pytest.mark.parametrize("thread", ["plain", "with tools", "in one message"])
@pytest.mark.parametrize("effort", [None, "high"])
def test_every_prompt_begins_with_all_of_the_prompt_before_it(
    thread: str, effort: str | None, provider: Provider, dialect: Dialect
) -> None:
    """Byte for byte: only then does a server's prompt cache know it again."""
    whole = threads(dialect)[thread]
    asked = question(reasoning_effort=effort)
    before, rest_before, prompts = b"[", None, 0
    for size, message in enumerate(whole, start=1):
        if message.role not in ("user", "tool"):
            continue
        body = provider.body(ChatRequest("m", tuple(whole[:size]), asked.parameters))
        written = msgspec.json.encode(dialect.messages(body))
        rest = {name: value for name, value in body.items() if value is not dialect.messages(body)}
        assert written.startswith(before), size
        assert rest_before in (None, rest)
        before, rest_before, prompts = written.removesuffix(b"]"), rest, prompts + 1
    assert prompts >= 4
    assert b"Four?" in before
