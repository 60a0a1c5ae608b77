"""Every regex takes steps in proportion to its text, whatever the text: see docs/decisions/0054-linear-regexes.md."""

import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import app
from app import last_words
from app.providers import PROVIDERS, completions
from tests.regexes.attacks import attacks
from tests.regexes.growth import ends, is_linear
from tests.regexes.inventory import SOURCES, Regex, all_regexes, name_of, unreadable
from tests.regexes.steps import MAX_COUNTED, Matcher

FENCE_MARKS = ("```", "~~~", "`" * 30)
#: Patterns that are put together when they run, and what they come to.
PUT_TOGETHER = {
    ("app/chat/address_guesses.py", "f'(?:{pattern})$'"): [
        rf"(?:{kind.endpoints})$" for kind in PROVIDERS.values() if kind.endpoints
    ],
    ("app/html/fence.py", r"f' {{0,3}}{mark[0]}*[ \\t]*'"): [rf" {{0,3}}{mark[0]}*[ \t]*" for mark in FENCE_MARKS],
    ("app/html/fence.py", r"f' {{0,3}}{mark[0]}{{{len(mark)},}}[ \\t]*'"): [
        rf" {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*" for mark in FENCE_MARKS
    ],
    ("app/last_words.py", "pattern"): [*last_words._WAYS],
    ("app/providers/amendments.py", r"f'\\b{name}\\b'"): [rf"\b{name}\b" for name in completions._CAN_BE_LEFT_OUT],
}
METHODS = {"app/html/fence.py": frozenset({"fullmatch"})}
REGEXES = [
    *all_regexes(),
    *(
        Regex(f"{file}:{source}", re.compile(pattern), METHODS.get(file, frozenset({"search"})))
        for (file, source), patterns in PUT_TOGETHER.items()
        for pattern in patterns
    ),
]
#: n, in characters: 4n is still short enough for `make test`.
SIZE = 24
MOST_ATTACKS = 90


@pytest.mark.parametrize("regex", REGEXES, ids=lambda regex: regex.place)
def test_a_regex_takes_twice_the_steps_for_twice_the_text(regex: Regex) -> None:
    tried = attacks(regex.pattern)[:MOST_ATTACKS]
    assert not [attack for attack in tried if not is_linear(regex, attack, SIZE)]


@pytest.mark.parametrize("regex", REGEXES, ids=lambda regex: regex.place)
def test_the_counter_finds_what_re_finds(regex: Regex) -> None:
    """Or its steps would be those of another regex. A text this short reaches no bound that the counter leaves out."""
    matcher = Matcher(regex.pattern)
    for attack in attacks(regex.pattern)[::8]:
        text = attack.text(2)[:MAX_COUNTED]
        assert ends(regex.pattern, text) == [matcher.match(text, at) for at in range(len(text))], attack


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(?:a|a)*b",
        r"(?:\\\\|\\.|[^'\\])*'",
        r"\s+$",
        r"a.*b.*c",
        r"<!--.*?-->",
        r"[\w.]+@",
        r"<(b)>.*?</\1>",
        r"y{0,900}z",
        r"^[ \t>\d.)*+-]*\|?[ \t]*:?-+:?[ \t]*(?:\||$)",
    ],
)
def test_a_regex_that_is_not_linear_is_found(pattern: str) -> None:
    regex = Regex("", re.compile(pattern, re.DOTALL), frozenset({"search"}))
    assert [attack for attack in attacks(regex.pattern)[:MOST_ATTACKS] if not is_linear(regex, attack, SIZE)]


@pytest.mark.parametrize("pattern", [r"(?<!a)(?>a+)b", r"(?<!\s)\s++$", r"<[^<>]*+>", r"\w+", r"a|b|c"])
def test_a_linear_regex_passes(pattern: str) -> None:
    regex = Regex("", re.compile(pattern), frozenset({"search"}))
    assert all(is_linear(regex, attack, SIZE) for attack in attacks(regex.pattern))


def test_every_compiled_regex_is_tested() -> None:
    tested = {(regex.pattern.pattern, regex.pattern.flags) for regex in REGEXES}
    compiled = [(module.__name__, each) for module in modules() for each in patterns_in(module, module.__name__)]
    assert len(compiled) > 100
    assert not [each for each in compiled if (each[1].pattern, each[1].flags) not in tested]


def test_no_regex_is_put_together_unseen() -> None:
    assert {*unreadable()} == {*PUT_TOGETHER}
    assert all(PUT_TOGETHER.values())


def test_re_is_called_by_its_name() -> None:
    """`from re import search` would hide a regex from the inventory."""
    hidden = re.compile(r"^\s*(?:from re import|import re as|import regex\b)", re.MULTILINE)
    assert not [name_of(path) for path in SOURCES if hidden.search(path.read_text())]


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(app.__path__, "app."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns_in(owner: object, module: str, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    """In a module, its classes, and what is held in tuples, lists, sets and dicts."""
    match owner:
        case re.Pattern():
            yield owner
        case dict():
            inner = itertools.chain(owner.keys(), owner.values())
        case tuple() | list() | set() | frozenset():
            inner = iter(owner)
        case ModuleType() if owner.__name__ == module:
            inner = iter(vars(owner).values())
        case type() if owner.__module__ == module:
            inner = iter(vars(owner).values())
        case _:
            return
    if not isinstance(owner, re.Pattern) and depth < 4:
        for each in inner:
            yield from patterns_in(each, module, depth + 1)
