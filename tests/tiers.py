"""The two tiers of tests: `make test` runs a few cases of a long loop on every change, `make soak` runs all of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from _pytest.mark import ParameterSet


def in_tiers(few: Any, many: Any) -> list[Any]:
    """Values of a parameter: how much of a loop `make test` runs, and how much `make soak` runs."""
    return [few, soaked(many)]


def thinned(cases: Iterable[Any], keep: int) -> list[Any]:
    """All cases, of which `make test` runs this many, evenly spread, and `make soak` the others."""
    listed: Sequence[Any] = list(cases)
    kept = {number * len(listed) // keep for number in range(keep)}
    return [case if number in kept else soaked(case) for number, case in enumerate(listed)]


def crossed(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """All pairs, of which `make test` runs as many as show each value once, and `make soak` the others."""
    size = max(len(one), len(other))
    kept = {(number % len(one), number % len(other)) for number in range(size)}
    return [
        (first, second) if (i, j) in kept else soaked((first, second))
        for i, first in enumerate(one)
        for j, second in enumerate(other)
    ]


def soaked(case: Any) -> ParameterSet:
    """A case of `make soak` alone."""
    return (
        pytest.param(*case, marks=pytest.mark.soak)
        if isinstance(case, tuple)
        else pytest.param(case, marks=pytest.mark.soak)
    )
