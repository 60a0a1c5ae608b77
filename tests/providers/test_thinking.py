"""Thoughts and template tokens in the text of an answer, cut anywhere."""

import itertools
import random
import re

import pytest

from app.parts import Finish, ReasoningDelta, ReasoningPart, TextDelta, TextPart, ToolCallPart, fold
from app.providers.errors import StreamCut
from app.providers.thinking import Splitter
from tests.providers.conftest import collect, question, replayed
from tests.scripted import SPOKEN, Dialect

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
    "<thinker>x": [TextPart("<thinker>x")],
    "  x": [TextPart("  x")],
    "   ": [TextPart("   ")],
    " " * 70 + "<think>x": [TextPart(" " * 70 + "<think>x")],
    "<think>": [],
    "<think></think>": [],
    "<think>a</think>": [ReasoningPart("a")],
    "<think>é𝄞</think>ü": [ReasoningPart("é𝄞"), TextPart("ü")],
    "<think></think>\n<think>a</think>b": [ReasoningPart("a"), TextPart("b")],
    "<think>a</think>\n<think>b</think>c": [ReasoningPart("a\n\nb"), TextPart("c")],
    "<THINK>a</Think>b": [ReasoningPart("a"), TextPart("b")],
    "<think>a</think>\n<answer>\nb\n</answer>": [ReasoningPart("a"), TextPart("b\n")],
    "<answer>b</answer>": [TextPart("<answer>b</answer>")],
    # A tag that is only spoken of.
    "`<think>` opens": [TextPart("`<think>` opens")],
    "<think>write `</think>` here</think>b": [ReasoningPart("write `</think>` here"), TextPart("b")],
    '<think>a "</think>" b</think>c': [ReasoningPart('a "</think>" b'), TextPart("c")],
    "The tag </think> closes.": [TextPart("The tag </think> closes.")],
    "It ends with </think>.": [TextPart("It ends with </think>.")],
    "It ends with `</think>`": [TextPart("It ends with `</think>`")],
    "```\n<think>\na\n</think>\n```\nb": [TextPart("```\n<think>\na\n</think>\n```\nb")],
    "```\na\n</think>\n```\nb": [TextPart("```\na\n</think>\n```\nb")],
    # A closing tag alone: the opening one stood in the prompt. What was shown stays, the tag goes.
    "Hm.\n</think>\n\nb": [TextPart("Hm.\n\nb")],
    "Hm.</think>b": [TextPart("Hm.\n\nb")],
    "Hm.\n</think>": [TextPart("Hm.\n")],
    "</think>\n\nb": [TextPart("b")],
    "Hm.\n</think>\nb\n</think>\nc": [TextPart("Hm.\n\nb\n</think>\nc")],
    "Hm.\n</think>\n\nb<|im_end|>": [TextPart("Hm.\n\nb")],
    # gpt-oss
    "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>": [
        ReasoningPart("a"),
        TextPart("b"),
    ],
    "<|channel|>final<|message|>b": [TextPart("b")],
    "<|start|>assistant<|channel|>final<|message|>b<|end|>": [TextPart("b")],
    "<|channel|>analysis<|message|>a": [ReasoningPart("a")],
    "<|channel|>analysis<|message|>a `<|end|>` b<|end|>c": [ReasoningPart("a `<|end|>` b"), TextPart("c")],
    "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>": [ReasoningPart("{}")],
    "<|channel|>analysis<|message|>a<|channel|>final<|message|>b": [ReasoningPart("a"), TextPart("b")],
    "<|channel|>final<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>c": [TextPart("b\n\nc")],
    "<|channel|>final\nb": [TextPart("b")],
    "<|channel|>": [],
    "<|channel|>Tides": [TextPart("Tides")],
    "<|channel|>analysis to=python<|message|>a<|call|>": [ReasoningPart("a")],
    "analysisThe user asks an assistant.assistantfinalParis.": [
        ReasoningPart("The user asks an assistant."),
        TextPart("Paris."),
    ],
    "assistantfinalParis.": [TextPart("Paris.")],
    "analysis of tides": [TextPart("analysis of tides")],
    "analysis": [TextPart("analysis")],
    "an assistant": [TextPart("an assistant")],
    "<|think|>a<|/think|>b": [ReasoningPart("a"), TextPart("b")],
    # Closed with the tag of another kind.
    "<thinking>a</think>b": [ReasoningPart("a"), TextPart("b")],
    "<think>\na\n</thinking>\n\nb": [ReasoningPart("a\n"), TextPart("b")],
    "<thinking>The </think> tag, `</think>` and</thinking>b": [
        ReasoningPart("The </think> tag, `</think>` and"),
        TextPart("b"),
    ],
    "<think>a</reasoning> b</think>c": [ReasoningPart("a</reasoning> b"), TextPart("c")],
    # Template tokens at either end, and in the middle.
    "Paris.<|im_end|>": [TextPart("Paris.")],
    "Paris.<|im_end|>\n<|endoftext|>\n": [TextPart("Paris.")],
    "Paris.\n<|im_end|>\n": [TextPart("Paris.\n")],
    "<|im_start|>assistant\nParis.": [TextPart("Paris.")],
    "<|im_start|>assistants": [TextPart("s")],
    "<|im_start|>ask": [TextPart("ask")],
    "<|start_header_id|>assistant<|end_header_id|>\n\nParis.<|eot_id|>": [TextPart("Paris.")],
    "<start_of_turn>model\nParis.<end_of_turn>\n": [TextPart("Paris.")],
    " [/INST] Paris. </s>": [TextPart("Paris. ")],
    "<s> Paris.</s>": [TextPart("Paris.")],
    "<s>London</s> Paris": [TextPart("<s>London</s> Paris")],
    "Paris, not <s>London</s>": [TextPart("Paris, not <s>London</s>")],
    "Paris.<｜end▁of▁sentence｜>": [TextPart("Paris.")],
    "<|channel>thought\nHm.<channel|>Paris.<turn|>": [ReasoningPart("Hm."), TextPart("Paris.")],
    "<think>Hm.<|im_end|>": [ReasoningPart("Hm.")],
    "<think>Hm.</think><|im_start|>assistant\nParis.<|im_end|>": [ReasoningPart("Hm."), TextPart("Paris.")],
    "<|im_end|>": [],
    "The token <|im_end|> ends a turn.": [TextPart("The token <|im_end|> ends a turn.")],
    "<|a|> b <|c|><|d|> e": [TextPart("b <|c|><|d|> e")],
    "It is `<|im_end|>`": [TextPart("It is `<|im_end|>`")],
    "```\n<|im_start|>user\nHi<|im_end|>\n```": [TextPart("```\n<|im_start|>user\nHi<|im_end|>\n```")],
    "```\nHi<|im_end|>": [TextPart("```\nHi<|im_end|>")],
    "```\nHi\n```<|im_end|>": [TextPart("```\nHi\n```")],
    "```\nHi\n```\n<|im_end|>": [TextPart("```\nHi\n```\n")],
    "~~~\n[/INST]\n~~~": [TextPart("~~~\n[/INST]\n~~~")],
    "<|header_start|>assistant<|header_end|>\n\nParis.<|eot|>": [TextPart("Paris.")],
    "[|assistant|]Paris.[|endofturn|]": [TextPart("Paris.")],
    "[gMASK]<sop><|assistant|>\nParis.<|user|>": [TextPart("Paris.")],
    # The model was not stopped and goes on with the person's next turn.
    "Paris.<|im_end|>\n<|im_start|>user\nAnd Rome?<|im_end|>\n<|im_start|>assistant\nYes.": [TextPart("Paris.")],
    "Paris.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd Rome?": [TextPart("Paris.")],
    "Paris.<end_of_turn>\n<start_of_turn>user\nAnd Rome?": [TextPart("Paris.")],
    "Paris.</s><s>[INST] And Rome? [/INST]": [TextPart("Paris.")],
    "Paris. </s> [INST] And Rome? [/INST]": [TextPart("Paris. ")],
    "Paris.<|end|>\n<|user|>\nAnd Rome?": [TextPart("Paris.")],
    "Paris.<｜end▁of▁sentence｜><｜User｜>And Rome?": [TextPart("Paris.")],
    "<think>a</think>Paris.<|im_end|>\n<|im_start|>user\nAnd Rome?": [ReasoningPart("a"), TextPart("Paris.")],
    "So: <|im_start|>user\nHi<|im_end|>\n<|im_start|>user\nHo": [
        TextPart("So: <|im_start|>user\nHi<|im_end|>\n<|im_start|>user\nHo"),
    ],
    "`<|im_end|><|im_start|>user` and so": [TextPart("`<|im_end|><|im_start|>user` and so")],
    "Paris.<|im_e": [TextPart("Paris.<|im_e")],
    "a < b <| c |> d [e](f) [": [TextPart("a < b <| c |> d [e](f) [")],
    "if a<b and c>d: x[INDEX]": [TextPart("if a<b and c>d: x[INDEX]")],
}


def split(*pieces: str) -> list[object]:
    splitter = Splitter()
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
    splitter = Splitter()
    assert splitter.feed("<th") == []
    assert [delta.text for delta in splitter.feed("e")] == ["<the"]
    assert [delta.text for delta in splitter.feed("<think>")] == ["<think>"]


@pytest.mark.parametrize("text", CASES)
def test_nothing_that_was_told_is_taken_back(text: str) -> None:
    """What is told of a beginning is the beginning of what is told of the whole."""
    whole = [part.text for part in CASES[text] if isinstance(part, TextPart | ReasoningPart)]
    splitter, told = Splitter(), ""
    for character in text:
        told += "".join(delta.text for delta in splitter.feed(character))
        assert "".join(whole).startswith(told)
        assert len(splitter._held) <= 64 + len("<|start_header_id|>assistant")


THOUGHTS = {
    "Hm.": "Hm.",
    "<think>Hm.</think>": "Hm.",
    "<think>\nHm.\n": "Hm.\n",
    "Hm.\n</think>\n": "Hm.\n",
    "Hm.<|end|>": "Hm.",
    "<|channel|>analysis<|message|>Hm.<|end|>": "Hm.",
    "a < b, `</think>` and <|im_end|> so": "a < b, `</think>` and <|im_end|> so",
    "Hm <": "Hm <",
}


@pytest.mark.parametrize("thought", THOUGHTS)
def test_marks_within_what_a_server_calls_thoughts_are_dropped_too(thought: str) -> None:
    for cut in range(len(thought) + 1):
        splitter = Splitter()
        events = [
            *(ReasoningDelta(piece) for piece in (thought[:cut], thought[cut:]) if piece),
            *(TextDelta("Paris"), TextDelta("."), Finish("stop")),
        ]
        told = [each for event in events for each in splitter.pass_on(event)]
        assert told[-1] == Finish("stop")
        assert fold(each for each in told[:-1] if isinstance(each, TextDelta | ReasoningDelta)) == (
            ReasoningPart(THOUGHTS[thought]),
            TextPart("Paris."),
        )


def test_signatures_pass_unchanged_behind_what_was_held_back() -> None:
    splitter = Splitter()
    told = [*splitter.pass_on(ReasoningDelta("Hm <")), *splitter.pass_on(ReasoningDelta("", "signed"))]
    assert fold(told) == (ReasoningPart("Hm <", signature="signed"),)  # type: ignore[arg-type]
    assert splitter.pass_on(TextDelta("a <", "signed")) == [TextDelta("a "), TextDelta("", "signed")]
    assert splitter.end() == [TextDelta("<")]


PIECES = (
    *("<think>", "</think>", "<answer>", "</answer>", "[THINK]", "[/THINK]", "<|channel|>", "analysis", "final"),
    *(
        "<|message|>",
        "<|end|>",
        "<|start|>",
        "assistant",
        "<|return|>",
        "<|im_end|>",
        "<|im_start|>",
        "</s>",
        "<s>",
        "[/INST]",
    ),
    *(
        "<channel|>",
        "<|channel>thought",
        "<",
        "|",
        ">",
        "[",
        "`",
        "```\n",
        "\n",
        "\n\n",
        " ",
        ".",
        '"',
        "a",
        "é",
        "word",
    ),
)


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_of_marks_is_read_the_same_however_it_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        text = "".join(rng.choices(PIECES, k=rng.randint(1, 12)))
        whole = split(text)
        assert split(*text) == whole, text
        cuts = sorted(rng.choices(range(len(text) + 1), k=3))
        pieces = [text[start:end] for start, end in itertools.pairwise((0, *cuts, len(text)))]
        assert split(*pieces) == whole, (text, pieces)
        kept = "".join(part.text for part in whole)  # type: ignore[attr-defined]
        words = re.sub(r"<\|[\w.]{1,40}\|>|</?answer>", "", text)
        assert {char for char in words if char in "éw"} <= set(kept), text


def test_a_run_of_tokens_without_end_is_held_back_and_dropped() -> None:
    splitter = Splitter()
    assert splitter.feed("Paris.") == [TextDelta("Paris.")]
    for _ in range(1000):
        assert splitter.feed("<|endoftext|>") == []
    assert splitter.end() == []


def test_an_answer_that_goes_on_within_code_begins_with_code() -> None:
    splitter = Splitter("So:\n```\n")
    assert fold([*splitter.feed("<|im_start|>user\n```\n<|im_end|>"), *splitter.end()]) == (
        TextPart("<|im_start|>user\n```\n"),
    )


@pytest.mark.parametrize("dialect", SPOKEN, ids=[dialect.kind for dialect in SPOKEN])
@pytest.mark.parametrize(
    "words",
    [
        ("<think>", "Hm, é", "𝄞 </th", "ink>", "\n\nBecause ", "of\u2028the ", "wïnd 𝄞.", "<|im_", "end|>"),
        ("<|channel|>analysis<|mess", "age|>Hm, é𝄞 <|end|>", "<|start|>assistant<|channel|>final", "<|message|>Because "
         "of\u2028the wïnd 𝄞.<|return|>"),
        ("[THINK]Hm, é𝄞 [/THINK]Because of\u2028the wïnd 𝄞.</s>",),
    ],
    ids=["tags", "channels", "brackets"],
)  # fmt: skip
async def test_marks_are_understood_in_every_dialect(words: tuple[str, ...], dialect: Dialect) -> None:
    stream = b"".join(dialect.frames(words))
    for size in (1, 7, 100, len(stream)):
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        outcome = await collect(replayed(dialect, *pieces).stream(question()))
        assert outcome.error is None
        assert outcome.parts == (ReasoningPart("Hm, é𝄞 "), TextPart("Because of\u2028the wïnd 𝄞."))
        assert isinstance(outcome.events[-1], Finish)


@pytest.mark.parametrize("dialect", SPOKEN, ids=[dialect.kind for dialect in SPOKEN])
async def test_what_was_held_back_is_told_when_the_line_breaks(dialect: Dialect) -> None:
    stream = b"".join(dialect.frames(("One <|im_", "end"))[:-1])
    outcome = await collect(replayed(dialect, stream).stream(question()))
    assert outcome.text == "One <|im_end"
    assert isinstance(outcome.error, StreamCut)


@pytest.mark.parametrize("dialect", SPOKEN, ids=[dialect.kind for dialect in SPOKEN])
async def test_what_was_held_back_stands_before_a_call(dialect: Dialect) -> None:
    stream = b"".join(dialect.frames(("One <",), tool_calls=[dialect.tool_call("c1", "look", {})], reason="tool_calls"))
    outcome = await collect(replayed(dialect, stream).stream(question()))
    assert outcome.parts[0] == TextPart("One <")
    assert isinstance(outcome.parts[1], ToolCallPart)
