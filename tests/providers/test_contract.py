"""What every adapter keeps, whatever its server does. A new one: add its dialect to `DIALECTS`, and this must be green."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.parts import Finish, ReasoningPart, TextPart, ToolCallPart, Usage
from app.providers.base import Limits, Provider
from app.providers.errors import BadAnswer, Overloaded, RateLimited, StreamCut, TimedOut, Unreachable
from tests.providers.conftest import ADAPTERS, CALM, KEY, PATIENT, QUICK, Outcome, collect, question, replayed
from tests.providers.faults import CALLS, FAULTS, begun, dripped
from tests.scripted import (
    LAST_CHUNK,
    SPOKEN,
    Close,
    Dialect,
    Repeat,
    Reset,
    ScriptedServer,
    Send,
    Sleep,
    Stall,
    Step,
    chunk,
    whole,
)
from tests.tiers import in_tiers

DRESSES: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda body: body,
    "CRLF": lambda body: body.replace(b"\n", b"\r\n"),
    "CR": lambda body: body.replace(b"\n", b"\r"),
    "no space after the colon": lambda body: body.replace(b"data: ", b"data:"),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "no line end at the end": lambda body: body.rstrip(b"\n"),
    "the end twice": lambda body: body + body[-40:],
}


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> Limits:
    """Silence is waited for where that is the fault, and nowhere else."""
    callspec = getattr(request.node, "callspec", None)
    fault = callspec.params.get("fault") if callspec else None
    return QUICK if fault in FAULTS and FAULTS[fault].error is TimedOut else CALM


async def read(dialect: Dialect, *chunks: bytes) -> tuple[list[object], list[object]]:
    """What an adapter makes of an answer that came in these chunks: its parts, and what it said of the whole."""
    outcome = await collect(replayed(dialect, *chunks).stream(question()))
    assert outcome.error is None
    return list(outcome.parts), [*outcome.usage, *outcome.finish]


@pytest.mark.parametrize("step", in_tiers(29, 1))
@pytest.mark.parametrize("dress", DRESSES)
async def test_an_answer_cut_at_any_byte_is_the_same_answer(dress: str, dialect: Dialect, step: int) -> None:
    call = dialect.tool_call("c1", "look", {"at": "é"})
    frames = dialect.frames(("Of\u2028the ", "wïnd 𝄞."), ("Hm, é", "𝄞 "), [call], "tool_calls", (3, 9))
    stream = DRESSES[dress](b"".join(frames))
    parts, ends = await read(dialect, stream)
    assert [type(part) for part in parts] == [ReasoningPart, TextPart, ToolCallPart]
    assert [part.text for part in parts[:2]] == ["Hm, é𝄞 ", "Of\u2028the wïnd 𝄞."]  # type: ignore[attr-defined]
    assert ends == [Usage(3, 9), Finish("tool_calls")]
    for cut in range(0, len(stream) + 1, step):
        assert await read(dialect, stream[:cut], stream[cut:]) == (parts, ends), cut
    assert await read(dialect, *(bytes([byte]) for byte in stream)) == (parts, ends)


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_has_its_error_and_keeps_the_text_before_it(
    fault: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    script, expected, text = FAULTS[fault]
    server.script(*script(dialect))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is expected, outcome.error
    # A machine that stands still is a silent server too, perhaps before the text has come, or the question has gone.
    assert outcome.text == text or (expected is TimedOut and text.startswith(outcome.text))
    assert outcome.finish == []
    sentence = outcome.error.sentence
    assert "Acme" in sentence
    assert len(sentence) < 500
    assert not any(secret in sentence for secret in (KEY, "/v1", "/api", "http://", "\n", "<"))
    assert len(server.requests) == 1 or (expected is TimedOut and not server.requests)  # neither a redirect nor a retry


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
async def test_tool_calls_are_kept_as_the_model_wrote_them(
    name: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    written, quoted, within = CALLS[name]
    calls = [dialect.written_call(f"c{number}", *each, number) for number, each in enumerate(written)]
    server.script(
        *begun(dialect, *(Send(chunk(each)) for each in calls), Send(chunk(dialect.finish("tool_calls")) + LAST_CHUNK))
    )
    outcome = await collect(provider.stream(question()))
    expected = quoted if dialect.quotes_arguments else within
    if expected is None:
        assert (type(outcome.error), outcome.text, outcome.finish) == (BadAnswer, "Hello", [])
        return
    assert outcome.error is None
    text, *kept = outcome.parts
    assert text == TextPart("Hello")
    assert [(each.call_id, each.name, each.arguments) for each in kept] == [
        (f"c{number}", tool, arguments)
        for number, ((tool, _), arguments) in enumerate(zip(written, expected, strict=True))
    ]
    assert outcome.finish == [Finish("tool_calls")]


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
async def test_a_tool_takes_so_many_arguments_and_no_more(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    patient = ADAPTERS[dialect.kind](provider.account, provider.client, PATIENT)
    for size in (999_000, 1_000_000, 5_000_000):
        call = dialect.written_call("c1", "look", '{"a":"' + "x" * size + '"}')
        server.script(*begun(dialect, Send(chunk(call)), Send(chunk(dialect.finish("tool_calls"))), Send(LAST_CHUNK)))
        outcome = await collect(patient.stream(question()))
        sizes = [len(part.arguments) for part in outcome.parts if isinstance(part, ToolCallPart)]
        if size < 1_000_000:
            assert (outcome.error, sizes) == (None, [size + 8])
            continue
        assert type(outcome.error) is BadAnswer
        assert "more arguments for a tool than the 1,000,000 bytes" in outcome.error.sentence
        assert all(one <= 1_000_000 for one in sizes)
        assert outcome.finish == []


async def test_after_a_fault_the_next_answer_is_whole(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    for script in (begun(dialect, Reset()), begun(dialect, Stall()), whole(dialect.error_body("boom"), 500)):
        server.script(*script)
        hurried = ADAPTERS[dialect.kind](provider.account, provider.client, QUICK)
        assert (await collect(hurried.stream(question()))).error
        server.unscript()  # a machine that stood still has perhaps not asked for it
        outcome = await collect(provider.stream(question()))
        assert outcome.error is None
        assert outcome.text == "Seven quiet lanterns drift over the harbour. "
        assert [finish.reason for finish in outcome.finish] == ["stop"]


async def test_an_endless_answer_is_cut_at_the_limit(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(dialect.head(), Repeat(chunk(dialect.text("endless "))))
    outcome = await collect(provider.stream(question()))
    assert type(outcome.error) is BadAnswer
    assert len(outcome.text) == 100_000
    assert not outcome.finish


@pytest.mark.parametrize("every", in_tiers(3, 1))
@pytest.mark.parametrize("ending", [Close(), Reset()], ids=["close", "reset"])
async def test_broken_off_after_any_byte_it_is_never_complete(
    every: int, ending: Step, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    body = dialect.text("Hel") + dialect.text("lo é𝄞")
    wire = chunk(body) + chunk(dialect.finish("stop", usage=(1, 2)))
    complete_from = len(wire) - len(dialect.end_marker)
    at_once = asyncio.Semaphore(16)  # a reset waits until its victim has read, so one after the other would take long
    patient = ADAPTERS[dialect.kind](provider.account, provider.client, PATIENT)

    async def broken_off(size: int) -> Outcome:
        server.scripts[f"m{size}"] = (dialect.head(), Send(wire[:size]), ending)
        async with at_once:
            return await collect(patient.stream(question(model=f"m{size}")))

    sizes = range(0, len(wire), every)
    for size, outcome in zip(sizes, await asyncio.gather(*map(broken_off, sizes)), strict=True):
        assert "Hello é𝄞".startswith(outcome.text), size
        if size < len(chunk(body)):
            assert isinstance(outcome.error, StreamCut | Unreachable), size
        assert bool(outcome.finish) == (outcome.error is None), size
        assert not outcome.finish or size >= complete_from - 200, size


AFTER = [
    ("2", 2.0),
    ("3600", 3600.0),
    ("0.5", 0.5),
    ("-1", None),
    ("abc", None),
    ("", None),
    ("nan", None),
    ("1" * 400, None),
    (None, None),
]


@pytest.mark.parametrize(("value", "seconds"), AFTER, ids=[str(value)[:10] for value, _ in AFTER])
async def test_retry_after_is_read_or_ignored(
    value: str | None, seconds: float | None, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    headers = {} if value is None else {"Retry_After": value}
    server.script(*whole(dialect.error_body("slow down"), 429, **headers))
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, RateLimited)
    assert error.is_retryable
    assert error.retry_after_seconds == seconds


async def test_retry_after_may_be_a_date(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.script(*whole(dialect.error_body("slow down"), 503, Retry_After=later))
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, Overloaded)
    assert error.retry_after_seconds is not None
    assert 50 < error.retry_after_seconds <= 60


CONTENT = {
    "invalid UTF-8": (b"a\xffb", "a\ufffdb"),
    "NUL": (b"a\\u0000b", "a\ufffdb"),
    "a lone surrogate": (b"a\\ud800b", "a\ufffdb"),
    "a raw control character": (b"a\x01b", "a\x01b"),
    "combining marks": (("Z" + "\u0351" * 10_000).encode(), "Z" + "\u0351" * 10_000),
    "U+2028": ("a\u2028b".encode(), "a\u2028b"),
    "HTML": (b"<script>alert(1)</script><b hx-get=/x>", "<script>alert(1)</script><b hx-get=/x>"),
    "ANSI": (b"\\u001b[31mred", "\x1b[31mred"),
    "events in text": (
        b"\\n\\ndata: [DONE]\\n\\nevent: error\\ndata: {}",
        "\n\ndata: [DONE]\n\nevent: error\ndata: {}",
    ),
    "an end marker as text": (b"[DONE]", "[DONE]"),
}


@pytest.mark.parametrize("content", CONTENT)
async def test_hostile_content_is_text_and_nothing_else(
    content: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    written, expected = CONTENT[content]
    frame = dialect.text("@@@").replace(b"@@@", written)
    server.script(*dialect.stream(dialect.text("<"), frame, dialect.text(">"), dialect.finish()))
    outcome = await collect(provider.stream(question()))
    assert outcome.error is None
    assert outcome.text == f"<{expected}>"
    assert len(outcome.finish) == 1


async def test_characters_split_across_network_chunks_are_whole(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    body = dialect.text("@@@").replace(b"@@@", "aé€𝄞z".encode()) + dialect.finish()
    server.script(dialect.head(), *dripped(body, 0.0005), Send(LAST_CHUNK))
    outcome = await collect(provider.stream(question()))
    assert (outcome.text, outcome.error) == ("aé€𝄞z", None)


async def test_answers_that_were_complete_stay_complete_whatever_follows(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    finish = dialect.finish("length", usage=(3, 4))
    said = Send(chunk(dialect.text("Hello")) + chunk(finish))  # at once: only what follows is waited for
    hurried = ADAPTERS[dialect.kind](provider.account, provider.client, Limits(60, 0.4))
    for after in ((Reset(),), (Stall(),), (Close(),), (Send(chunk(finish)), Send(LAST_CHUNK)), (Repeat(b"x" * 999),)):
        server.script(dialect.head(), said, Sleep(0.02), *after)
        outcome = await collect(hurried.stream(question()))
        assert (outcome.text, outcome.error) == ("Hello", None)
        assert [finish.reason for finish in outcome.finish] == ["length"]
        assert [(usage.input_tokens, usage.output_tokens) for usage in outcome.usage] == [(3, 4)]
