"""How fast a person may send."""

import uuid

import pytest

from app.chat import pace as pace_module
from app.chat.pace import Pace
from app.errors import TooManyRequests


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_minutes_worth_may_be_sent_at_once_and_then_it_comes_back_evenly() -> None:
    clock = Clock()
    pace, alice = Pace(clock), uuid.uuid4()
    for _ in range(30):
        pace.take(alice, per_minute=30)
    with pytest.raises(TooManyRequests, match=r"at most 30 in a minute can be sent. Wait 2 s") as refused:
        pace.take(alice, per_minute=30)
    assert refused.value.retry_after_seconds == pytest.approx(2)
    clock.seconds += 1.5
    with pytest.raises(TooManyRequests) as refused:
        pace.take(alice, per_minute=30)
    assert refused.value.retry_after_seconds == pytest.approx(0.5)
    clock.seconds += 0.5
    pace.take(alice, per_minute=30)
    clock.seconds += 3600
    for _ in range(30):
        pace.take(alice, per_minute=30)
    with pytest.raises(TooManyRequests):
        pace.take(alice, per_minute=30)


def test_everybody_is_counted_apart_and_zero_is_no_limit() -> None:
    pace = Pace(Clock())
    pace.take(uuid.UUID(int=1), per_minute=1)
    pace.take(uuid.UUID(int=2), per_minute=1)
    for _ in range(1_000):
        pace.take(uuid.UUID(int=1), per_minute=0)
    with pytest.raises(TooManyRequests):
        pace.take(uuid.UUID(int=1), per_minute=1)


def test_who_has_not_sent_for_a_minute_is_forgotten_when_there_are_many() -> None:
    clock = Clock()
    pace = Pace(clock)
    for number in range(pace_module.MOST_PEOPLE):
        pace.take(uuid.UUID(int=number), per_minute=1)
    clock.seconds += 61
    pace.take(uuid.UUID(int=1 << 64), per_minute=1)
    assert len(pace._left) == 1
