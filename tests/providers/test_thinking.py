"""`<think>` at the beginning of the text, cut anywhere."""

import itertools

import pytest

from app.parts import ReasoningPart, TextPart, fold
from app.providers.thinking import ThinkSplitter
from tests.providers.conftest import collect, question, replayed
from tests.scripted import OLLAMA, OPENAI, Dialect

CASES = {
    "Hello": [TextPart("Hello")],
    "": [],
    "<think>why</think>because": [ReasoningPart("why"), TextPart("because")],
    "\n <think>\nwhy\n</think>\n\nbecause\n": [ReasoningPart("why\n"), TextPart("because\n")],
    "<think>\n\n</think>\n\nbecause": [TextPart("because")],
    "<think>why": [ReasoningPart("why")],
    "<think>why</thi": [ReasoningPart("why</thi")],
    "<think>a<b</th>c</</think>d": [ReasoningPart("a<b</th>c</"), TextPart("d")],
    "<think>a</think>b<think>c</think>d": [ReasoningPart("a"), TextPart("b<think>c</think>d")],
    "Say <think>x</think>": [TextPart("Say <think>x</think>")],
    "<thin": [TextPart("<thin")],
    "<thinking>x": [TextPart("<thinking>x")],
    "  x": [TextPart("  x")],
    "   ": [TextPart("   ")],
    " " * 70 + "<think>x": [TextPart(" " * 70 + "<think>x")],
    "<think>": [],
    "<think></think>": [],
    "<think>a</think>": [ReasoningPart("a")],
    "<think>é𝄞</think>ü": [ReasoningPart("é𝄞"), TextPart("ü")],
}


def split(*pieces: str) -> list[object]:
    splitter = ThinkSplitter()
    deltas = [delta for piece in pieces for delta in splitter.feed(piece)]
    assert all(delta.text for delta in deltas)
    return list(fold([*deltas, *splitter.end()]))


@pytest.mark.parametrize("text", CASES)
def test_reasoning_is_told_from_text_wherever_it_is_cut(text: str) -> None:
    assert split(text) == CASES[text]
    assert split(*text) == CASES[text]
    for first, second in itertools.combinations_with_replacement(range(len(text) + 1), 2):
        assert split(text[:first], text[first:second], text[second:]) == CASES[text], (first, second)


def test_text_is_not_held_back_once_it_cannot_be_a_tag() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("<th") == []
    assert [delta.text for delta in splitter.feed("e")] == ["<the"]
    assert [delta.text for delta in splitter.feed("<think>")] == ["<think>"]


@pytest.mark.parametrize("dialect", [OPENAI, OLLAMA], ids=["openai", "ollama"])
async def test_models_that_think_aloud_are_heard_through_both_dialects(dialect: Dialect) -> None:
    words = ("<think>", "Hm, é", "𝄞 </th", "ink>", "\n\nBecause ", "of\u2028the ", "wïnd 𝄞.")
    stream = b"".join(dialect.frames(words))
    for size in (1, 7, 100, len(stream)):
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        outcome = await collect(replayed(dialect, *pieces).stream(question()))
        assert outcome.parts == (ReasoningPart("Hm, é𝄞 "), TextPart("Because of\u2028the wïnd 𝄞."))
