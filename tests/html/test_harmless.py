"""No text can make HTML of ours do anything: every payload, whole and cut at every character."""

import html5lib
import pytest

from app.html.markdown import render, render_marked, render_plain
from app.html.pieces import draw_all
from app.html.stream import AnswerView, frame, render_parts
from app.parts import (
    Delta,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from tests.corpora.markdown import DOCUMENTS
from tests.corpora.xss import PAYLOADS
from tests.html.judge import assert_harmless
from tests.html.page import Element, parse, with_formulas
from tests.tiers import thinned

NUMBERS = range(len(PAYLOADS))


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 200


@pytest.mark.parametrize("number", NUMBERS)
def test_a_rendered_payload_is_harmless(number: int) -> None:
    payload = PAYLOADS[number]
    for source in (
        payload,
        f"a {payload} b",
        f"- {payload}",
        f"```\n{payload}\n```",
        f"[x]({payload})",
        f"$\\text{{{payload}}}$",
    ):
        assert_harmless(render(source, prefix="x-1-"))
        assert_harmless(with_formulas(render_marked(source, prefix="x-1-")))
    assert "<" not in render_plain(payload)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_browser_reads_it_as_it_was_written(number: int) -> None:
    """A second, lenient parser finds the same tree: nothing mutates on its way through `innerHTML`."""
    html = render(PAYLOADS[number], prefix="x-1-")
    assert _as_a_browser_reads(html) == parse(html).inner()


@pytest.mark.parametrize("number", thinned(NUMBERS, keep=len(NUMBERS) // 3))
def test_every_beginning_of_a_streamed_payload_is_harmless(number: int) -> None:
    for make in (TextDelta, ReasoningDelta, _tool_call):
        view = AnswerView("x")
        for seq, character in enumerate(PAYLOADS[number], 1):
            ops = view.feed([make(character)], seq)
            assert_harmless(with_formulas(view.html()))
            for op in ops:
                assert_harmless(with_formulas(op.html))
            assert frame(ops).count("<hx-partial") == len(ops)


@pytest.mark.parametrize("number", NUMBERS)
def test_parts_of_a_final_message_are_harmless(number: int) -> None:
    payload = PAYLOADS[number]
    parts = (
        ReasoningPart(payload),
        ToolCallPart(payload, payload, payload),
        ToolResultPart("1", payload),
        TextPart(payload),
    )
    assert_harmless(draw_all(render_parts(parts, dom="x", reasoning_label=payload)))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_harmless_too(name: str) -> None:
    html = render(DOCUMENTS[name], prefix="x-1-")
    assert_harmless(html)
    assert _as_a_browser_reads(html) == parse(html).inner()


def _tool_call(text: str) -> Delta:
    return ToolCallDelta(index=0, name=text, arguments=text)


def _as_a_browser_reads(html: str) -> str:
    def ours(node: object) -> Element:
        element = Element(node.tag.rpartition("}")[2], [(k, v) for k, v in node.attrib.items()], None)  # type: ignore[attr-defined]
        element.append(node.text or "")  # type: ignore[attr-defined]
        for child in node:  # type: ignore[attr-defined]
            element.append(ours(child))
            element.append(child.tail or "")
        return element

    return ours(html5lib.parseFragment(html)).inner()
