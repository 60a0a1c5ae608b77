"""Formulas as models write them: numbers, chemistry, environments, commands that nobody knows, brackets without an end."""

import time

import pytest

from app.html.markdown import render
from tests.html.judge import assert_harmless
from tests.html.page import Element, parse


@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        (r"x = 1 \tag{2}", "(2)"),
        (r"x \tag*{*}", "*"),
        (r"x \label{eq:1}", "x"),
        (r"\eqref{eq:1}", "(eq:1)"),
        (r"\ref{eq_1}", "eq_1"),
        (r"x \nonumber", "x"),
        (r"\unknown{x} + y", r"\unknown"),
        (r"\SI{5}{\meter}", r"\meter"),
        (r"\ce{H2O}", "H2O"),
        (r"\ce{CuSO4.5H2O}", "5H2O"),
        (r"\ce{SO4^2- + Ba^2+ -> BaSO4 v}", "↓"),
        (r"\ce{A <=> B}", "⇌"),
        (r"\ce{CH3-CH=CH2}", "CH=CH2"),
        (r"\pu{5 mol L-1}", "mol"),
        (r"\text{num_heads & x}", "num_heads & x"),
        (r"\text{if $x_1$ then}", " then"),
        (r"50% of x", "%"),
        (r"a &= b \\ c &= d", "d"),
        (r"\begin{alignat}{2} a &= b \end{alignat}", "b"),
        (r"\begin{eqnarray} a &=& b \end{eqnarray}", "b"),
        (r"\begin{split} a &= b \end{split}", "b"),
        (r"\begin{nobody} a \end{nobody}", "a"),
        (r"\widetilde{x}", "x"),
    ],
)
def test_one_command_does_not_cost_the_formula(latex: str, shown: str) -> None:
    for source in (f"${latex}$", f"$${latex}$$", f"\\[{latex}\\]"):
        html = render(source, prefix="x-1-")
        assert "<math" in html
        assert "math-error" not in html
        assert shown in _text(parse(html)).replace("\u00a0", " ")
        assert_harmless(html)


def test_an_equation_has_no_number_that_nobody_gave_it() -> None:
    assert "(1)" not in _text(parse(render("\\begin{align} a &= b \\\\ c &= d \\end{align}")))


@pytest.mark.parametrize(
    "name",
    "align align* equation gather gather* multline alignat eqnarray aligned cases matrix pmatrix bmatrix vmatrix".split(),
)
def test_a_bare_environment_is_a_formula(name: str) -> None:
    argument = "{2}" if name == "alignat" else ""
    source = f"Then\n\\begin{{{name}}}{argument}\n x \\\\\n- y\n\\end{{{name}}}\nholds."
    html = render(source)
    assert html.count('<math display="block">') == 1
    assert "<ul>" not in html
    assert render(f"`{source.splitlines()[1]}`").count("<math") == 0
    assert render(f"${source.splitlines()[1]} x \\end{{{name}}}$").count("<math>") == 1


def test_a_long_formula_within_a_line_can_be_scrolled() -> None:
    assert 'class="formula wide"' in render("$" + " + ".join(f"a_{{{n}}} x^{{{n}}}" for n in range(9)) + "$")
    assert 'class="formula"' in render("$a_0 + b$")


@pytest.mark.parametrize(
    "latex",
    [
        "[a" * 40,
        "(" * 40,
        "\\{a" * 40,
        "\\langle a" * 40,
        "\\newcommand{\\x}{(a}" + "\\x" * 40,
        "\\ce{" + "A->[" * 40 + "}",
    ],
)
def test_brackets_without_an_end_cost_little(latex: str) -> None:
    started = time.thread_time()
    html = render(f"${latex}$")
    assert time.thread_time() - started < 2  # 2^40 steps without the limit
    assert "math-error" in html or "<math" in html
    assert "<math>" in render("$" + "(a) [b] \\{c\\} \\left[0, 1\\right) " * 20 + "x$")


def _text(element: Element) -> str:
    return "".join(child if isinstance(child, str) else _text(child) for child in element.children)
