"""What a running answer costs: bytes on the wire, time per token and time for a page that comes late."""

import time

import pytest

from app.html.cuts import MAX_OPEN_CHARS
from app.html.stream import AnswerView, frame
from app.parts import TextDelta


def test_a_token_of_prose_costs_few_bytes() -> None:
    words = (
        "The quick brown fox doesn't jump over the lazy dog (today), so **all** of it is `fine`. " * 4 + "\n\n"
    ) * 5
    tokens = [" " + word for word in words.replace("\n\n", "\n\n ").split(" ")]
    view = AnswerView("k3jf92ab")
    sent = [frame(view.feed([TextDelta(token)], seq)) for seq, token in enumerate(tokens, 1)]
    framing = len("id: k3jf92ab.1234\ndata: \n\n")
    assert sum(len(text) + framing for text in sent if text) / len(tokens) <= 120


def test_the_cost_of_a_token_does_not_grow_with_the_code_block() -> None:
    """100 kB, 5 characters at a time: 20,000 steps. Drawing the block anew each time would take minutes."""
    text = "```python\n" + "    x = call(a, b)  # words & <more>\n" * 2_800
    view = AnswerView("x")
    started = time.thread_time()
    for seq, start in enumerate(range(0, len(text), 5), 1):
        frame(view.feed([TextDelta(text[start : start + 5])], seq))
    assert time.thread_time() - started < 2
    assert view.html().count("\n") == 2_800


HOSTILE = {
    "lines": "a\n" * 50_000,
    "bullets": "-\n" * 50_000,
    "parentheses": "(\n" * 50_000,
    "quotes": "> " * 50_000,
    "fences": "- a\n  ```\n  ```\n" * 7_000,
    "comment": "<!--\n" + "```\n" * 25_000,
    "empty": "\n" * 100_000,
    "displays": "\n\\[" * 33_000,
    "definitions": "[a]: b\n\n" * 12_000,
    "dashes": "-" * 30_000 + "x|",
    "marks of lists": "+ - * " * 2_600 + "a\n" + "a\n" * 3_000,
    "marks of lists and quotes": "- " + "> + " * 3_800 + "a\n" + "  a\n" * 9_000,
    "formulas in code in a list": "- ```\n" + "  \\[x\\] $$y$$ \\(z\\)\n" * 5_000,
    "blank lines in code in a list": "- ```\n" + "  \n" * 24_000,
    "wide table": "a|" * 800 + "\n" + "-|" * 800 + "\n" + "a\n" * 40_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_costs_a_fresh_page_little(text: str) -> None:
    started = time.thread_time()
    AnswerView("x").feed([TextDelta(text)], 1)
    assert time.thread_time() - started < 3


@pytest.mark.parametrize("row", ["|", "\\|", "`|"])
def test_a_row_that_is_too_long_is_cut_a_few_times_only(row: str) -> None:
    """It was cut off behind its table's head, with every character anew."""
    view = AnswerView("x")
    view.feed([TextDelta("|a|\n|-|\n" + row * 100_000)], 1)
    assert view.html().count("<table>") <= 2
    assert view.html().count("<p ") < 2 * 100_000 * len(row) / MAX_OPEN_CHARS
