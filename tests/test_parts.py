"""Parts, deltas, and how the latter fold into the former."""

import pytest

from app.parts import (
    Delta,
    Part,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    clean,
    decode_parts,
    encode_parts,
    fold,
    join,
    text_of,
    to_deltas,
)

DELTAS: list[Delta] = [
    ReasoningDelta("Let me "),
    ReasoningDelta("think.", "signed"),
    TextDelta("It is "),
    TextDelta("far."),
    ToolCallDelta(0, "call-1", "measure", '{"from":'),
    ToolCallDelta(0, arguments=' "here"}'),
    ToolCallDelta(1, "call-2", "measure", "{}"),
    TextDelta("Done."),
]
PARTS: tuple[Part, ...] = (
    ReasoningPart("Let me think.", signature="signed"),
    TextPart("It is far."),
    ToolCallPart("call-1", "measure", '{"from": "here"}'),
    ToolCallPart("call-2", "measure", "{}"),
    TextPart("Done."),
)


def test_deltas_fold_into_parts_in_order() -> None:
    assert fold(DELTAS) == PARTS
    assert fold([]) == ()


def test_parts_become_deltas_that_fold_into_them_again() -> None:
    assert fold(to_deltas(PARTS)) == PARTS


def test_parts_are_stored_and_read_back_unchanged() -> None:
    assert decode_parts(encode_parts(PARTS)) == PARTS


def test_a_continued_text_goes_on_in_its_part() -> None:
    assert join((TextPart("One "),), (TextPart("two."),)) == (TextPart("One two."),)
    assert join((), PARTS) == PARTS
    assert join(PARTS, ()) == PARTS
    assert join((TextPart("One"),), PARTS) == (TextPart("One"), *PARTS)


def test_content_is_the_text_alone() -> None:
    assert text_of(PARTS) == "It is far.\n\nDone."


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("plain", "plain"),
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("\udfff tail", "\ufffd tail"),
        ("\ud83d\ude00", "\U0001f600"),
        ("e" + "\u0301" * 10_000, "e" + "\u0301" * 10_000),
        ("line\u2028separator", "line\u2028separator"),
    ],
)
def test_text_is_made_fit_to_store(said: str, stored: str) -> None:
    assert clean(said) == stored
    assert clean(said).encode()
