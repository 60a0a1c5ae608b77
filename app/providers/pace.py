"""How often a long work says how far it is."""

import time

SECONDS = 0.25


class Pace:
    """`is_due` at most four times a second."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def is_due(self) -> bool:
        """Whether it may be said now; if so, the next time is a while away."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + SECONDS
        return True
