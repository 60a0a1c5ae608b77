"""Counts of tokens as servers give them: what cannot be one is unknown, wherever it stands."""

from typing import Any

from app.parts import Usage

#: No request comes near it, and twenty answers of so many, added up, are still an integer of Postgres.
MOST_COUNTED = 100_000_000


def count_of(value: Any) -> int | None:
    """A count of tokens; None for what is none."""
    return value if type(value) is int and 0 <= value <= MOST_COUNTED else None


def total_of(*values: Any) -> int | None:
    """The sum of counts that a server gives apart, and of which it may leave out some; None where one cannot be."""
    counts = [count_of(value) for value in values if value is not None]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def usage_of(input_tokens: Any, output_tokens: Any, cached_tokens: Any = None) -> Usage | None:
    """What a server says of a call, as it says it; None where that is nothing. Every `Usage` of a server is made here."""
    usage = Usage(count_of(input_tokens), count_of(output_tokens), count_of(cached_tokens))
    return usage if usage != Usage() else None
