"""How fast a person may send: so many turns a minute, saved up to a minute's worth, counted in each process for itself."""

import math
import time
import uuid
from collections.abc import Callable

from app.errors import TooManyRequests
from app.words import gettext as _

#: Beyond so many people those who have saved up everything again are forgotten.
MOST_PEOPLE = 10_000


class Pace:
    """What each person may still send. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[uuid.UUID, tuple[float, float]] = {}

    def take(self, user_id: uuid.UUID, *, per_minute: int) -> None:
        """One turn more. 0 a minute: no limit. Raises `TooManyRequests`, which takes nothing."""
        if not per_minute:
            return
        now = self._clock()
        left, since = self._left.get(user_id, (float(per_minute), now))
        left = min(float(per_minute), left + (now - since) * per_minute / 60)
        if left < 1:
            wait = (1 - left) * 60 / per_minute
            sentence = _(
                "That was fast: at most %(count)s in a minute can be sent. Wait %(seconds)s s, then send it again."
            )
            raise TooManyRequests(
                sentence % {"count": f"{per_minute:,}", "seconds": math.ceil(wait)}, retry_after_seconds=wait
            )
        self._left[user_id] = (left - 1, now)
        if len(self._left) > MOST_PEOPLE:
            self._left = {who: (had, at) for who, (had, at) in self._left.items() if now - at < 60}


#: This process's own.
pace = Pace()
