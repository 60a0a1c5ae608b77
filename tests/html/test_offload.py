"""What a page gets from the renderers: a message's HTML, or one of two errors; and formulas while an answer streams."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from app.html import offload
from app.html.offload import (
    MAX_CHARS_HERE,
    RenderersBusy,
    RenderFailed,
    ShownFormulas,
    render_in_steps,
    render_message,
    with_formulas,
)
from app.html.pieces import draw_all
from app.html.renderers import RENDERERS
from app.html.stream import AnswerView, render_parts
from app.parts import Part, ReasoningPart, TextDelta, TextPart, ToolCallPart, ToolResultPart
from tests.children.broken import DEADLY
from tests.corpora.markdown import DOCUMENTS
from tests.corpora.models import MODELS
from tests.html.page import Page, parse
from tests.programs import ROOT
from tests.tiers import soaked

pytestmark = pytest.mark.usefixtures("broken_renderers")

PARTS: list[Part] = [
    ReasoningPart("Let me see: $x^2$.", duration_ms=2000),
    TextPart("# Heading\n\n```python\nprint(1)\n```\n\n$$\\frac{1}{2}$$\n\n```\n$x$\n```"),
    ToolCallPart("1", "look_up", '{"a": "<b>"}'),
    ToolResultPart("1", "<i>found</i>"),
]
#: Those that are over at once: the others take seconds each, and differ in nothing that this file tests.
QUICK = sorted(set(DEADLY) - {"hang", "hold", "burn"})


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """No formula is remembered from another test."""
    offload.FORMULAS.clear()
    yield
    offload.FORMULAS.clear()


async def render(text: str) -> str:
    return await render_message([TextPart(text)], dom="a")


async def test_a_child_renders_what_this_process_would() -> None:
    assert await render_message(PARTS, dom="a") == draw_all(render_parts(PARTS, dom="a"))


@pytest.mark.parametrize("text", [*DOCUMENTS.values(), *MODELS.values()], ids=[*DOCUMENTS, *MODELS])
async def test_documents_look_the_same_from_a_child(text: str) -> None:
    assert await render(text) == draw_all(render_parts([TextPart(text)], dom="a"))


async def test_short_plain_messages_need_no_child() -> None:
    RENDERERS.program = "tests.children.ends_at_once"
    assert await render("Hello *there*: `code`, [link](https://example.org)\n\n- one\n- two")
    for text in ("```python\n1\n```", "costs $x$", "\\[x\\]", "word " * MAX_CHARS_HERE):
        with pytest.raises(RenderersBusy):
            await render(text)


@pytest.mark.parametrize("fault", QUICK)
async def test_a_text_that_breaks_the_renderer_fails(fault: str) -> None:
    with pytest.raises(RenderFailed):
        await render(f"```\n[[{fault}]]\n```")


async def test_a_formula_that_breaks_its_renderer_is_shown_as_its_source_alone() -> None:
    html = await render("$x$, $y_{[[piece crash]]}$ and $z$\n\n```python\nprint(1)\n```")
    assert html.count("<math>") == 2
    assert '<code class="math-error" dir="ltr">y_{[[piece crash]]}</code>' in html
    assert '<span class="h-mi">1</span>' in html


async def test_code_that_breaks_its_renderer_has_no_colours_and_costs_the_others_none() -> None:
    html = await render(
        "```python\nprint(1)\n```\n\n$x$\n\n```python\n'[[piece abort]]'\n```\n\n```python\nprint(3)\n```"
    )
    assert '<span class="h-mi">1</span>' in html
    assert "<code class=\"language-python\">'[[piece abort]]'\n</code>" in html
    assert '<span class="h-mi">3</span>' in html
    assert "<math>" in html


async def test_of_many_broken_formulas_only_two_are_tried_one_by_one() -> None:
    with capture_logs() as logs:
        html = await render(" ".join(f"$x_{{{number} [[piece crash]]}}$" for number in range(20)))
    assert html.count("math-error") == 20
    assert [log["event"] for log in logs].count("child_killed") == 3


async def test_a_formula_that_was_drawn_needs_no_child_again() -> None:
    first = await with_formulas("<p><var>x</var></p>")
    assert "<math>" in first
    RENDERERS.program = "tests.children.ends_at_once"
    assert await with_formulas("<p><var>x</var></p>") == first
    assert "math-error" in await with_formulas("<p><samp>x</samp></p>")


async def test_a_formula_that_broke_its_renderer_breaks_no_second() -> None:
    shown = await with_formulas("<p><var>[[crash]]</var></p>")
    with capture_logs() as logs:
        assert await with_formulas("<p><var>[[crash]]</var></p>") == shown
    assert shown == '<p><code class="math-error" dir="ltr">[[crash]]</code></p>'
    assert not logs


async def test_no_renderer_says_nothing_about_the_text() -> None:
    RENDERERS.program = "tests.children.ends_at_once"
    with pytest.raises(RenderersBusy):
        await render_message(PARTS, dom="a")
    assert await with_formulas("<var>a &lt; b</var>") == '<code class="math-error" dir="ltr">a &lt; b</code>'
    RENDERERS.program = "tests.children.broken"
    assert "<math>" in await with_formulas("<var>a &lt; b</var>")


FORMULAS = {
    "words": "Let $x$ be, and $y_{[[crash]]}$ too.\n\n$$\\frac{a}{b}$$\n\nSo $x$ it *is* $z$, is it.",
    "list": "- $a$ one\n- two $b < c$ three\n  - $d_{[[abort]]}$\n\n> $e$ and $f$\n",
    "table": "| $a$ | b |\n|---|---|\n| $c$ | $d$ words |\n| e | $f$ |\n",
    "end": "x $a$",
    "brackets": "\\(a\\) and \\[\nb\n- c\n\\]\nand $$d$$ in a line, $e$**bold $f$**",
}


@pytest.mark.parametrize("name", FORMULAS)
async def test_a_page_that_watched_shows_the_formulas_of_a_fresh_one(name: str) -> None:
    text = FORMULAS[name] + "\n\nThe $e$nd."
    view = AnswerView("x")
    page = Page(view.html())
    for seq, character in enumerate(text, 1):
        ops = view.feed([TextDelta(character)], seq)
        page.apply([op._replace(html=await with_formulas(op.html)) for op in ops], seq)
        assert page.html() == parse(await with_formulas(view.html())).inner()
    assert "<math" in page.html()


#: Behind the second that breaks its renderer no other is shown as a formula, be it known from elsewhere. `_`: as its source.
BROKEN = {
    "one block": ("$a$ $b_{[[piece crash]]}$ $c$ $d_{[[piece abort]]}$ $e$ $a$ $f$ $g$", "a_c__a__"),
    "blocks": ("$a$\n\n$b_{[[piece crash]]}$\n\n- $c$\n\n$d_{[[piece abort]]}$\n\n> $e$ $a$\n\n$f$\n\n$g$", "a_c__a__"),
    "one twice": (
        "$a$\n\n$b_{[[piece crash]]}$\n\n$b_{[[piece crash]]}$\n\n$c$ $d_{[[piece crash]]}$\n\n$e$ $a$",
        "a__c__a",
    ),
    "together": ("$a$ $c$ $b_{[[piece crash]]}$\n\n$d_{[[piece abort]]}$ $e$\n\n$a$\n\n$g$ $g$", "ac___a__"),
    "no LaTeX": ("$x_$ $y_$\n\n$z_$ $a$\n\n$b$", "___ab"),
}


@pytest.mark.parametrize("size", [7, soaked(1), soaked(10_000)])
@pytest.mark.parametrize("name", BROKEN)
async def test_which_formulas_are_tried_is_the_same_for_all_pages(name: str, size: int) -> None:
    text, expected = BROKEN[name]
    await with_formulas("<p><var>e</var></p>")
    view = AnswerView("x")
    page, shown = Page(view.html()), ShownFormulas(view)
    for seq, start in enumerate(range(0, len(text), size), 1):
        ops = view.feed([TextDelta(text[start : start + size])], seq)
        page.apply([op._replace(html=await shown.put_into(op.html)) for op in ops], seq)
    for _time in ("with what this page found out", "and as another process draws it"):
        assert page.html() == parse(await with_formulas(view.html())).inner()
        assert formulas_of(page.html()) == formulas_of(await render(text)) == expected
        offload.FORMULAS.clear()


async def test_what_is_known_from_elsewhere_is_no_reason_to_draw_it() -> None:
    """The first two steps of a final message, and a page without a free renderer, show nothing that the others do not."""
    text = "$b_{[[piece crash]]}$ $d_{[[piece abort]]}$ $e$"
    await with_formulas("<p><var>b_{[[piece crash]]}</var></p>")
    await with_formulas("<p><var>d_{[[piece abort]]}</var><var>e</var></p>")
    shown = [formulas_of(html) async for html in render_in_steps([TextPart(text)], dom="a")]
    assert shown == ["___"] * 3
    RENDERERS.program = "tests.children.ends_at_once"
    marked = "<var>b_{[[piece crash]]}</var><var>new</var><var>d_{[[piece abort]]}</var><var>e</var>"
    assert formulas_of(await with_formulas(marked)) == "____"


def formulas_of(html: str) -> str:
    return "".join(letter or "_" for letter in re.findall(r"<math><mi>(.)</mi></math>|math-error", html))


async def test_the_last_state_of_a_stream_is_the_final_message() -> None:
    text = DOCUMENTS["formulas"].replace("[^1]", "") + "\n\n$y_{[[piece crash]]}$"
    view = AnswerView("a")
    view.feed([TextDelta(text)], 1)
    view.feed([TextDelta("\n\n")], 2)
    final = await render(text)
    assert (await with_formulas(view.html())).replace('<div class="tail" id="t-a" data-seq="2">', "").removesuffix(
        "</div>"
    ).removesuffix("</div>") == f'<div class="body" id="b-a">{final}'


def test_neither_the_app_nor_what_it_serves_imports_what_may_hang() -> None:
    code = "import sys, app.main, app.cli.serve; from app.html import feeding, offload, pieces; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    modules = set(loaded.stdout.split())
    assert not {"math_core", "app.html.highlight", "app.html.mathml", "app.html.renderer"} & modules
    lexers = {module for module in modules if module.startswith("pygments.lexers.")}
    assert lexers <= {"pygments.lexers._mapping"}  # the command of httpx imports Pygments, and no lexer
