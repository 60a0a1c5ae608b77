"""What Markdown becomes."""

import re
import time

import pytest

from app.html.markdown import MAX_CHARS, RENDERER_VERSION, language_of, render, render_marked, render_plain
from tests.corpora.markdown import DOCUMENTS
from tests.corpora.unicode import TEXTS
from tests.html.judge import assert_harmless
from tests.html.page import Element, parse

LINK = 'target="_blank" rel="noopener noreferrer nofollow"'

GOLDEN = {
    "# One\n## Two\n###### Six": '<h2 dir="auto">One</h2><h3 dir="auto">Two</h3><h6 dir="auto">Six</h6>',
    "a *b* **c** ~~d~~ `e<f`": '<p dir="auto">a <em>b</em> <strong>c</strong> <del>d</del> <code dir="ltr">e&lt;f</code></p>',
    "one\ntwo  \nthree\n\nfour": '<p dir="auto">one<br>\ntwo<br>\nthree</p><p dir="auto">four</p>',
    "> q\n\n---": '<blockquote dir="auto"><p>q</p></blockquote><hr>',
    "- a\n- b\n  1. c": '<ul><li dir="auto">a</li><li dir="auto">b<ol><li dir="auto">c</li></ol></li></ul>',
    "7. a\n\n8. b": '<ol start="7"><li dir="auto"><p>a</p></li><li dir="auto"><p>b</p></li></ol>',
    "- [ ] a\n- [x] b": (
        '<ul><li dir="auto"><input type="checkbox" disabled aria-label="Not done"> a</li>'
        '<li dir="auto"><input type="checkbox" disabled aria-label="Done" checked> b</li></ul>'
    ),
    "| a | *b* |\n|---|:-:|\n| c |": (
        '<div class="table" tabindex="0"><table><thead><tr><th dir="auto">a</th>'
        '<th dir="auto" align="center"><em>b</em></th></tr></thead>'
        '<tbody><tr><td dir="auto">c</td><td dir="auto" align="center"></td></tr></tbody></table></div>'
    ),
    "| a | b |\n|---|---|\n| c | `d|e` | f |": (
        '<div class="table" tabindex="0"><table><thead><tr><th dir="auto">a</th><th dir="auto">b</th></tr></thead>'
        '<tbody><tr><td dir="auto">c</td><td dir="auto"><code dir="ltr">d|e</code> | f</td></tr></tbody></table></div>'
    ),
    "[a](http://b.example/?c=1&d=2 't')": f'<p dir="auto"><a href="http://b.example/?c=1&amp;d=2" title="t" {LINK}>a</a></p>',
    "<http://a.example> <a@b.example>": (
        f'<p dir="auto"><a href="http://a.example" {LINK}>http://a.example</a> '
        f'<a href="mailto:a@b.example" {LINK}>a@b.example</a></p>'
    ),
    "![a *b*](https://c.example/d.png 't')": (
        f'<p dir="auto"><a class="image-link" href="https://c.example/d.png" title="t" {LINK}>a b</a></p>'
    ),
    "![](https://c.example/d.png)": (
        f'<p dir="auto"><a class="image-link" href="https://c.example/d.png" {LINK}>https://c.example/d.png</a></p>'
    ),
    "[![a](http://b.example)](http://c.example)": f'<p dir="auto"><a href="http://c.example" {LINK}>a</a></p>',
    "[a](docs/b.md) [c](#d) [e](javascript:f)": '<p dir="auto">a (docs/b.md) c e (javascript:f)</p>',
    "[a](http://b:c/ 't') https://b:c/": '<p dir="auto">a https://b:c/</p>',
    "![a](b.png) ![](c.png)": '<p dir="auto">a (b.png) c.png</p>',
    "a[^1]\n\n[^1]: b": (
        '<p dir="auto">a<sup class="footnote-mark"><a href="#fn-1">1</a></sup></p>'
        '<div class="footnote" id="fn-1"><span class="footnote-label">1</span><p dir="auto">b</p></div>'
    ),
    "a[^1]": '<p dir="auto">a[^1]</p>',
    "a <b>c</b> <br> <!-- d -->": '<p dir="auto">a &lt;b&gt;c&lt;/b&gt; <br> &lt;!-- d --&gt;</p>',
    "<div>\n*a*\n</div>\n\n*b*": '<p dir="auto">&lt;div&gt;<br>*a*<br>&lt;/div&gt;</p><p dir="auto"><em>b</em></p>',
    "`<b>` &lt;b&gt; \\<b>": '<p dir="auto"><code dir="ltr">&lt;b&gt;</code> &lt;b&gt; &lt;b&gt;</p>',
    "$x$ is $5 and $10": '<p dir="auto"><span class="formula" dir="ltr"><math><mi>x</mi></math></span> is $5 and $10</p>',
    "$5-$10, US$5)/(US$6)": '<p dir="auto">$5-$10, US$5)/(US$6)</p>',
    "\\$a$ `$b$` \\\\(c\\\\)": '<p dir="auto">$a$ <code dir="ltr">$b$</code> \\(c\\)</p>',
    "\\(x\\) `\\(y\\)`": '<p dir="auto"><span class="formula" dir="ltr"><math><mi>x</mi></math></span> '
    '<code dir="ltr">\\(y\\)</code></p>',
    "\\[\nx\n- y\n\\]": '<p dir="auto"><span class="formula display" dir="ltr"><math display="block">'
    "<mi>x</mi><mo>\u2212</mo><mi>y</mi></math></span></p>",
    "$$\nx % a remark\n+ y\n$$": '<p dir="auto"><span class="formula display" dir="ltr"><math display="block">'
    "<mi>x</mi><mo>+</mo><mi>y</mi></math></span></p>",
    "$\\nonsense{x}$": (
        '<p dir="auto"><span class="formula" dir="ltr">'
        "<math><merror><mtext>\\nonsense</mtext></merror><mi>x</mi></math></span></p>"
    ),
    "$\\left(<x>$": '<p dir="auto"><code class="math-error" dir="ltr">\\left(&lt;x&gt;</code></p>',
    "\\(x\n\ny\\)": '<p dir="auto">(x</p><p dir="auto">y)</p>',
    "": "",
    " \n\t\n": "",
}


@pytest.mark.parametrize(("source", "html"), GOLDEN.items(), ids=lambda text: text[:30])
def test_markdown_becomes_this_html(source: str, html: str) -> None:
    assert render(source) == html


def test_a_code_block_has_its_language_and_a_copy_button() -> None:
    assert render_marked('```python title="x"\na < b\n```') == (
        '<div class="code" dir="ltr" data-language="python"><div class="code-head"><span>python title="x"</span>'
        '<button type="button" class="copy" data-copy>Copy</button></div>'
        '<pre tabindex="0"><code class="language-python">a &lt; b\n</code></pre></div>'
    )


def test_code_without_a_language_is_code_all_the_same() -> None:
    html = (
        '<div class="code" dir="ltr"><div class="code-head"><span></span>'
        '<button type="button" class="copy" data-copy>Copy</button></div><pre tabindex="0"><code>a\n</code></pre></div>'
    )
    assert render("```\na\n```") == html
    assert render("    a\n") == html


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("Python", "python"),
        ("c++", "c++"),
        ("{.js}", "js"),
        ('py title="x"', "py"),
        ('"><x', ""),
        ("\u0440y", ""),
        ("", ""),
    ],
)
def test_the_language_is_a_plain_word(info: str, language: str) -> None:
    assert language_of(info) == language


def test_colours_of_code_are_drawn_apart_and_change_no_character() -> None:
    source = "```python\nreturn '<b>'\n```"
    assert '<span class="h-k">return</span>' in render(source)
    assert "h-k" not in render_marked(source)
    assert _text(render(source)) == _text(render_marked(source))


@pytest.mark.parametrize("info", ["nolanguage", "text", "html+jinja", "console", "json", "diff", "tex", "brainfuck"])
def test_highlighting_changes_no_character(info: str) -> None:
    code = "\n\n  a <b>\t'c' \\ \u00e9 {% x %}\n$ ls\n+ d\n\n"
    assert _code_text(f"```{info}\n{code}```") == code


def test_very_long_code_is_not_highlighted() -> None:
    assert '<span class="h-' not in render("```python\n" + "x = 1\n" * 20_000 + "```")


def test_footnotes_of_two_messages_do_not_meet() -> None:
    html = render('a[^1] b[^\u00e4 "]\n\n[^1]: c\n\n[^\u00e4 "]: d\n\n[^1]: again', prefix="m7-")
    ids = re.findall(r' id="([^"]*)"', html)
    assert ids == ["m7-fn-1", "m7-fn-_e4_20_22"]
    assert re.findall(r'href="#([^"]*)"', html) == ids


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_word_of_a_document_is_lost(name: str) -> None:
    source = DOCUMENTS[name]
    html = render(source)
    shown = [_text(html), *re.findall(r'="([^"]*)"', html)]
    shown += re.findall(r"^\[[^\]^]*\]: .*\n.*\n.*$", source, re.MULTILINE)  # definitions are no text
    shown += re.findall(
        r"&\w+;|</?(?:br|BR|su[bp]|kbd|mark|u|details|summary)\s*/?>|\\(?:begin|end)\{\w+\*?\}|\\[a-z]+|\$\$.*?\$\$|\\\[.*?\\\]",
        source,
        re.DOTALL,
    )  # nor are names of characters
    for word in re.findall(r"[^\W\d_]{2,}", source):
        assert any(word in text for text in shown), word


@pytest.mark.parametrize("name", TEXTS)
def test_every_character_a_person_can_write_survives(name: str) -> None:
    html = render(TEXTS[name])
    assert_harmless(html)
    shown = _text(html)
    for character in TEXTS[name]:
        if character.isprintable() and not character.isascii():
            assert character in shown, f"U+{ord(character):04X}"


def test_nul_and_broken_unicode_are_shown_as_such() -> None:
    assert render("a\x00b\ud800c") == '<p dir="auto">a\ufffdb\ufffdc</p>'
    assert render_plain("a\x00<b>\r\nc\ud800") == "a\ufffd&lt;b&gt;\nc\ufffd"


HOSTILE = {
    "quotes": "> " * 10_000,
    "tight_quotes": ">" * 10_000,
    "brackets": "[" * 200_000,
    "images": "![[" * 66_000,
    "emphasis": "*a **b " * 28_000,
    "ticks": "`a``b```c" * 22_000,
    "dollars": "$a" * 100_000,
    "parentheses": "\\(" * 100_000,
    "double_dollars": "$$ " * 66_000,
    "comments": "<!--" * 50_000,
    "angles": "<" * 200_000,
    "numbers": "1. " * 66_000,
    "deep_lists": "\n".join(" " * i + "- a" for i in range(600)),
    "wide_table": "|a" * 40_000 + "\n" + "|-" * 40_000 + "\n" + "|b" * 100,
    "definitions": "[a]: b\n" * 20_000 + "[a] " * 10_000,
    "footnotes": "[^1]:" * 40_000,
    "fences": "~~~\n" * 50_000,
    "code": "```python\n" + "x = [1, {2: (3)}]\n" * 10_000 + "```",
    "formulas": "$\\frac{a}{b}$ " * 14_000,
    "big_formulas": ("$" + "\\hat " * 1_900 + "x$ ") * 20,
    "deep_formula": "$" + "\\sqrt{" * 1_000 + "x" + "}" * 1_000 + "$",
    "macros": "$\\newcommand{\\x}{\\x\\x}\\x$ " * 500,
    "combining": "e" + "\u0301" * 10_000,
    "long_word": "a" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_sources_cost_little(name: str) -> None:
    started = time.thread_time()
    html = render(HOSTILE[name])
    assert time.thread_time() - started < 2  # about 0.2 s on the slowest machine we know; quadratic ones take minutes
    assert html
    assert _depth(parse(html)) < 200


@pytest.mark.parametrize("source", ["> " * 10_000 + "x", "x" * (MAX_CHARS + 1)], ids=["deep", "long"])
def test_what_no_person_wrote_comes_back_as_its_source(source: str) -> None:
    html = render(source)
    assert html.startswith('<pre tabindex="0" dir="auto">')
    assert _text(html) == source


def test_formulas_are_bounded() -> None:
    assert "math-error" in render("$" + "x" * 10_001 + "$")
    assert render("$x$ " * 250).count("<math>") == 200
    assert "math-error" in render("$" + "\\sqrt{" * 500 + "x" + "}" * 500 + "$")


def test_a_style_of_the_formula_library_becomes_a_class() -> None:
    html = render("$$\\begin{aligned}a&=\\color{red}b\\end{aligned}$$")
    assert 'class="right tight-right"' in html
    assert 'mathcolor="#FF0000"' in html
    assert "style=" not in html.replace("displaystyle=", "")


def test_the_renderer_has_a_version() -> None:
    assert RENDERER_VERSION >= 1


def _text(html: str) -> str:
    def of(element: Element) -> str:
        return "".join(child if isinstance(child, str) else of(child) for child in element.children)

    return of(parse(html))


def _code_text(source: str) -> str:
    (code,) = [element for element in parse(render(source)).all() if element.name == "code"]
    return _text(code.inner())


def _depth(element: Element) -> int:
    return 1 + max((_depth(child) for child in element.elements()), default=0)
