"""What failed was counted, too: the usage that a server had said before comes once, and before the error."""

import json
from typing import Any

import pytest

from app.parts import Usage
from app.providers.base import Limits, Provider
from app.providers.errors import Filtered, Overloaded, ProviderError, StreamCut, TimedOut
from tests.providers.conftest import PATIENT, collect, question
from tests.scripted import (
    ANTHROPIC,
    GEMINI,
    LAST_CHUNK,
    OPENAI,
    RESPONSES,
    Close,
    Dialect,
    Reset,
    ScriptedServer,
    Send,
    Sleep,
    Stall,
    Step,
    chunk,
)


def event(value: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % json.dumps(value).encode()


PROMPT = {"promptTokenCount": 5, "cachedContentTokenCount": 3}
#: Frames that say what was used so far.
COUNTED = {
    "openai": event({"choices": [], "usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}}),
    "anthropic": event(
        {
            "type": "message_start",
            "message": {"usage": {"input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 1}},
        }
    ),
    "gemini": event({"candidates": [{"content": {"parts": [{"text": ""}]}}], "usageMetadata": PROMPT}),
}
ENDS: dict[str, tuple[type[ProviderError], tuple[Step, ...]]] = {
    "a reset": (StreamCut, (Sleep(0.05), Reset())),
    "a close": (StreamCut, (Sleep(0.05), Close())),
    "an end without its mark": (StreamCut, (Send(LAST_CHUNK),)),
    "silence": (TimedOut, (Stall(),)),
}


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> Limits:
    """Silence is waited for where that is the end, and nowhere else."""
    callspec = getattr(request.node, "callspec", None)
    return Limits(60, 0.4) if callspec and callspec.params.get("end") == "silence" else PATIENT


SAYING = pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI], ids=[*COUNTED])


@SAYING
@pytest.mark.parametrize("end", ENDS)
async def test_an_answer_that_breaks_off_has_its_usage(
    end: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    error, steps = ENDS[end]
    server.script(dialect.head(), Send(chunk(dialect.text("Hi") + COUNTED[dialect.kind])), *steps)
    outcome = await collect(provider.stream(question()))
    assert (type(outcome.error), outcome.text, outcome.finish) == (error, "Hi", [])
    assert outcome.usage == [Usage(5, None, 3)]


@SAYING
@pytest.mark.parametrize("said", ["", "Hi"])
async def test_an_error_within_an_answer_leaves_its_usage(
    said: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    text = dialect.text(said) if said else b""
    server.script(*dialect.stream(COUNTED[dialect.kind] + text + dialect.error("overloaded")))
    outcome = await collect(provider.stream(question()))
    assert (type(outcome.error), outcome.text) == (Overloaded, said)
    assert outcome.usage == [Usage(5, None, 3)]
    assert outcome.events[-1] == Usage(5, None, 3)


AT_THE_END: dict[str, tuple[Dialect, bytes, type[ProviderError]]] = {
    "a prompt that Gemini blocks": (
        GEMINI, event({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}), Filtered,
    ),
    "an answer that Gemini blocks": (
        GEMINI, event({"candidates": [{"finishReason": "SAFETY"}], "usageMetadata": {"promptTokenCount": 5}}), Filtered,
    ),
    "an error of Gemini's": (
        GEMINI, event({"error": {"code": 503, "message": "?"}, "usageMetadata": {"promptTokenCount": 5}}), Overloaded,
    ),
    "a response that failed": (
        RESPONSES,
        event({"type": "response.failed", "response": {"error": {"code": "server_error"}, "usage": {"input_tokens": 5}}}),
        Overloaded,
    ),
    "a response that is incomplete for a reason of its own": (
        RESPONSES,
        event(
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "?"}, "usage": {"input_tokens": 5}}}
        ),
        StreamCut,
    ),
    "a response that was cancelled": (
        RESPONSES, event({"type": "response.cancelled", "response": {"usage": {"input_tokens": 5}}}), StreamCut,
    ),
    "an error with its usage": (
        OPENAI, event({"error": {"message": "?"}, "usage": {"prompt_tokens": 5}}), Overloaded,
    ),
    "an end that is none": (
        OPENAI, event({"choices": [{"finish_reason": "error"}], "usage": {"prompt_tokens": 5}}), StreamCut,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "frame", "error"), AT_THE_END.values(), ids=[name.replace(" ", "-") for name in AT_THE_END]
)
async def test_a_failure_that_says_what_it_took_is_believed(
    frame: bytes, error: type[ProviderError], provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*dialect.stream(frame))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is error
    assert outcome.events == [Usage(5)]
