"""What models write beside plain Markdown: prices, scripts without spaces, HTML, addresses, line breaks, LaTeX."""

import random
import re

import pytest

from app.html.markdown import render, render_marked
from app.html.stream import AnswerView
from app.parts import ReasoningDelta, TextDelta
from tests.corpora.models import MODELS
from tests.html.judge import assert_harmless
from tests.html.page import Element, parse

NO_FORMULA = [
    "**$5** and **$10**",
    "*$5* or *$10*",
    "~~$20~~ **$15**",
    "[$5](http://a.example) and [$7](http://b.example/$8)",
    "| $5 | $6 |\n|----|----|\n| **$7** | $8-$9 |",
    "$HOME and $PATH",
    "$HOME/bin:$PATH",
    "${A}/${B} or ${C}",
    "$(pwd)/$(date)",
    '"$@" and "$#"',
    "$1,$2,$3",
    "^foo$|^bar$",
    "\\d+$|\\w+$",
    "$5-$10, $5–$10, $5 to $10, $1.50/$2.50",
    "US$5)/(US$6), A$5/A$6, 5$ and 6$, 5$/6$",
    "$5, which is less, and not 6$",
    "Cheap ($$), dear ($$$), $$ to $$$, $$ - $$",
    "$5 `code$` and `$x$`",
    "see https://a.example/?p=$x$ for $y",
    "$foo->bar($baz), $a+$b=$c, $_GET['a'] and $_POST['b']",
    '"$a","$b" and ($5) ($6)',
    "costs $5.\nThen $6.\n$7\n$8",
    "**$5**/month or **$50**/year, *$1*-*$2*",
    "- $1 **for\n- $2** two",
    "$x$2 and $x$y and $x${",
]

FORMULAS = {
    "$x$": 1,
    "**$x$** *$y$* ($z$), $a$-$b$": 5,
    "the $n$th, the $k$-th, all $x_i$s": 3,
    "30$^\\circ$ and 5 $\\mu$m.": 1,
    "设$x$为$y$，则": 2,
    "H$_2$O, CO$_2$, 25$^\\circ$C, 10$^{-3}$": 4,
    "$10$-$20$, $f$'s, $x$-axis": 4,
    "$|x|$ and $|0\\rangle$": 2,
    "$O(n log n)$ and $f(x) = 2x$, $speed$": 3,
    "It costs $5. Then $x = 1$, $y$ and $10.": 2,
    "| $x$ | $\\|x\\|$ |\n|---|---|\n| $y$ | $5 |": 3,
    "$$x$$ and $$ y $$": 2,
    "`$a$` \\$b\\$ $c$": 1,
}

EMPHASIS = {
    "**「引用」**は": "<strong>「引用」</strong>は",
    "これは**「引用」**です": "これは<strong>「引用」</strong>です",
    "**重要**です": "<strong>重要</strong>です",
    "**注意：**请看": "<strong>注意：</strong>请看",
    "是*《书名》*的": "是<em>《书名》</em>的",
    "中文**“引号”**中文": "中文<strong>“引号”</strong>中文",
    '中文**"引号"**中文': '中文<strong>"引号"</strong>中文',
    "他说~~（删除）~~吧": "他说<del>（删除）</del>吧",
    "***「両方」***は": "<em><strong>「両方」</strong></em>は",
    "**굵게(bold)**는": "<strong>굵게(bold)</strong>는",
    '**"인용"**은': '<strong>"인용"</strong>은',
    "**คำ(x)**ครับ": "<strong>คำ(x)</strong>ครับ",
    "価格は**$5**です": "価格は<strong>$5</strong>です",
    "一**`code`**二": '一<strong><code dir="ltr">code</code></strong>二',
    "**[链接](http://a.example)**和": None,
    "**完成✅**后": "<strong>完成✅</strong>后",
    "中文**🎉**中文": "中文<strong>🎉</strong>中文",
    "**100€**の": "<strong>100€</strong>の",
    "**A→B→**后": "<strong>A→B→</strong>后",
    "**done✅**now": "**done✅**now",
    "2 * 3 * 4 和 a * b": "2 * 3 * 4 和 a * b",
    '**"x"**y': '**"x"**y',
    "\\*「引用」\\*は": "*「引用」*は",
}

HTML = {
    "a<br>b<br/>c<BR />d": "a<br>b<br>c<br>d",
    "a<br>\nb": "a<br>\nb",
    "H<sub>2</sub>O x<sup>2</sup>": "H<sub>2</sub>O x<sup>2</sup>",
    "<kbd>Ctrl</kbd> <mark>m</mark> <u>u *e*</u>": "<kbd>Ctrl</kbd> <mark>m</mark> <u>u <em>e</em></u>",
    "*<u>a</u>* <U>b</U>": "<em><u>a</u></em> <u>b</u>",
    "the <sub> tag": "the &lt;sub&gt; tag",
    "an end </u> alone": "an end &lt;/u&gt; alone",
    "<u>*a</u>*": "&lt;u&gt;<em>a&lt;/u&gt;</em>",
    "<u>a <sub>b</u></sub>": "<u>a &lt;sub&gt;b</u>&lt;/sub&gt;",
    '<u class="x">a</u>': '&lt;u class="x"&gt;a&lt;/u&gt;',
    "<br clear=all> <b>c</b>": "&lt;br clear=all&gt; &lt;b&gt;c&lt;/b&gt;",
    "`<br>` \\<br>": '<code dir="ltr">&lt;br&gt;</code> &lt;br&gt;',
    "<br>\n**b**": "<br>\n<strong>b</strong>",
}

ADDRESSES = {
    "https://en.wikipedia.org/wiki/Foo_(bar)": ["https://en.wikipedia.org/wiki/Foo_(bar)"],
    "(https://en.wikipedia.org/wiki/Foo_(bar)).": ["https://en.wikipedia.org/wiki/Foo_(bar)"],
    "(see https://a.example/b)and": ["https://a.example/b"],
    "见https://a.example/b。后，https://b.example，和": ["https://a.example/b", "https://b.example"],
    "（https://a.example/b）「https://b.example」": ["https://a.example/b", "https://b.example"],
    "https://a.example. https://b.example, https://c.example! https://d.example?": [
        *("https://a.example", "https://b.example", "https://c.example", "https://d.example"),
    ],
    "**https://a.example/x** *https://b.example* _https://c.example_": [
        *("https://a.example/x", "https://b.example", "https://c.example"),
    ],
    "\"https://a.example\" 'https://b.example' “https://c.example”": [
        *("https://a.example", "https://b.example", "https://c.example"),
    ],
    "https://a.example/_x_/y_z?a=1&b=*c*&d": ["https://a.example/_x_/y_z?a=1&b=*c*&d"],
    "https://a.example/?a=1&amp;b=2": ["https://a.example/?a=1&b=2"],
    "http://localhost:8080/x HTTPS://A.example": ["http://localhost:8080/x", "HTTPS://A.example"],
    "www.a.example/b. awww.x": ["https://www.a.example/b"],
    "https://a.example/é/x": ["https://a.example/é/x"],
    "| https://a.example |\n|-|\n| https://b.example/x |": ["https://a.example", "https://b.example/x"],
    "- https://a.example\n\n> https://b.example\n\n# https://c.example": [
        *("https://a.example", "https://b.example", "https://c.example"),
    ],
    "https://a.example[^1]\n\n[^1]: https://b.example": ["https://a.example", "#fn-1", "https://b.example"],
    "<https://a.example> [x](https://b.example) [https://c.example](https://c.example)": [
        *("https://a.example", "https://b.example", "https://c.example"),
    ],
    "`https://a.example` $\\text{https://b.example}$ https:// www. ftp://x xhttps://y.example": [],
    "```\nhttps://a.example\n```\n\n    https://b.example": [],
    "<div>https://a.example</div>": [],
    "[a]: https://a.example": [],
    "javascript:alert(1)//https ://x": [],
}

DETAILS = {
    "<details>\n<summary>A **b**</summary>\n\nc\n\n</details>\n\nd": (
        '<details><summary dir="auto">A <strong>b</strong></summary><p dir="auto">c</p></details><p dir="auto">d</p>'
    ),
    "<details><summary>A</summary>b</details> c": (
        '<details><summary dir="auto">A</summary><p dir="auto">b</p></details><p dir="auto">c</p>'
    ),
    "<details>\n<summary>1. A</summary>\n- b\n</details>": (
        '<details><summary dir="auto">1. A</summary><ul><li dir="auto">b</li></ul></details>'
    ),
    "<details>\na": '<details><p dir="auto">a</p></details>',
    "a\n<details>\nb\n</details>": '<p dir="auto">a</p><details><p dir="auto">b</p></details>',
    "<details>\n<details>\na\n</details>\nb\n</details>": (
        '<details><details><p dir="auto">a</p></details><p dir="auto">b</p></details>'
    ),
    "</details>": '<p dir="auto">&lt;/details&gt;</p>',
    "a <details> b": '<p dir="auto">a &lt;details&gt; b</p>',
    "- <details>\n  b": '<ul><li dir="auto"><p>&lt;details&gt;<br>b</p></li></ul>',
    "<details open>\na\n</details>": '<p dir="auto">&lt;details open&gt;<br>a<br>&lt;/details&gt;</p>',
    "<summary>a</summary>": '<p dir="auto">&lt;summary&gt;a&lt;/summary&gt;</p>',
}


@pytest.mark.parametrize("source", NO_FORMULA)
def test_dollars_that_are_no_formula_are_text(source: str) -> None:
    html = render(source)
    assert "formula" not in html
    assert "math-error" not in html
    shown = _text(parse(html))
    shown += "".join(address for address in re.findall(r'href="([^"]*)"', html) if address not in shown)
    assert shown.count("$") == source.count("$")


def test_emphasis_links_and_tables_around_prices_stay() -> None:
    assert render("**$5** and **$10**") == '<p dir="auto"><strong>$5</strong> and <strong>$10</strong></p>'
    assert render("[$5](http://a.example) or [$7](http://b.example)").count("<a href=") == 2
    assert render("a | b\n-|-\n**$5** | *$6*").count("<td") == 2


@pytest.mark.parametrize(("source", "count"), FORMULAS.items(), ids=lambda value: str(value)[:30])
def test_formulas_beside_prices_are_formulas(source: str, count: int) -> None:
    assert render(source).count("<math") == count


@pytest.mark.parametrize(("source", "html"), EMPHASIS.items(), ids=lambda value: str(value)[:30])
def test_scripts_without_spaces_emphasise(source: str, html: str | None) -> None:
    if html is None:
        assert render(source).startswith('<p dir="auto"><strong><a href=')
    else:
        assert render(source) == f'<p dir="auto">{html}</p>'


@pytest.mark.parametrize(("source", "html"), HTML.items(), ids=lambda value: str(value)[:30])
def test_harmless_html_is_drawn(source: str, html: str) -> None:
    assert render(source) == f'<p dir="auto">{html}</p>'


def test_tags_belong_to_their_cell() -> None:
    html = render("| a<br>b | <kbd>x |\n|---|---|\n| y</kbd> | <sub>1</sub> |")
    assert '<th dir="auto">a<br>b</th><th dir="auto">&lt;kbd&gt;x</th>' in html
    assert '<td dir="auto">y&lt;/kbd&gt;</td><td dir="auto"><sub>1</sub></td>' in html


def test_a_tag_of_the_text_is_no_footnote() -> None:
    assert render("x<sup>1</sup>[^1]\n\n[^1]: b").count("footnote-mark") == 1


@pytest.mark.parametrize(("source", "html"), DETAILS.items(), ids=lambda value: str(value)[:30])
def test_details_hold_blocks(source: str, html: str) -> None:
    assert render(source) == html
    assert_harmless(html)


def test_details_within_details_end_somewhere() -> None:
    html = render("<details>\n" * 2_000 + "x")
    assert html.startswith("<pre")


@pytest.mark.parametrize(("source", "addresses"), ADDRESSES.items(), ids=lambda value: str(value)[:30])
def test_bare_addresses_are_links(source: str, addresses: list[str]) -> None:
    html = render(source)
    links = [element for element in parse(html).all() if element.name == "a"]
    assert [link.attributes["href"] for link in links] == addresses
    assert_harmless(render(source, prefix="x-1-"))


def test_an_address_keeps_the_text_that_was_written() -> None:
    (link,) = [element for element in parse(render("www.a.example/b_c")).all() if element.name == "a"]
    assert _text(link) == "www.a.example/b_c"


def test_a_line_break_is_one() -> None:
    assert render("a\nb\n\n> c\n> d\n\n- e\n  f") == (
        '<p dir="auto">a<br>\nb</p><blockquote dir="auto"><p>c<br>\nd</p></blockquote><ul><li dir="auto">e<br>\nf</li></ul>'
    )
    assert "<br>" not in render("```\na\nb\n```\n\n    c\n    d")


def test_blocks_find_their_own_direction() -> None:
    html = render("# a\n\nb\n\n- c\n\n  d\n\n> e\n\n| f |\n|---|\n| `g` $h$ |\n\n```\ni\n```")
    for tag in ("h2", "p", "li", "blockquote", "th", "td"):
        assert f'<{tag} dir="auto"' in html
    assert '<li dir="auto"><p>c</p><p>d</p></li>' in html
    for ltr in ('<code dir="ltr">g', '<span class="formula" dir="ltr">', '<div class="code" dir="ltr">'):
        assert ltr in html


@pytest.mark.parametrize("name", [name for name in MODELS if name != "html"])
def test_a_finished_document_looks_like_its_stream(name: str) -> None:
    text = MODELS[name].replace("[g]: ", "")
    view = AnswerView("x")
    view.feed([TextDelta(text), ReasoningDelta("end")], 1)
    blocks = view.html().removeprefix('<div class="body" id="b-x">').partition('<details class="reasoning">')[0]
    assert blocks == render_marked(text, prefix="x-1-")


def test_details_stream_as_they_are_in_the_end() -> None:
    text = MODELS["html"]
    view = AnswerView("x")
    chance = random.Random(3)
    place = seq = 0
    while place < len(text):
        size, seq = chance.randint(1, 9), seq + 1
        view.feed([TextDelta(text[place : place + size])], seq)
        place += size
    view.feed([ReasoningDelta("end")], seq + 1)
    blocks = view.html().removeprefix('<div class="body" id="b-x">').partition('<details class="reasoning">')[0]
    assert blocks == render_marked(text, prefix="x-1-")


def _text(element: Element) -> str:
    return "".join(child if isinstance(child, str) else _text(child) for child in element.children)
