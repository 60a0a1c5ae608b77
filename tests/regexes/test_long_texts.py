"""The same regexes in `re` itself, on long texts: the corpus, and texts made of each regex. It counts seconds: `make soak`."""

import functools
import re
import time
from typing import Any

import pytest

from tests.corpora.poison import TEXTS
from tests.regexes.attacks import attacks
from tests.regexes.growth import is_linear
from tests.regexes.inventory import Regex
from tests.regexes.test_growth import REGEXES

pytestmark = pytest.mark.soak

SIZES = (4_000, 16_000, 64_000, 256_000)
#: Of processor time, below which a growth says nothing.
LEAST_SECONDS = 0.02
ALL_ATTACKS_SIZE = 96


@pytest.mark.parametrize("regex", REGEXES, ids=lambda regex: regex.place)
def test_every_attack_takes_steps_in_proportion(regex: Regex) -> None:
    assert not [attack for attack in attacks(regex.pattern) if not is_linear(regex, attack, ALL_ATTACKS_SIZE)]


@pytest.mark.parametrize("regex", REGEXES, ids=lambda regex: regex.place)
def test_a_regex_is_done_with_the_corpus_in_time(regex: Regex) -> None:
    for name in TEXTS:
        check(regex, name, corpus(name))


@pytest.mark.parametrize("regex", REGEXES, ids=lambda regex: regex.place)
def test_a_regex_is_done_with_its_own_alphabet_in_time(regex: Regex) -> None:
    for attack in attacks(regex.pattern):
        check(regex, repr(attack), [attack.text(size // len(attack.pump) + 1) for size in SIZES[:3]])


@functools.cache
def corpus(name: str) -> list[str]:
    return [TEXTS[name](size) for size in SIZES]


def check(regex: Regex, name: str, texts: list[str]) -> None:
    """Four times the text takes about four times as long: twelve would be on the way to the square, which is sixteen."""
    before = LEAST_SECONDS
    for text in texts:
        for _ in range(5):  # the collector may have run, or others used the same core
            if (seconds := seconds_for(regex, text)) < 12 * before:
                break
        assert seconds < 12 * before, f"{name}, {len(text)} characters: {seconds:.3f} s after {before:.3f} s"
        before = max(seconds, LEAST_SECONDS)


def seconds_for(regex: Regex, text: str) -> float:
    pattern: re.Pattern[Any] = regex.pattern
    subject = text if isinstance(pattern.pattern, str) else text.encode("utf-8", "replace")
    started = time.process_time()
    if "fullmatch" in regex.methods:
        pattern.fullmatch(subject)
    if regex.is_anchored:
        pattern.match(subject)
    else:
        for _ in pattern.finditer(subject):
            pass
    return time.process_time() - started
