"""DeepAI: a conversation becomes one text, and one answer comes of it or one error."""

import asyncio

import httpx
import pytest

from app.parts import FilePart, Finish, ReasoningPart, TextDelta, TextPart, ToolCallPart, ToolResultPart
from app.providers.base import Account, ChatMessage, ChatRequest, Image, Model
from app.providers.deepai import DeepAI
from app.providers.errors import (
    BadAnswer,
    BadRequest,
    KeyRejected,
    NoList,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
    TimedOut,
    Unreachable,
)
from app.providers.prompts import CONTINUE
from tests.providers.conftest import CALM, KEY, PATIENT, QUICK, collect, conversation, question, replayed
from tests.scripted import DEEPAI, Close, Repeat, Reset, Script, ScriptedServer, Send, Stall, head, whole
from tests.scripted.dialects.deepai import text_of
from tests.watching import within


@pytest.fixture
def provider(server: ScriptedServer, client: httpx.AsyncClient) -> DeepAI:
    return DeepAI(Account("Acme", server.url_for(DEEPAI), KEY), client, PATIENT)


async def test_one_answer_comes_at_once(provider: DeepAI, server: ScriptedServer) -> None:
    server.script(*DEEPAI.answer(("Of\u2028the ", "wïnd 𝄞.")))
    outcome = await collect(provider.stream(question("Why & how?")))
    assert outcome.events == [TextDelta("Of\u2028the wïnd 𝄞."), Finish("stop")]
    [asked] = server.requests
    assert (asked.method, asked.path, asked.headers["api-key"]) == ("POST", "/api/text-generator", KEY)
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers
    assert text_of(asked) == "User: Why & how?\n\nAssistant:"
    assert provider.body(question("Why & how?")) == {"text": text_of(asked)}


def test_a_conversation_is_one_text(provider: DeepAI) -> None:
    assert provider.body(conversation(continues=False))["text"] == (
        'Be brief.\n\nUser: One?\n\nTwo?\n\nAssistant: look {"at": 1}\n\nTool: found\n\nAssistant: It is\n\nAssistant:'
    )
    assert provider.body(conversation(continues=True))["text"].endswith(f"It is\n\nUser: {CONTINUE}\n\nAssistant:")


def test_what_is_no_text_is_refused(provider: DeepAI) -> None:
    for part in (Image("image/png", b"x"), FilePart("a1", "cat.png", "image/png", 9)):
        with pytest.raises(BadRequest, match="Acme"):
            provider.body(ChatRequest("m", (ChatMessage("user", (TextPart("Look"), part)),)))
    thought = ChatMessage("assistant", (ReasoningPart("Hm."), ToolCallPart("c1", "f", "{}"), ToolResultPart("c1", "x")))
    assert "Hm." not in provider.body(ChatRequest("m", (*question().messages, thought)))["text"]


FAULTS: dict[str, tuple[Script, type[ProviderError], str]] = {
    "err": (whole(DEEPAI.error_body("boom"), 500), Overloaded, "boom"),
    "err in a success": (whole(DEEPAI.error_body("boom")), Overloaded, "boom"),
    "status": (
        whole(b'{"status":"Please pass a valid Api-Key in an HTTP header."}', 401),
        KeyRejected,
        "valid Api-Key",
    ),
    "a refusal": (whole(DEEPAI.error_body("text is missing"), 400), BadRequest, "text is missing"),
    "too long": (whole(DEEPAI.error_body("maximum context length is 5"), 400), PromptTooLong, ""),
    "too often": (whole(DEEPAI.error_body("slow down"), 429, Retry_After="2"), RateLimited, "slow down"),
    "a gateway": (whole(b'{"message":"no route"}', 503), Overloaded, "no route"),
    "a gateway in a success": (whole(b'{"detail":"no route"}'), Overloaded, "no route"),
    "plain words": (whole(b"Bad Gateway", 502, "text/plain"), Overloaded, "Bad Gateway"),
    "a deep nest": (whole(b'{"err":' + b"[" * 20_000, 500), Overloaded, ""),
    "null": (whole(b'{"id":"x","output":null}'), Overloaded, ""),
    "another shape": (whole(DEEPAI.unreadable()), Overloaded, ""),
    "no object": (whole(b"[]"), BadAnswer, ""),
    "no JSON": (whole(b"{nonsense"), BadAnswer, ""),
    "a web page": (whole(b"<html>Hi</html>", 200, "text/html"), BadAnswer, "web page"),
    "a redirect": (whole(b"", 307, Location="/elsewhere"), BadAnswer, "redirect"),
    "nothing": ((Stall(),), TimedOut, ""),
    "half an answer": ((Send(head(Content_Length="999") + b'{"id":'), Stall()), TimedOut, ""),
    "half an answer, and closed": ((Send(head(Content_Length="999") + b'{"id":'), Close()), Unreachable, ""),
    "a reset": ((Reset(),), Unreachable, ""),
    "an endless answer": ((Send(head() + b'{"output":"'), Repeat(b"x" * 65_536)), BadAnswer, ""),
    "too large an answer": (DEEPAI.answer(("x" * 200_000,)), BadAnswer, ""),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_has_its_error(fault: str, provider: DeepAI, server: ScriptedServer) -> None:
    script, expected, words = FAULTS[fault]
    server.script(*script)
    asked = DeepAI(provider.account, provider.client, QUICK if expected is TimedOut else CALM)
    outcome = await collect(asked.stream(question()))
    assert type(outcome.error) is expected, outcome.error
    assert (outcome.text, outcome.finish) == ("", [])
    assert len(server.requests) == 1 or (expected is TimedOut and not server.requests)  # if the machine stood still
    sentence = outcome.error.sentence
    assert "Acme" in sentence
    assert words in sentence
    assert KEY not in sentence
    server.unscript()
    server.script(*DEEPAI.answer(("Whole.",)))
    assert (await collect(provider.stream(question()))).text == "Whole."


async def test_an_answer_cut_at_any_byte_is_the_same_answer_or_none() -> None:
    body = DEEPAI.text("é𝄞 so")
    for cut in range(len(body) + 1):
        assert (await collect(replayed(DEEPAI, body[:cut], body[cut:]).stream(question()))).text == "é𝄞 so"
        if cut < len(body):
            outcome = await collect(replayed(DEEPAI, body[:cut]).stream(question()))
            assert isinstance(outcome.error, BadAnswer)
            assert (outcome.text, outcome.finish) == ("", [])


async def test_marks_are_dropped_and_words_are_joined(provider: DeepAI, server: ScriptedServer) -> None:
    server.script(*DEEPAI.answer(("Assistant: Paris.</s>",)))
    assert (await collect(provider.stream(question()))).text == "Paris."
    server.script(*DEEPAI.answer(("near.",)))
    assert (await collect(provider.stream(conversation(continues=True)))).text == " near."


async def test_leaving_closes_the_connection(provider: DeepAI, server: ScriptedServer) -> None:
    server.script(Stall())
    task = asyncio.create_task(collect(provider.stream(question())))
    asked = await server.next_question()
    task.cancel()
    async with within("the end of the connection"):
        await asked.closed.wait()


async def test_there_is_one_model_and_nothing_to_count_with(provider: DeepAI, server: ScriptedServer) -> None:
    known = {"has_vision": False, "has_tools": False, "has_reasoning": False, "is_embedding": False}
    for answer in (whole(b"{}"), whole(b"", 405), whole(DEEPAI.error_body("POST only"), 400)):
        server.answers[DEEPAI.listing_path] = answer
        assert await provider.list_models() == [Model("text-generator", **known)]
    assert not (await provider.count_tokens(question())).is_exact
    assert provider.takes == frozenset()
    for answer, error in ((whole(b"{}", 401), KeyRejected), (whole(b"", 503), Overloaded), (whole(b"", 404), NoList)):
        server.answers[DEEPAI.listing_path] = answer
        with pytest.raises(error):
            await provider.list_models()
