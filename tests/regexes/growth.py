"""How the work of a regex grows with its text."""

import functools
import re
from typing import Any

from tests.regexes.attacks import Attack
from tests.regexes.inventory import Regex
from tests.regexes.steps import Matcher, TooManySteps

MOST_STEPS = 300_000


def cost(regex: Regex, text: str, budget: int = MOST_STEPS) -> int:
    """The steps for this text, as the app looks at it: at its beginning, or from every place in it."""
    matcher = _matcher(regex.pattern, budget)
    matcher.steps = 0
    try:
        if regex.is_anchored:
            matcher.match(text, whole="fullmatch" in regex.methods)
        else:
            for _ in matcher.scan(text):
                pass
    except TooManySteps:
        return budget
    return matcher.steps


def is_linear(regex: Regex, attack: Attack, size: int) -> bool:
    """Twice the text takes twice the steps: of n, 2n and 4n, the second half of the last may cost as much as n … 2n, twice."""
    times = 4 * max(1, size // len(attack.pump) // 4)  # two or four pieces may make one match
    small, middle, large = (cost(regex, attack.text(times * factor)) for factor in (1, 2, 4))
    return large < MOST_STEPS and large - middle <= 2.1 * (middle - small) + 60


@functools.lru_cache(maxsize=8)
def _matcher(pattern: re.Pattern[Any], budget: int) -> Matcher:
    return Matcher(pattern, budget)


def ends(pattern: re.Pattern[Any], text: str) -> list[int | None]:
    """Where the match ends that `re` finds at each place of a text; texts for bytes are ASCII."""
    subject = text if isinstance(pattern.pattern, str) else text.encode()
    found = (pattern.match(subject, at) for at in range(len(text)))
    return [each.end() if each else None for each in found]
