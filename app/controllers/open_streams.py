"""Answers that last as long as a page is open: how many of them one person may have."""

import contextlib
import uuid
from collections import Counter
from collections.abc import Iterator

from app.errors import TooManyRequests
from app.words import gettext as _

#: In one process; a browser opens one for each tab. Each costs memory, and a little work with every change.
MOST = 100
#: When a page that was refused asks again: tabs are closed by hand.
RETRY_SECONDS = 30


class OpenStreams:
    """Who has how many open streams."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: Counter[uuid.UUID] = Counter()

    def open_of(self, person: uuid.UUID) -> int:
        """How many this person has."""
        return self._open[person]

    @contextlib.contextmanager
    def count(self, person: uuid.UUID) -> Iterator[None]:
        """Counts one more until the end of the block. Raises `TooManyRequests`."""
        if self._open[person] >= self._most:
            sentence = _("You have too many pages open. Close a few, and this one will update again.")
            raise TooManyRequests(sentence, retry_after_seconds=RETRY_SECONDS)
        self._open[person] += 1
        try:
            yield
        finally:
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]


OPEN_STREAMS = OpenStreams()
