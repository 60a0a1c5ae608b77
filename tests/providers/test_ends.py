"""When an answer is at its end: text after a finish reason is part of it, and one that was cut is never complete."""

import asyncio

import pytest

from app.parts import Finish, Usage
from app.providers.base import Limits, Provider
from app.providers.end_of_answer import EndOfAnswer, is_failure, read_reason
from app.providers.errors import StreamCut, Unreachable
from tests.providers.conftest import ADAPTERS, KEY, PATIENT, Outcome, collect, question, replayed
from tests.scripted import (
    DIALECTS,
    GEMINI,
    LAST_CHUNK,
    OLLAMA,
    OPENAI,
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

#: What each dialect calls a proper end.
STOPS = {"openai": "stop", "anthropic": "end_turn", "gemini": "STOP", "ollama": "stop"}
WORDS = ("Hel", "lo ", "é𝄞 ", "all.")
NO_REASONS = ("null", "", "None", "NULL", "unspecified", "N/A", "in_progress", "not_finished", "continue")


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> Limits:
    """Silence is waited for where that is the ending, and nowhere else."""
    callspec = getattr(request.node, "callspec", None)
    return SHORTLY if callspec and isinstance(callspec.params.get("ending"), Stall) else PATIENT


#: For what is sent at once, and followed by silence.
SHORTLY = Limits(60, 0.3)


def in_every_frame(dialect: Dialect, said: str = "") -> list[bytes]:
    """Text, each piece of which says that it is the last."""
    return [dialect.text_at_an_end(word, said or STOPS[dialect.kind]) for word in WORDS]


async def test_a_reason_in_every_frame_ends_nothing(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*dialect.stream(*in_every_frame(dialect), dialect.finish("length", usage=(3, 4))))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.error) == ("Hello é𝄞 all.", None)
    assert (outcome.usage, outcome.finish) == ([Usage(3, 4)], [Finish("length")])


async def test_nor_does_a_pause_of_seconds_after_it(server: ScriptedServer) -> None:
    """Longer than the wait for what may follow a finish reason that stands alone; all dialects at once, as it takes time."""
    from app.providers.answers import SECONDS_AFTER_FINISH
    from app.providers.base import Account
    from app.providers.client import make_client

    async def ask(dialect: Dialect, after: int) -> Outcome:
        frames: list[Step] = [Send(chunk(frame)) for frame in in_every_frame(dialect)]
        frames.insert(after, Sleep(SECONDS_AFTER_FINISH + 1))
        script = (dialect.head(), *frames, Send(chunk(dialect.finish())), Send(LAST_CHUNK))
        server.scripts[f"{dialect.kind}-{after}"] = script
        account = Account("Acme", server.url_for(dialect), KEY)
        asked = question(model=f"{dialect.kind}-{after}")
        return await collect(ADAPTERS[dialect.kind](account, client, PATIENT).stream(asked))

    async with make_client() as client:
        outcomes = await asyncio.gather(*(ask(dialect, after) for dialect in DIALECTS for after in (1, 2)))
    for outcome in outcomes:
        assert (outcome.text, outcome.error, outcome.finish) == ("Hello é𝄞 all.", None, [Finish("stop")])


async def test_text_that_follows_an_end_soon_is_part_of_the_answer(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    early = dialect.finish().removesuffix(dialect.end_marker)
    frames = (dialect.text("Hello"), early, dialect.text(" there"))
    server.script(*dialect.stream(*frames, dialect.finish("length")))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.error, outcome.finish) == ("Hello there", None, [Finish("length")])
    server.script(dialect.head(), *(Send(chunk(frame)) for frame in frames), Close())
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, type(outcome.error), outcome.finish) == ("Hello there", StreamCut, [])
    server.script(*dialect.stream(*frames))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, type(outcome.error), outcome.finish) == ("Hello there", StreamCut, [])


@pytest.mark.parametrize("ending", [Close(), Reset(), Stall()], ids=["close", "reset", "stall"])
@pytest.mark.parametrize("size", range(1, len(WORDS) + 1))
async def test_cut_after_any_of_such_frames_it_is_not_complete(
    size: int, ending: Step, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    sent = Send(b"".join(chunk(frame) for frame in in_every_frame(dialect)[:size]))
    server.script(dialect.head(), sent, Sleep(0.02), ending)
    outcome = await collect(provider.stream(question()))
    assert outcome.text == "".join(WORDS[:size])
    assert outcome.error is not None
    assert outcome.finish == []


async def test_cut_at_any_byte_it_is_not_complete(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    wire = b"".join(chunk(frame) for frame in in_every_frame(dialect))
    at_once = asyncio.Semaphore(16)
    patient = ADAPTERS[dialect.kind](provider.account, provider.client, PATIENT)

    async def cut(size: int) -> Outcome:
        server.scripts[f"m{size}"] = (dialect.head(), Send(wire[:size]), Close())
        async with at_once:
            return await collect(patient.stream(question(model=f"m{size}")))

    for size, outcome in enumerate(await asyncio.gather(*map(cut, range(0, len(wire), 3)))):
        assert isinstance(outcome.error, StreamCut | Unreachable), size
        assert not outcome.finish, size
        assert "".join(WORDS).startswith(outcome.text), size


async def test_wherever_it_is_cut_into_chunks_it_is_the_same_answer(dialect: Dialect) -> None:
    stream = dialect.opening() + b"".join(in_every_frame(dialect))
    for frames in (stream, stream + dialect.end_marker):
        for cut in range(len(frames) + 1):
            outcome = await collect(replayed(dialect, frames[:cut], frames[cut:]).stream(question()))
            assert (outcome.text, outcome.error, outcome.finish) == ("Hello é𝄞 all.", None, [Finish("stop")]), cut


@pytest.mark.parametrize("said", NO_REASONS)
@pytest.mark.parametrize("dialect", [OPENAI, GEMINI], ids=["openai", "gemini"])
async def test_words_for_no_reason_are_none(
    said: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    frames = in_every_frame(dialect, said or " ")
    server.script(*dialect.stream(*frames, dialect.finish("length")))
    assert (await collect(provider.stream(question()))).finish == [Finish("length")]
    server.script(*dialect.stream(*frames))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, type(outcome.error), outcome.finish) == ("Hello é𝄞 all.", StreamCut, [])
    server.script(dialect.head(), Send(b"".join(map(chunk, frames))), Stall())
    hurried = ADAPTERS[dialect.kind](provider.account, provider.client, SHORTLY)
    outcome = await collect(hurried.stream(question()))
    assert (outcome.text, outcome.finish) == ("Hello é𝄞 all.", [])
    assert outcome.error is not None


@pytest.mark.parametrize("said", ["error", "abort", "network_error", "cancelled", "timeout", "FAILED", "preempted"])
@pytest.mark.parametrize("dialect", [OPENAI, OLLAMA], ids=["openai", "ollama"])
async def test_a_reason_that_is_a_failure_is_no_end(
    said: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(*dialect.stream(dialect.text("Hello"), dialect.text_at_an_end("", said), dialect.end_marker))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, type(outcome.error), outcome.finish) == ("Hello", StreamCut, [])


@pytest.mark.parametrize("dialect", [OPENAI, GEMINI, OLLAMA], ids=["openai", "gemini", "ollama"])
async def test_after_an_end_that_stands_alone_usage_is_not_waited_for_long(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    early = dialect.finish().removesuffix(dialect.end_marker)
    server.script(dialect.head(), Send(chunk(dialect.text("Hello")) + chunk(early)), Stall())
    outcome = await collect(ADAPTERS[dialect.kind](provider.account, provider.client, SHORTLY).stream(question()))
    assert (outcome.text, outcome.error, outcome.finish) == ("Hello", None, [Finish("stop")])


def test_a_reason_is_believed_where_it_stands_alone_after_all_text() -> None:
    end = EndOfAnswer()
    end.see("stop", has_text=False)  # before any text: perhaps it stands in every frame
    assert not end.is_sure
    end.see(None, has_text=True)
    assert (end.reason, end.is_sure) == (None, False)
    plain = EndOfAnswer()
    plain.see(None, has_text=True)
    plain.see("stop", has_text=False)
    assert plain.is_sure
    plain.see("length", has_text=False)
    plain.see("stop", has_text=False)
    assert (plain.reason, plain.is_sure) == ("length", True)
    plain.see(None, has_text=True)
    plain.see("stop", has_text=False)
    assert (plain.reason, plain.is_sure) == ("stop", False)


def test_reasons_are_read_in_every_servers_words() -> None:
    said = {
        "MAX_TOKENS": "length",
        "Tool_Calls": "tool_calls",
        "sensitive": "content_filter",
        "eos": "stop",
        "pause": "length",
        "max_new_tokens": "length",
        "context_length_exceeded": "length",
        "guardrail_intervened": "content_filter",
        "END_TURN": "stop",
        "stop_sequence": "stop",
        "eos_token": "stop",
        "COMPLETE": "stop",
    }
    assert {word: read_reason(word, {"pause": "length"}) for word in said} == said
    assert [read_reason(word) for word in (None, False, 0, {"type": "stop"}, " null ")] == [None] * 5
    assert not any(map(is_failure, ("stop", "length", None, 7, "tool_calls", "content_filter")))
