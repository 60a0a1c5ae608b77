"""What is counted for Prometheus, and how it is written (text format 0.0.4). Each process counts what ended in it.

Counted once per answer, never per token. A writer of our own: docs/decisions says why.
"""

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.parts import Usage

#: Upper bounds of the buckets, in seconds.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


class Counter:
    """Only grows. One number for each set of values of its labels."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self._head = (name, help_text, "counter")
        self._labels = labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *values: str, amount: float = 1) -> None:
        """Count. `values` belong to the labels, in order."""
        self._values[values] = self._values.get(values, 0) + amount

    def lines(self) -> Iterator[str]:
        """Its text."""
        return family(*self._head, [(dict(zip(self._labels, v, strict=True)), n) for v, n in self._values.items()])


class Histogram:
    """How many observations were at most so large, for each bound."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        self._name, self._help = name, help_text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        """One more."""
        self._counts[bisect.bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def lines(self) -> Iterator[str]:
        """Its text: each bucket holds those before it too."""
        yield from _head(self._name, self._help, "histogram")
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            yield _sample(f"{self._name}_bucket", {"le": _number(bound)}, total)
        yield _sample(f"{self._name}_sum", {}, self._sum)
        yield _sample(f"{self._name}_count", {}, total)


ANSWERS = Counter("parley_generations_total", "Answers that ended in this process.", "status")
TOKENS = Counter(
    "parley_tokens_total",
    "Tokens of those answers and of titles, estimated where the server does not say.",
    "direction",
)
ERRORS = Counter(
    "parley_provider_errors_total", "Calls of models that failed, by provider.", "provider", "kind", "id", "code"
)
RETRIES = Counter(
    "parley_retries_total", "Calls that were made again, of the same model.", "provider", "kind", "id", "model"
)
FIRST_TOKEN = Histogram("parley_first_token_seconds", "From the question to the first token of its answer.", SECONDS)
DURATION = Histogram("parley_generation_seconds", "From the question to the end of its answer.", SECONDS)
PER_TOKEN = Histogram("parley_token_seconds", "Between tokens: the mean of each answer.", TOKEN_SECONDS)

COUNTED: tuple[Counter | Histogram, ...] = (ANSWERS, TOKENS, ERRORS, RETRIES, FIRST_TOKEN, DURATION, PER_TOKEN)


def note_end(
    *, status: str, usage: Usage, attempts: Sequence[Mapping[str, Any]], first_token_ms: int | None, duration_ms: int,
) -> None:  # fmt: skip
    """An answer has ended. `attempts` as `Ending` keeps them; a call of the next model is none that was made again."""
    ANSWERS.add(status)
    _count_tokens(usage)
    for number, attempt in enumerate(attempts):
        provider = _provider(attempt)
        if attempt["error"] not in ("", "stopped", "interrupted"):
            ERRORS.add(*provider, attempt["error"])
        if number and all(attempt.get(name) == attempts[number - 1].get(name) for name in ("provider_id", "model")):
            RETRIES.add(*provider, attempt["model"])
    DURATION.observe(duration_ms / 1000)
    if first_token_ms is not None:
        FIRST_TOKEN.observe(first_token_ms / 1000)
        if usage.output_tokens and usage.output_tokens > 1:
            PER_TOKEN.observe((duration_ms - first_token_ms) / 1000 / (usage.output_tokens - 1))


def note_naming(*, usage: Usage, attempt: Mapping[str, Any]) -> None:
    """A thread was named, or could not be: the call counts as those for answers do."""
    _count_tokens(usage)
    if attempt["error"]:
        ERRORS.add(*_provider(attempt), attempt["error"])


def _provider(attempt: Mapping[str, Any]) -> tuple[str, str, str]:
    return attempt["provider"], attempt.get("kind", ""), attempt.get("provider_id", "")


def _count_tokens(usage: Usage) -> None:
    TOKENS.add("in", amount=usage.input_tokens or 0)
    TOKENS.add("out", amount=usage.output_tokens or 0)
    TOKENS.add("cached", amount=usage.cached_tokens or 0)


def family(name: str, help_text: str, kind: str, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of one metric; `kind` is counter or gauge."""
    yield from _head(name, help_text, kind)
    for labels, value in samples:
        yield _sample(name, labels, value)


def _head(name: str, help_text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Labels, value: float) -> str:
    within = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    return f"{name}{{{within}}} {_number(value)}" if within else f"{name} {_number(value)}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
