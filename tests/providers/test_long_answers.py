"""What reads the answers of servers, on deadly texts cut in every way: it counts seconds, so it belongs to `make soak`."""

import time
from collections.abc import Callable

import pytest

from app.chat.title import first_words
from app.chat.title_rules import believed_title
from app.logs import clean_text
from app.parts import ReasoningDelta, TextDelta, ToolCallDelta, fold
from app.providers import failures, reasons
from app.providers.base import Account
from app.providers.code_spans import CodeSpans
from app.providers.frames import BodyDecoder, FrameTooLarge, NdjsonDecoder, SseDecoder, WebPage
from app.providers.seam import space_between
from app.providers.thinking import Splitter
from tests.corpora.poison import TEXTS

pytestmark = pytest.mark.soak

SIZES = (4_000, 16_000, 64_000)
LEAST_SECONDS = 0.05
WHOLE = 10**9
ACCOUNT = Account("Harbour", "http://harbour.example/v1", "k" * 20)

Reading = Callable[[str], object]


def decoding(decoder: type[SseDecoder | NdjsonDecoder | BodyDecoder], size: int, before: str = "") -> Reading:
    def read(text: str) -> None:
        made, body = decoder(), (before + text).encode("utf-8", "replace")
        try:
            for start in range(0, len(body), size):
                made.feed(body[start : start + size])
            made.end()
        except (FrameTooLarge, WebPage):
            pass

    return read


def splitting(size: int, before: str = "", kind: type[TextDelta | ReasoningDelta] = TextDelta) -> Reading:
    def read(text: str) -> None:
        splitter, text = Splitter(), before + text
        for start in range(0, len(text), size):
            splitter.pass_on(kind(text[start : start + size]))
        splitter.end()

    return read


def spanning(size: int) -> Reading:
    def read(text: str) -> None:
        spans = CodeSpans()
        for start in range(0, len(text), size):
            spans.add(text[start : start + size])
            spans.is_open()

    return read


READINGS: dict[str, Reading] = {
    **{
        f"{decoder.__name__}, {size} bytes a chunk": decoding(decoder, size)
        for decoder in (SseDecoder, NdjsonDecoder, BodyDecoder)
        for size in (1, WHOLE)
    },
    "a line of data, byte by byte": decoding(SseDecoder, 1, "data: "),
    **{f"text, {size} characters a delta": splitting(size) for size in (1, 7, WHOLE)},
    **{f"thoughts, {size} characters a delta": splitting(size, kind=ReasoningDelta) for size in (1, WHOLE)},
    "a thought in tags": splitting(1, "<think>"),
    "behind a thought": splitting(1, "<think>a</think>b"),
    "a channel": splitting(3, "<|channel|>analysis<|message|>"),
    "a channel without tokens": splitting(1, "analysisThe "),
    **{f"code spans, {size} characters a piece": spanning(size) for size in (1, WHOLE)},
    "folded text": lambda text: fold(map(TextDelta, text)),
    "folded arguments": lambda text: fold(ToolCallDelta(0, arguments=each) for each in text),
    "a refusal": lambda text: failures.refusal(ACCOUNT, 400, text.encode("utf-8", "replace")),
    "an error": lambda text: failures.event(ACCOUNT, {"error": {"message": text, "code": text}}),
    "a keep-alive": reasons.is_keep_alive,
    "a continuation": lambda text: space_between(text, text),
    "the first words": first_words,
    "a title": lambda text: believed_title(text, text, must_share_a_word=True),
    "a line of the log": clean_text,
}


@pytest.mark.parametrize("reading", READINGS)
def test_reading_takes_time_in_proportion_to_the_text(reading: str) -> None:
    for name, make in TEXTS.items():
        before = LEAST_SECONDS
        for size in SIZES:
            text = make(size)
            seconds = seconds_of(READINGS[reading], text)
            for _ in range(4):  # once more: the collector may have run, and others on this processor
                if seconds < 12 * before:
                    break
                seconds = min(seconds, seconds_of(READINGS[reading], text))
            assert seconds < 12 * before, f"{name}, {size} characters: {seconds:.3f} s after {before:.3f} s"
            before = max(seconds, LEAST_SECONDS)


def seconds_of(reading: Reading, text: str) -> float:
    started = time.process_time()
    reading(text)
    return time.process_time() - started
