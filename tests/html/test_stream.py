"""A running answer: whoever watched from the start and whoever comes now see the same."""

import random

import pytest

from app.html.markdown import render_marked
from app.html.stream import MOST_DRAWN, MOST_NAME, AnswerView, Op, frame, render_parts
from app.parts import (
    Delta,
    ErrorPart,
    FilePart,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from tests.corpora.markdown import DOCUMENTS
from tests.corpora.models import MARKS
from tests.corpora.unicode import TEXTS
from tests.corpora.xss import PAYLOADS
from tests.html.page import Page, parse, with_formulas
from tests.tiers import thinned


def watch(deltas: list[Delta], sizes: list[int]) -> None:
    """Feeds the deltas in batches of these sizes; after each, a page that watches and a fresh one must be equal."""
    view = AnswerView("x")
    page = Page(with_formulas(view.html()))
    fed = 0
    for size in sizes:
        batch = deltas[fed : fed + size]
        fed += len(batch)
        page.apply([op._replace(html=with_formulas(op.html)) for op in view.feed(batch, fed)], fed)
        assert view.html() == drawn(deltas[:fed], fed) == drawn(joined(deltas[:fed]), fed)
        assert page.html() == parse(with_formulas(view.html())).inner()
    assert fed == len(deltas)


def drawn(deltas: list[Delta], seq: int) -> str:
    fresh = AnswerView("x")
    fresh.feed(deltas, seq)
    return fresh.html()


def joined(deltas: list[Delta]) -> list[Delta]:
    """The same text in one piece, where it is nothing but text."""
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    return [TextDelta("".join(texts))] if len(texts) == len(deltas) else deltas


def cut(text: str, chance: random.Random) -> list[Delta]:
    """Random pieces, short ones most often."""
    pieces: list[Delta] = []
    while text:
        size = min(int(chance.expovariate(1 / 5)) + 1, len(text))
        pieces.append(TextDelta(text[:size]))
        text = text[size:]
    return pieces


def batches(total: int, chance: random.Random) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(min(chance.choice([1, 1, 1, 2, 5, 40]), total - sum(sizes)))
    return sizes


@pytest.mark.parametrize("name", thinned(DOCUMENTS, keep=6))
def test_a_page_that_watched_every_character_equals_a_fresh_one(name: str) -> None:
    deltas: list[Delta] = [TextDelta(character) for character in DOCUMENTS[name]]
    watch(deltas, [1] * len(deltas))


@pytest.mark.parametrize("name", TEXTS)
def test_no_character_makes_pages_differ(name: str) -> None:
    deltas: list[Delta] = [TextDelta(character) for character in TEXTS[name][:200]]
    watch(deltas, [1] * len(deltas))


@pytest.mark.parametrize("seed", thinned(range(40), keep=8))
def test_batches_make_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    text = chance.choice(["\n", "\n\n", ""]).join(chance.sample([*DOCUMENTS.values(), *PAYLOADS], 10))
    deltas = cut(text, chance)
    watch(deltas, batches(len(deltas), chance))


@pytest.mark.parametrize("seed", thinned(range(40), keep=8))
def test_no_arrangement_of_marks_makes_pages_differ(seed: int) -> None:
    chance = random.Random(seed)
    deltas: list[Delta] = [TextDelta(chance.choice(MARKS)) for _ in range(250)]
    watch(deltas, batches(len(deltas), chance))


@pytest.mark.parametrize("seed", thinned(range(20), keep=5))
def test_parts_may_follow_each_other_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    deltas: list[Delta] = []
    for _ in range(chance.randint(3, 9)):
        words = chance.choice([*DOCUMENTS.values(), "", "\n"])[:300]
        kind = chance.choice(["text", "reasoning", "call"])
        if kind == "call":
            index = chance.randint(0, 2)
            deltas.append(ToolCallDelta(index, call_id="c", name="search"))
            deltas += [ToolCallDelta(index, arguments=piece) for piece in ('{"q":', ' "<b>&', '\n"}')]
        else:
            pieces = cut(words, chance)
            deltas += pieces if kind == "text" else [ReasoningDelta(p.text) for p in pieces if isinstance(p, TextDelta)]
    watch(deltas, batches(len(deltas), chance))


def test_a_block_longer_than_the_limit_is_cut_at_the_same_place_for_all() -> None:
    for text in ("word " * 8_000, "- item of a list\n" * 2_000, "x" * 40_000, "a\u0301|" * 12_000):
        deltas: list[Delta] = [TextDelta(text[i : i + 777]) for i in range(0, len(text), 777)]
        watch(deltas, [1] * len(deltas))


def test_a_word_is_appended_to_the_paragraph() -> None:
    view = AnswerView("k3jf92ab")
    view.feed([TextDelta("Hello")], 1)
    assert view.feed([TextDelta(" world")], 2) == [Op("#t-k3jf92ab p", "beforeend", " world")]
    assert view.feed([TextDelta(" ")], 3) == []
    assert view.feed([TextDelta("& more")], 4) == [Op("#t-k3jf92ab p", "beforeend", " &amp; more")]


def test_only_what_changes_is_sent() -> None:
    view = AnswerView("x")
    view.feed([TextDelta("- one\n- two **bold")], 1)
    (op,) = view.feed([TextDelta("**")], 2)
    assert op == Op("#t-x>:last-child>:last-child", "innerHTML", "two <strong>bold</strong>")
    (op,) = view.feed([TextDelta("\n- three")], 3)
    assert op == Op("#t-x>:last-child", "beforeend", '<li dir="auto">three</li>')


def test_a_finished_block_is_sent_once() -> None:
    view = AnswerView("x")
    view.feed([TextDelta("One.")], 1)
    assert view.feed([TextDelta("\n\n")], 2) == []
    assert view.feed([TextDelta("Two")], 3) == [
        Op("#t-x", "beforebegin", '<p dir="auto">One.</p>'),
        Op("#t-x p", "innerHTML", "Two"),
    ]
    assert "One" not in frame(view.feed([TextDelta(" and three.\n\nFour")], 4))


@pytest.mark.parametrize("text", ["1. a\n\n2. b\n\n   c\n\n10. d", "- a\n\n- b\n\n  - c"])
def test_a_list_goes_on_behind_a_blank_line(text: str) -> None:
    view = AnswerView("x")
    for seq, character in enumerate(text, 1):
        assert "beforebegin" not in [op.swap for op in view.feed([TextDelta(character)], seq)]


def test_a_character_at_the_margin_ends_a_list() -> None:
    view = AnswerView("x")
    view.feed([TextDelta("- a\n- b\n\n")], 1)
    assert Op("#t-x", "beforebegin", '<ul><li dir="auto">a</li><li dir="auto">b</li></ul>') in view.feed(
        [TextDelta("T")], 2
    )


def test_an_open_code_block_is_appended_to() -> None:
    view = AnswerView("x")
    view.feed([TextDelta("```py\nx = 1\n")], 1)
    assert view.feed([TextDelta("y < 2\n``")], 2) == [Op("#t-x code", "beforeend", "y &lt; 2\n")]
    assert view.feed([TextDelta("`")], 3) == []
    (before, rest) = view.feed([TextDelta("\n")], 4)
    assert before.html == render_marked("```py\nx = 1\ny < 2\n```")
    assert rest == Op("#t-x", "innerHTML", "")


def test_a_finished_answer_looks_like_its_stream() -> None:
    """Where nothing resolves late, the last frame and the final message are the same blocks."""
    for name in ("letter", "code", "tables", "formulas"):
        text = DOCUMENTS[name].replace("[^1]", "").replace("[ref]", "")
        view = AnswerView("x")
        view.feed([TextDelta(text), ReasoningDelta("end")], 1)
        blocks = view.html().removeprefix('<div class="body" id="b-x">').partition('<details class="reasoning">')[0]
        assert blocks == render_marked(text, prefix="x-1-")


def test_reasoning_is_a_closed_disclosure_with_the_tail_in_it() -> None:
    view = AnswerView("x")
    view.feed([ReasoningDelta("Hm.\n\nWell")], 5)
    assert view.html() == (
        '<div class="body" id="b-x"><details class="reasoning"><summary>Thinking</summary><div class="thoughts">'
        '<p dir="auto">Hm.</p><div class="tail" id="t-x" data-seq="5"><p dir="auto">Well</p></div></div></details></div>'
    )
    ops = view.feed([TextDelta("Yes")], 6)
    assert ops == [
        Op("#t-x", "beforebegin", '<p dir="auto">Well</p>'),
        Op("#t-x", "delete", ""),
        Op("#b-x", "beforeend", '<div class="tail" id="t-x" data-seq="6"><p dir="auto">Yes</p></div>'),
    ]
    assert view.html() == (
        '<div class="body" id="b-x"><details class="reasoning"><summary>Thinking</summary><div class="thoughts">'
        '<p dir="auto">Hm.</p><p dir="auto">Well</p></div></details>'
        '<div class="tail" id="t-x" data-seq="6"><p dir="auto">Yes</p></div></div>'
    )


def test_of_a_long_tool_call_only_the_beginning_is_drawn() -> None:
    written = '{"a":"' + "<" * 5_000
    whole = render_parts([ToolCallPart("c", "n" * 999, written)], dom="x")
    assert len(whole) < 2_500 + 3 * 2_000
    assert f'<span class="name">{"n" * MOST_NAME}…</span>' in whole
    assert whole.endswith("&lt;…</code></div>")
    for size in (1, 7, 1_000, MOST_DRAWN, 5_006):
        view = AnswerView("x")
        view.feed([ToolCallDelta(0, "c", "n" * 999)], 1)
        for start in range(0, len(written), size):
            view.feed([ToolCallDelta(0, arguments=written[start : start + size])], start + 2)
        assert whole in view.html(), size
    assert "…" not in render_parts([ToolCallPart("c", "n", "x" * MOST_DRAWN)], dom="x")


def test_a_tool_call_is_one_line() -> None:
    view = AnswerView("x")
    view.feed([ToolCallDelta(0, "c", "find"), ToolCallDelta(0, arguments='{"a":')], 1)
    assert view.feed([ToolCallDelta(0, arguments=' "<"}')], 2) == [Op("#t-x code", "beforeend", ' "&lt;"}')]
    line = '<div class="tool-call"><span class="name">find</span><code>{"a": "&lt;"}</code></div>'
    assert view.html() == f'<div class="body" id="b-x"><div class="tail" id="t-x" data-seq="2">{line}</div></div>'
    assert render_parts([ToolCallPart("c", "find", '{"a": "<"}')], dom="x") == line


def test_final_parts_are_drawn_without_a_tail() -> None:
    parts = (
        ReasoningPart("*Hm*", duration_ms=12_300),
        ReasoningPart(" "),
        ReasoningPart("So", duration_ms=None),
        TextPart("Yes[^1]\n\n[^1]: note"),
        ToolResultPart("c", "\n<b>", is_error=True),
        FilePart("1", "x.png", "image/png", 3),
        ErrorPart("x", "y"),
    )
    assert render_parts(parts, dom="x") == (
        '<details class="reasoning"><summary>Thought for 12 s</summary><div class="thoughts">'
        '<p dir="auto"><em>Hm</em></p></div></details>'
        '<details class="reasoning"><summary>Thought</summary><div class="thoughts"><p dir="auto">So</p></div></details>'
        '<p dir="auto">Yes<sup class="footnote-mark"><a href="#x-4-fn-1">1</a></sup></p>'
        '<div class="footnote" id="x-4-fn-1"><span class="footnote-label">1</span><p dir="auto">note</p></div>'
        '<details class="tool-result"><summary>Tool failed</summary><pre tabindex="0">\n\n&lt;b&gt;</pre></details>'
    )
    assert "<summary>Pondered</summary>" in render_parts(parts, dom="x", reasoning_label="Pondered")


def test_a_frame_holds_htmx_partials() -> None:
    ops = [
        Op("#t-x", "beforebegin", "<p>a</p>"),
        Op("#t-x p", "beforeend", "b"),
        Op("#t-x", "innerHTML", ""),
        Op("#t-x", "delete", ""),
    ]
    assert frame(ops) == (
        "<hx-partial hx-target=#t-x hx-swap=before><p>a</p></hx-partial>"
        '<hx-partial hx-target="#t-x p" hx-swap=append>b</hx-partial>'
        "<hx-partial hx-target=#t-x></hx-partial>"
        "<hx-partial hx-target=#t-x hx-swap=delete></hx-partial>"
    )
    assert frame([]) == ""
