"""What an answer took: figures that say something, or none."""

import pytest

from app.chat.figures import speed
from app.parts import Usage


@pytest.mark.parametrize(
    ("tokens", "first_ms", "duration_ms", "expected"),
    [
        (3, 10, 12, None),
        (1_250_000, 100, 227, None),
        (100, 0, 499, None),
        (100, 0, 500, 200.0),
        (214, 310, 5_230, 43.5),
        (100, None, 5_000, None),
        (None, 0, 5_000, None),
    ],
)
def test_what_came_at_once_has_no_speed(
    tokens: int | None, first_ms: int | None, duration_ms: int, expected: float | None
) -> None:
    assert speed(Usage(5, tokens), first_token_ms=first_ms, duration_ms=duration_ms) == expected
