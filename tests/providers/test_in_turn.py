"""A prompt stays a conversation in every dialect, whatever was left out of it."""

import itertools
import random
from typing import Any

import httpx
import msgspec
import pytest

from app.parts import ErrorPart, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from app.providers.base import Account, ChatMessage, ChatRequest, Image, Limits, Provider, Role
from app.providers.prompts import CONTINUE, CUT_OFF, OPENING, in_turn
from tests.providers.conftest import ADAPTERS, PATIENT
from tests.scripted import SPOKEN, Dialect


@pytest.fixture
def limits() -> Limits:
    return PATIENT


@pytest.fixture(params=SPOKEN, ids=[dialect.kind for dialect in SPOKEN])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture
def provider(dialect: Dialect) -> Provider:
    return ADAPTERS[dialect.kind](Account("Acme", "http://127.0.0.1:9"), httpx.AsyncClient())


def said(role: Role, *parts: Part | Image | str) -> ChatMessage:
    return ChatMessage(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


CALL = ToolCallPart("c1", "look", "{}")
RESULT = ToolResultPart("c1", "found")
Q1, Q2, Q3 = (said("user", word) for word in ("q1", "q2", "q3"))
A1, A2 = (said("assistant", word) for word in ("a1", "a2"))

#: What stands in the thread → who speaks, and the words, in order.
THREADS: dict[str, tuple[list[ChatMessage], list[tuple[str, str]]]] = {
    "stopped before its first word": ([Q1, said("assistant"), Q2], [("user", "q1 q2")]),
    "stopped while it thought": ([Q1, said("assistant", ReasoningPart("Hm.")), Q2], [("user", "q1 q2")]),
    "blank": ([Q1, said("assistant", " \n"), Q2], [("user", "q1 q2")]),
    "failed": ([Q1, said("assistant", ErrorPart("x", "No.")), Q2], [("user", "q1 q2")]),
    "a call without a result": ([Q1, said("assistant", CALL), Q2], [("user", "q1 q2")]),
    "twice": ([Q1, said("assistant"), Q2, said("assistant"), Q3], [("user", "q1 q2 q3")]),
    "in the middle": (
        [Q1, A1, Q2, said("assistant"), Q3, A2],
        [("user", "q1"), ("assistant", "a1"), ("user", "q2 q3"), ("assistant", "a2")],
    ),
    "two answers": ([Q1, A1, A2, Q3], [("user", "q1"), ("assistant", "a1 a2"), ("user", "q3")]),
    "a blank question": (
        [Q1, A1, said("user", "  "), A2, Q3],
        [("user", "q1"), ("assistant", "a1 a2"), ("user", "q3")],
    ),
    "begun by an answer": ([A1, Q2], [("user", OPENING), ("assistant", "a1"), ("user", "q2")]),
    "begun by nothing": ([said("assistant"), Q2], [("user", "q2")]),
    "stopped behind a result": (
        [Q1, said("assistant", CALL, RESULT), Q2],
        [("user", "q1"), ("assistant", "look"), ("tool", "found"), ("assistant", CUT_OFF), ("user", "q2")],
    ),
    "a result without a call": (
        [Q1, said("tool", RESULT), A1, Q2],
        [("user", "q1"), ("assistant", "a1"), ("user", "q2")],
    ),
    "a result too many": (
        [Q1, said("assistant", CALL), said("tool", RESULT), said("tool", ToolResultPart("c1", "again")), A1],
        [("user", "q1"), ("assistant", "look"), ("tool", "found"), ("assistant", "a1")],
    ),
}


def spoken(dialect: Dialect, entry: dict[str, Any]) -> tuple[str, str]:
    """Who speaks in an entry of a body, and the words that these tests know."""
    text = msgspec.json.encode(entry).decode()
    role = {"model": "assistant"}.get(entry.get("role", ""), entry.get("role", ""))
    if entry.get("type") == "function_call":
        role = "assistant"
    if "tool_result" in text or "functionResponse" in text or entry.get("type") == "function_call_output":
        role = "tool"
    known = ("q1", "a1", "q2", "a2", "q3", "look", "found", "again", OPENING, CUT_OFF)
    found = sorted((text.index(word), word) for word in known if word in text)
    return role, " ".join(word for _, word in found if not (role == "tool" and word == "look"))


@pytest.mark.parametrize("system", ["", "Be brief."])
@pytest.mark.parametrize("thread", THREADS)
def test_speakers_take_turns_whatever_was_left_out(
    thread: str, system: str, provider: Provider, dialect: Dialect
) -> None:
    messages, expected = THREADS[thread]
    instructed = [said("system", system), *messages] if system else messages
    sent = dialect.messages(provider.body(ChatRequest("m", tuple(instructed))))
    assert [spoken(dialect, entry) for entry in sent if entry.get("role") != "system"] == expected
    assert [entry.get("role") for entry in sent].index("system") == 0 if "system" in str(sent) else True


def test_system_prompts_are_one_and_come_first(provider: Provider, dialect: Dialect) -> None:
    messages = (said("system", "One."), Q1, said("system", "Two."), A1, Q2)
    body = provider.body(ChatRequest("m", messages))
    written = msgspec.json.encode(body).decode()
    sent = dialect.messages(body)
    assert "One." in written
    assert "Two." in written
    roles = [entry["role"] for entry in sent if entry["role"] != "system"]
    assert len(roles) == 3
    assert [entry["role"] for entry in sent][1:].count("system") == 0


@pytest.mark.parametrize(
    "answer",
    [said("assistant"), said("assistant", ReasoningPart("Hm.")), said("assistant", "\n"), said("assistant", CALL)],
)
def test_an_answer_without_a_word_is_asked_for_again(answer: ChatMessage, provider: Provider, dialect: Dialect) -> None:
    """There is nothing to go on from."""
    body = provider.body(ChatRequest("m", (Q1, answer), continues=True))
    assert dialect.messages(body) == dialect.messages(provider.body(ChatRequest("m", (Q1,))))


def test_one_is_asked_in_words_or_goes_on_with_the_last_message() -> None:
    request = ChatRequest("m", (Q1, A1), continues=True)
    assert in_turn(request, prefills=True) == [Q1, A1]
    assert in_turn(request, prefills=False) == [Q1, A1, said("user", CONTINUE)]


@pytest.mark.parametrize("seed", range(30))
def test_no_speaker_speaks_twice_and_a_prompt_only_grows(seed: int) -> None:
    rng = random.Random(seed)
    kinds = [
        said("user", "q"), said("user", " "), said("assistant", "a"), said("assistant"), said("assistant", CALL, RESULT),
        said("assistant", ReasoningPart("Hm."), CALL), said("tool", RESULT), said("assistant", CALL, RESULT, "a"),
    ]  # fmt: skip
    thread = [rng.choice(kinds) for _ in range(12)]
    found = in_turn(ChatRequest("m", (said("system", "s"), *thread)), prefills=True)
    roles = [message.role for message in found]
    assert roles[0] == "system"
    assert roles[1:2] in ([], ["user"])
    assert all(
        pair not in (("user", "user"), ("assistant", "assistant"), ("tool", "user"))
        for pair in itertools.pairwise(roles)
    )
    longer = in_turn(
        ChatRequest("m", (said("system", "s"), *thread, said("assistant", "more"), said("user", "?"))), prefills=True
    )
    # The last message may grow; what stands before it is written as it was.
    assert longer[: max(len(found) - 1, 0)] == found[:-1]
