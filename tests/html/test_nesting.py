"""Formulas that nest: what math-core cannot read on its stack is not given to it."""

import subprocess
import sys

import pytest

from app.html.bounds import most_formula_bytes
from app.html.mathml import MAX_FORMULA_CHARS, formula
from app.html.nesting import MAX_COMMANDS, MAX_GROUPS, is_shallow

#: What nests, as the beginning and the end of one level.
LEVELS = {
    "groups": ("{", "}"),
    "superscripts": ("^{", "}"),
    "subscripts": ("_{", "}"),
    "roots": ("\\sqrt{", "}"),
    "roots of a degree": ("\\sqrt[", "]x"),
    "bare roots": ("\\sqrt", ""),
    "fractions": ("\\frac{1}{", "}"),
    "bare fractions": ("\\frac1", ""),
    "continued fractions": ("\\cfrac{1}{1+", "}"),
    "fractions with over": ("{a\\over ", "}"),
    "accents": ("\\hat{", "}"),
    "bare accents": ("\\hat", ""),
    "negations": ("\\not", ""),
    "brackets": ("\\left(", "\\right)"),
    "matrices": ("\\begin{matrix}", "\\end{matrix}"),
    "cells": ("\\begin{array}{c}a&", "\\end{array}"),
    "alphabets": ("\\mathbf{", "}"),
    "bare alphabets": ("\\bm", ""),
    "oversets": ("\\overset{a}", ""),
    "oversets of groups": ("\\overset{a}{", "}"),
    "bounds of sums": ("\\sum_", ""),
    "colours": ("\\color{red}", ""),
    "styles": ("\\displaystyle", ""),
    "arrows": ("\\xrightarrow{", "}"),
    "begin group": ("\\begingroup", "\\endgroup"),
    "unknown commands": ("\\nobody{", "}"),
    "formulas in text": ("\\text{$", "$}"),
    "chemistry": ("\\ce{", "}"),
    "definitions": ("\\newcommand{\\a}{", "}"),
    "recursion": ("\\def\\a{{{{{{{{\\a}}}}}}}}\\a", ""),
    "arguments": ("\\newcommand{\\a}[1]{{{{{{#1}}}}}}" + "\\a{" * 90 + "x" + "}" * 90, ""),
}

_READ_ALL = """
import sys
from app.html.mathml import MAX_FORMULA_CHARS, formula
for opening, closing in eval(sys.argv[1]):
    size = len(opening) + len(closing)
    for chars in (100, 500, 2_000, MAX_FORMULA_CHARS - size):
        depth = max(1, chars // size)
        for source in (opening * depth + "x" + closing * depth, (opening * depth)[:chars]):
            assert formula(source, True)
"""


def test_no_nesting_ends_the_process() -> None:
    """In a process of its own, which a lost limit would end by a signal."""
    ended = subprocess.run([sys.executable, "-c", _READ_ALL, repr(list(LEVELS.values()))], check=False, timeout=240)
    assert ended.returncode == 0


@pytest.mark.parametrize("name", ["groups", "superscripts", "roots", "bare roots", "brackets", "matrices", "oversets"])
def test_deep_nesting_is_shown_as_its_source(name: str) -> None:
    opening, closing = LEVELS[name]
    depth = (MAX_FORMULA_CHARS - 1) // len(opening + closing)
    assert depth > MAX_GROUPS
    assert "math-error" in formula(opening * depth + "x" + closing * depth, True)
    assert "<math" in formula(opening * 9 + "x" + closing * 9, True)


def test_levels_are_counted_and_neighbours_are_not() -> None:
    assert is_shallow("{" * MAX_GROUPS + "}" * MAX_GROUPS)
    assert not is_shallow("{" * (MAX_GROUPS + 1))
    assert is_shallow("{x}" * 3_000)
    assert is_shallow("{\\sqrt x}" * 1_000)
    assert is_shallow("\\sqrt" * MAX_COMMANDS)
    assert not is_shallow("\\sqrt" * (MAX_COMMANDS + 1))
    assert is_shallow("\\{" * 3_000)
    assert not is_shallow("{\\left(}\\right)")


def test_definitions_keep_their_use_and_their_measure() -> None:
    assert "math-error" not in formula(r"\newcommand{\field}{\mathbb{R}} x \in \field, y \in \field", False)
    squares = r"\newcommand{\a}[1]{" + "#1" * 2_000 + r"}\a{" + "x" * 5_000 + "}"  # 100 MB of MathML
    assert "math-error" in formula(squares, False)
    small = r"\newcommand{\a}[1]{" + "#1" * 100 + r"}\a{" + "x" * 200 + "}"
    assert "math-error" in formula(small, False)


def test_a_formula_becomes_a_bounded_text() -> None:
    columns = r"\begin{array}{" + "|" * 9_000 + "c}a\\end{array}"
    assert "math-error" in formula(columns, True)
    for source in ("x", "x^2", r"\sum_{i=0}^n x_i^2", r"f'(x)", r"\begin{pmatrix}1&0\\0&1\end{pmatrix}"):
        for times in (1, 50):
            assert "<math" in formula(source + f" + {source}" * times, True)
    assert most_formula_bytes("x") < 400


@pytest.mark.parametrize("length", ["999em", "1e9em", "9999999999999em", "100000pt"])
def test_a_formula_leaves_the_page_where_it_is(length: str) -> None:
    assert "math-error" in formula(rf"a\hspace{{{length}}}b", True)
    assert "<mspace" in formula(r"a\hspace{2em}b", True)
    assert "math-error" in formula(rf"\raisebox{{{length}}}{{a}}", True)
