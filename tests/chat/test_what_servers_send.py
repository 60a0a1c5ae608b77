"""Law 4 from end to end: whatever a server sends, an answer that was cut or failed is stored as that, with its text."""

import json
from collections.abc import Callable

import pytest

from app.chat.worker import Worker
from app.settings import read
from tests.chat.conftest import Chat, working
from tests.providers.test_ends import in_every_frame
from tests.scripted import LAST_CHUNK, OPENAI, Close, Dialect, Reset, Script, Send, Sleep, Stall, chunk, whole

SAID = "The lantern went out"
HURRIED = read({"PARLEY_DRAIN_SECONDS": "0", "PARLEY_IDLE_TIMEOUT_SECONDS": "1"})
PATIENT = read({"PARLEY_DRAIN_SECONDS": "0"})


def sent(dialect: Dialect, *frames: bytes) -> Script:
    return (dialect.head(), *(Send(chunk(frame)) for frame in frames), Sleep(0.1))


def error(dialect: Dialect) -> bytes:
    return dialect.data(json.dumps({"object": "error", "code": 500, "message": SAID}))


#: What is stored of such an answer: its status and the code of its error. All have said "Hel" or more before.
BROKEN: dict[str, tuple[Callable[[Dialect], Script], str, str]] = {
    "a reason in every frame, then a close": (
        lambda d: (*sent(d, *in_every_frame(d)[:2]), Close()),
        "interrupted",
        "interrupted",
    ),
    "a reason in the only frame, then a reset": (
        lambda d: (*sent(d, *in_every_frame(d)[:1]), Reset()),
        "interrupted",
        "interrupted",
    ),
    "a reason in every frame, then silence": (
        lambda d: (*sent(d, *in_every_frame(d)[:3]), Stall()),
        "failed",
        "timed_out",
    ),
    "text after an end, then a close": (
        lambda d: (*sent(d, d.text("Hel"), d.finish().removesuffix(d.end_marker), d.text("lo")), Close()),
        "interrupted",
        "interrupted",
    ),
    "an error in another dress and a proper end": (
        lambda d: (*sent(d, d.text("Hello"), error(d), d.finish()), Send(LAST_CHUNK)),
        "failed",
        "overloaded",
    ),
    "a frame that nobody knows, and done": (
        lambda d: (*sent(d, d.text("Hello"), d.data('{"lantern": "is out"}'), d.data("[DONE]")), Send(LAST_CHUNK)),
        "failed",
        "bad_answer",
    ),
    "garbage and a proper end": (
        lambda d: (*sent(d, d.text("Hello"), d.data("{lantern"), d.finish()), Send(LAST_CHUNK)),
        "failed",
        "bad_answer",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_answer_is_never_complete(broken: str, dialect: Dialect, chat: Chat, database: str) -> None:
    script, status, code = BROKEN[broken]
    chat.server.script(*script(dialect))
    async with working(database, HURRIED if code == "timed_out" else PATIENT):
        answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"]) == (status, code)
    assert str(answer["content"]).startswith("Hel")
    assert len(chat.server.questions) == 1
    assert (SAID in str(answer["error_sentence"])) == ("another dress" in broken)
    assert answer["finish_reason"] == status


async def test_a_reason_in_every_frame_and_a_proper_end_are_complete(
    dialect: Dialect, chat: Chat, worker: Worker
) -> None:
    pieces = [step for frame in in_every_frame(dialect) for step in (Send(chunk(frame)), Sleep(0.05))]
    chat.server.script(dialect.head(), *pieces, Send(chunk(dialect.finish(usage=(3, 9)))), Send(LAST_CHUNK))
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["finish_reason"], answer["content"]) == ("complete", "stop", "Hello é𝄞 all.")
    assert (answer["input_tokens"], answer["output_tokens"]) == (3, 9)


async def test_a_whole_answer_is_an_answer(dialect: Dialect, chat: Chat, worker: Worker) -> None:
    chat.server.script(*whole(json.dumps(dialect.whole("Seven.", usage=(3, 9)), indent=1).encode()))
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["finish_reason"], answer["content"]) == ("complete", "stop", "Seven.")
    assert (answer["input_tokens"], answer["output_tokens"]) == (3, 9)


#: An answer that ends before its first word, as if all were well.
NOTHING: dict[str, Callable[[Dialect], Script]] = {
    "a head": lambda d: (Send(d.head().content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"), Send(LAST_CHUNK)),
    "a length of none": lambda d: whole(b"", 200, d.content_type),
    "the beginning": lambda d: d.stream(),
    "empty deltas": lambda d: d.stream(d.text(""), d.text("")),
    "pings": lambda d: d.stream(d.ping(), d.data("null"), d.data("")),
    "a close": lambda d: (d.head(), Close()),
}


@pytest.mark.parametrize("nothing", NOTHING)
async def test_one_that_ends_before_a_word_is_asked_again(
    nothing: str, dialect: Dialect, chat: Chat, worker: Worker
) -> None:
    chat.server.script(*NOTHING[nothing](dialect))
    chat.server.script(*dialect.answer(["One ", "two"]))
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["content"], len(chat.server.questions)) == ("complete", "One two", 2)


async def test_one_that_always_does_fails_after_three_calls(chat: Chat, worker: Worker) -> None:
    chat.server.scripts["scripted"] = OPENAI.stream()
    answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"], len(chat.server.questions)) == ("failed", "unreachable", 3)


async def test_a_refused_field_is_left_out(chat: Chat, worker: Worker) -> None:
    entry = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
    chat.server.script(*whole(json.dumps({"detail": [entry]}).encode(), 422))
    answer = await chat.final((await chat.ask()).answer)
    assert answer["status"] == "complete"
    assert ["stream_options" in asked.json for asked in chat.server.questions] == [True, False]
