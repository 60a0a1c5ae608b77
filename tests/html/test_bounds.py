"""What a message may become: bounded, by its stream's last frame and by its final HTML alike."""

import re

import pytest

from app.html import pieces
from app.html.blocks import Blocks
from app.html.bounds import GROWTH_FROM_BYTES, MAX_CELLS, MAX_COLUMNS, MAX_GROWTH, MAX_HTML_BYTES, Room, byte_length
from app.html.cells import FEW_CELLS
from app.html.cuts import MAX_OPEN_CHARS
from app.html.markdown import MAX_CHARS, render_marked
from app.html.stream import AnswerView, frame, render_parts
from app.parts import Delta, ReasoningDelta, ReasoningPart, TextDelta, TextPart
from tests.corpora.poison import TEXTS
from tests.html.page import Page, parse
from tests.tiers import in_tiers, thinned

#: What stands in one block refers to another, which a stream draws before it knows that.
RESOLVE_LATE = {"footnotes", "footnotes in a footnote", "one long address used often"}


def table(columns: int, rows: int) -> str:
    return "a|" * columns + "\n" + "-|" * columns + "\n" + "a\n" * rows


#: Short texts that grow, and long ones that exceed what a message may become.
GROWING = {
    "a wide table": table(800, 800),
    "a table of empty cells": table(100, 900),
    "a table of 3 columns": table(3, 8_000),
    "many tables": (table(50, 30) + "\n") * 30,
    "a quoted table": "> " + table(90, 600).replace("\n", "\n> "),
    "a table in a list": "- " + table(90, 600).replace("\n", "\n  "),
    "references": "\n[a]: http://a.example/" + "x" * 2_000 + "\n\n" + "[a] " * 2_000,
    "nested quotes": (">" * 55 + "a\n\n") * 3_000,
    "empty code": "```\n```\n" * 10_000,
    "code in a list": "- ```\n" * 40_000,
    "footnotes": "[^a]: x\n[^a]" * 20_000,
    "formulas": "$x$ " * 30_000,
    "long formulas": ("$$" + "x+" * 4_000 + "$$\n\n") * 12,
    "links": "http://a.example " * 15_000,
    "titles": '![a](http://a.example "' + '"' * 5_000 + '")\n\n' * 60,
    "paragraphs": "**a** `b`\n\n" * 22_000,
    "prose": "word *a* `b` " * 40_000,
    "a long code block, and text": "```python\n" + "x = (1)\n" * 160_000 + "```\n\n*end*\n\n\n\nend",
    "ampersands": "&" * 300_000,
    "disclosures": "<details><summary>a *b*</summary>\n\n- b\n\n</details>\n" * 11_000,
    "marks of lists": "+ - * " * 2_600 + "a\n" + "a\n" * 3_000,
}
EXCEEDING = set(GROWING) - {"references", "footnotes", "a quoted table", "a table in a list", "marks of lists"}


def streamed(deltas: list[Delta]) -> str:
    view = AnswerView("x")
    view.feed(deltas, 1)
    return body_of(view)


def body_of(view: AnswerView) -> str:
    return re.sub(r'<div class="tail"[^>]*>(.*)</div></div>\Z', r"\1", view.html(), flags=re.DOTALL).removeprefix(
        '<div class="body" id="b-x">'
    )


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html).strip()


def shape_of(html: str) -> dict[str, int]:
    return {
        tag: html.count(f"<{tag}") for tag in ("table", "td", "a ", "pre", "li", "blockquote", "p", "details", "samp")
    }


def assert_bounded(html: str, source: str) -> None:
    """What has no room is source, which is escaped: at most five times as long."""
    most = min(MAX_HTML_BYTES, max(GROWTH_FROM_BYTES, MAX_GROWTH * byte_length(source)))
    assert byte_length(html) <= most + 5 * byte_length(source) + 1_000
    assert html.count("<td") + html.count("<th ") <= MAX_CELLS
    for head in re.findall(r"<thead>.*?</thead>", html):
        assert head.count("<th ") <= MAX_COLUMNS


@pytest.mark.parametrize("name", TEXTS)
def test_poison_is_bounded_and_its_stream_ends_as_it_stays(name: str) -> None:
    for size in (500, 8_000):
        text = TEXTS[name](size)
        final, stream = render_parts([TextPart(text)], dom="x"), streamed([TextDelta(text)])
        assert_bounded(final, text)
        assert_bounded(stream, text)
        if name not in RESOLVE_LATE:
            assert text_of(final) == text_of(stream)
            assert shape_of(final) == shape_of(stream)


@pytest.mark.soak
@pytest.mark.parametrize("name", TEXTS)
def test_long_poison_is_bounded(name: str) -> None:
    text = TEXTS[name](300_000)
    assert_bounded(render_parts([TextPart(text)], dom="x"), text)
    assert_bounded(streamed([TextDelta(text)]), text)


@pytest.mark.parametrize("name", thinned(GROWING, keep=10))
def test_what_grows_is_bounded(name: str) -> None:
    text = GROWING[name]
    final, stream = render_parts([TextPart(text)], dom="x"), streamed([TextDelta(text)])
    assert_bounded(final, text)
    assert_bounded(stream, text)
    if name in EXCEEDING:
        assert text_of(final) == text_of(stream)
        assert shape_of(final) == shape_of(stream)


SMALL_ROOM = 12_000
#: Each exceeds the small room.
SMALL = {
    "tables": (table(10, 20) + "\n*after*\n\n") * 8,
    "formulas": "$x$ and *y* \n\n" * 120,
    "code in a list": "- ```\n" * 200,
    "paragraphs": "a *b*\n\n" * 500,
    "code": "*a*\n\n```python\n" + "x = (1)\n" * 2_000 + "```\n\n*end*\n\n\n\nend",
    "words": "*a*\n\n" + "word and word " * 1_200,
    "disclosures": "<details><summary>a</summary>\n\nb\n\n</details>\n" * 200,
}


@pytest.mark.parametrize("name", SMALL)
def test_a_page_that_watched_text_beyond_the_bounds_equals_a_fresh_one(name: str) -> None:
    text = SMALL[name]
    view = AnswerView("x", Room(SMALL_ROOM))
    page = Page(view.html())
    pieces_of_text = [text[start : start + 97] for start in range(0, len(text), 97)]
    seen = ""
    for seq, piece in enumerate([*pieces_of_text, "\n", "\n\n", "<b> & \n", "\n\nend"], 1):
        page.apply(view.feed([TextDelta(piece)], seq), seq)
        seen += piece
        if not seq % 7 or seq > len(pieces_of_text):
            fresh = AnswerView("x", Room(SMALL_ROOM))
            fresh.feed([TextDelta(seen)], seq)
            assert view.html() == fresh.html()
            assert page.html() == parse(view.html()).inner()
    assert view.html().count("<pre") >= 1
    assert byte_length(view.html()) <= SMALL_ROOM + 5 * byte_length(seen)


def test_behind_the_bound_only_what_is_new_is_sent() -> None:
    view = AnswerView("x")
    view.feed([TextDelta(GROWING["paragraphs"])], 1)
    assert len(frame(view.feed([TextDelta("more *text* <b>")], 2))) < 200
    assert view.html().endswith("more *text* &lt;b&gt;</pre></div></div>")


def test_all_parts_share_the_room_of_their_message() -> None:
    text = "word *a* `b`\n\n" * 15_000
    parts = [ReasoningPart(text), TextPart(text), TextPart("\n\n*end*")]
    html = render_parts(parts, dom="x")
    assert_bounded(html, text * 2)
    assert html.endswith("*end*</pre>")
    stream = streamed([ReasoningDelta(text), TextDelta(text + "\n\n*end*")])
    assert text_of(stream).endswith("*end*")
    assert_bounded(stream, text * 2)


def test_a_table_that_people_write_is_drawn() -> None:
    wide = "|" + " name |" * 40 + "\n|" + "---|" * 40 + "\n" + ("|" + " value |" * 40 + "\n") * 40
    for html in (render_parts([TextPart(wide)], dom="x"), streamed([TextDelta(wide)])):
        assert html.count("<td") == 1_600
        assert "<pre" not in html
    most = table(MAX_COLUMNS, 3)
    assert "<table" in render_marked(most)
    assert render_marked(table(MAX_COLUMNS + 1, 3)).startswith("<pre")


def test_only_what_exceeds_a_bound_is_source() -> None:
    text = f"# Before\n\n{table(800, 800)}\n*after*\n"
    html = render_parts([TextPart(text)], dom="x")
    assert html.startswith('<h2 dir="auto">Before</h2><pre tabindex="0" dir="auto">a|a|')
    assert html.endswith('<p dir="auto"><em>after</em></p>')


def test_a_text_too_long_to_draw_at_once_is_drawn_block_by_block() -> None:
    text = "Some *words* that are good.\n\n" * 10_000
    assert len(text) > MAX_CHARS
    html = render_parts([TextPart(text)], dom="x")
    assert html == '<p dir="auto">Some <em>words</em> that are good.</p>' * 10_000


def test_a_long_table_goes_on_with_its_head() -> None:
    text = "| Name | Value |\n|---|---|\n" + "| a | b |\n" * 2_500 + "\nend"
    final, stream = render_parts([TextPart(text)], dom="x"), streamed([TextDelta(text)])
    assert text_of(final) == text_of(stream)
    assert shape_of(final) == shape_of(stream)
    assert final.count("<td") == 5_000
    assert final.count("Name") == final.count("<table") > 1


#: Items that mean something else where they are torn apart.
ITEMS = {
    "nested items": "- a thing\n    - within *it*\n        - deeper\n",
    "code": "1. Do this:\n\n   ```python\n   x = 1\n\n   y = 2\n   ```\n\n   and more\n\n",
    "a table": "* a table\n\n  | a | b |\n  |---|---|\n" + "  | 1 | 2 |\n" * 20 + "\n",
    "paragraphs": "+ first\n\n  second\n\n",
    "the same number": "1. first\n   1. and its own\n",
    "a quote and a formula": "- \\(x\\) \u65e5\u672c**\u8a9e**\n  > a\n  > b\n",
}


@pytest.mark.parametrize("name", ITEMS)
def test_a_long_list_is_cut_between_its_items(name: str) -> None:
    number = 3 * MAX_OPEN_CHARS // len(ITEMS[name])
    text = ITEMS[name] * number
    final = render_parts([TextPart(text)], dom="x")
    assert final == streamed([TextDelta(text)])
    assert 2 <= len(re.findall(r"</(ul|ol)><\1", final)) < number / 4
    assert re.sub(r"</(ul|ol)><\1[^>]*>", "", final) == render_marked(text)
    assert numbers_of(final) == numbers_of(render_marked(text))


LONG = (MAX_OPEN_CHARS + 2_000, 5 * MAX_OPEN_CHARS)
CODE = "   if a < b:\n\n       call(a, b)  # words & more\n   \n"
#: Items with more in them than one block may have; what stands in the middle is repeated.
LONE_ITEMS = {
    "code": ("3. Do *this*:\n\n   ```python\n", CODE, "   ```\n\n   And then.\n\n4. More\n"),
    "code that never ends": ("1. ```python title=x\n", CODE, "4. More\n"),
    "code behind two marks": ("- + ~~~~\n", "    ~~~\n\n    \tx = 1\n", "    ~~~~\n  + b\n- c\n"),
    "code within a quote": ("* > a\n  > ```c\n", "  > x(1);\n  >\n", "  > ```\n  > b\n* c\n"),
    "indented code": ("- a\n\n", "      x = 1\n", "- b\n"),
    "an outline": ("- Root\n", "  - a *thing*\n    1. with `parts`\n       - of its own\n", "- Next\n"),
    "numbers of two digits": ("10. Root\n", "    1) a\n       more\n\n       - b\n\n", "11. Next\n"),
    "far apart": ("-    Root\n", "     - a\n", "-    Next\n"),
    "paragraphs": ("+ first\n", "\n  and **more** words\n  in two lines\n", "+ last\n"),
    "a table": ("- a\n\n  | a | b |\n  |---|---|\n", "  | c | *d* |\n", "\n  end\n- e\n"),
    "a table behind its mark": ("- | a | b |\n  |---|---|\n", "  | c | *d* |\n", "- e\n"),
    "tags": ("- a\n", "  <br>\n  <u>b</u>\n  - \u65e5\u672c**\u8a9e\u3002**\u65e5\u672c\n", "- c\n"),
    "formulas over lines": ("- a\n", "  - \\[\n    x\n    \\]\n", "- c\n"),
    "indented by more": ("1. Root\n    - Sub:\n\n      ```python\n", "      x = 1\n", "      ```\n2. End\n"),
    "an indented list": (" - Root\n", "   - item\n", " - End\n"),
    "tabs": ("- a\n", "\t- item\n\t  more\n", "- End\n"),
    "wide marks": ("-   Root\n", "      - item\n", "-   End\n"),
    "wide marks and code": ("-   Root\n\n    ```py\n", "    x\n", "      ```\n-   b\n"),
    "an item before": ("- Intro\n- Root\n", "  - a thing number 1 with words and a few more words\n", "- End\n"),
    "an item before code": ("- a\n- Do:\n\n  ```py\n", "  def f(a, b):\n      return a\n\n", "  ```\n- End\n"),
    "the same number": ("1. Root\n", "   1. item\n", "1. Next\n1. Last\n"),
    "one line": ("- ", "word ", "\n\n  second\n- b\n"),
    "one line of code": ("1. Do:\n\n   ```json\n   ", "[1, 2] ", "\n   ```\n\n   After\n2. End\n"),
    "code in two quotes": ("- y\n\n  > > ```\n", "  > > x = 1\n", "  > > ```\n- End\n"),
    "text behind code": ("- a\n  ```\n  x\n  ```\n  b\n", "  - ```\n    x\n    ```\n    more\n", "- End\n"),
    "quotes": ("- a\n", "  > b\n  > - c\n  >   d\n  >\n", "- e\n"),
}


@pytest.mark.parametrize("size", in_tiers(*LONG))
@pytest.mark.parametrize("name", thinned(LONE_ITEMS, keep=9))
def test_an_item_that_is_too_long_goes_on_as_another_one(name: str, size: int) -> None:
    begin, middle, end = LONE_ITEMS[name]
    text = begin + middle * (size // len(middle)) + end
    view = AnswerView("x")
    page = Page(view.html())
    for seq, start in enumerate(range(0, len(text), 997), 1):
        page.apply(view.feed([TextDelta(text[start : start + 997])], seq), seq)
    assert page.html() == parse(view.html()).inner()
    final = render_parts([TextPart(text)], dom="x")
    assert final == body_of(view) == streamed([TextDelta(text)])
    whole = render_marked(text)
    assert places_of(final) == places_of(whole)
    assert numbers_of(final) == numbers_of(whole)
    assert re.findall("<(?:code|li)[^>]*></", final) == re.findall("<(?:code|li)[^>]*></", whole)
    if final != whole:
        assert re.search('class="goes-on"|</[ou]l><[ou]l', final)
        assert (size, name) != (min(LONG), "code")


def numbers_of(html: str) -> list[tuple[int, int | None]]:
    """How deep each item stands, and its number. Items that go on were counted before."""
    found: list[tuple[int, int | None]] = []
    numbers: list[int | None] = []
    for end, name, attributes in re.findall(r"<(/?)(ol|ul|li)\b([^>]*)>", html):
        if name == "li" and not end:
            if "goes-on" not in attributes:
                found.append((len(numbers), numbers[-1]))
            numbers[-1] = numbers[-1] and numbers[-1] + 1
        elif name != "li" and end:
            numbers.pop()
        elif name != "li":
            start = re.search(r'start="(\d+)"', attributes)
            numbers.append((int(start[1]) if start else 1) if name == "ol" else None)
    return found


def places_of(html: str) -> list[tuple[str, str]]:
    """Each text with the elements in which it stands, those that follow each other as one; without repeated heads."""
    html = re.sub(r'<thead>.*?</thead>|<div class="code-head">.*?</div>', "", html, flags=re.DOTALL)
    found: list[tuple[str, str]] = []
    path: list[str] = []
    for text, end, name in re.findall(r"([^<]+)|<(/?)(\w+)[^>]*>", html):
        if end:
            path.pop()
        elif name and name not in ("br", "hr", "input"):
            path.append(name)
        elif text.strip():
            place = "/".join(each for each in path if each != "p")
            before = found.pop()[1] if found and found[-1][0] == place else ""
            found.append((place, before + "".join(text.split())))
    return found


def test_an_open_table_is_cut_before_a_row_more_costs_much() -> None:
    blocks = Blocks("x")
    text = table(10, 1_000)
    for start in range(0, len(text), 100):
        blocks.feed(text[start : start + 100])
        blocks.step()
        assert blocks.tail().count("<td") <= FEW_CELLS + 10


def test_colours_and_formulas_stay_within_the_megabyte() -> None:
    code = "```c\n" + "(" * 90_000 + "\n```\n\n"
    html = pieces.draw_all(render_parts([TextPart(code + "*a* `b` " * 18_000)], dom="x"))
    assert byte_length(html) <= MAX_HTML_BYTES
    formulas = pieces.draw_all(render_parts([TextPart("$x^2$ \\(\\,\\!\\;\\) $'$ " * 1_000)], dom="x"))
    assert formulas.count("<math") > 100
    assert byte_length(formulas) <= MAX_HTML_BYTES
