"""Limits how many streaming responses one person may have open: one for each page that updates live."""

import contextlib
import uuid
from collections import Counter
from collections.abc import Iterator

from app.errors import TooManyRequests
from app.words import gettext as _

#: Per person and process. Each tab opens one; each costs memory, and work with every change.
MOST = 100
#: When a refused page tries again.
RETRY_SECONDS = 30


class OpenStreams:
    """Counts open streams by person."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: Counter[uuid.UUID] = Counter()

    def open_of(self, person: uuid.UUID) -> int:
        """Number of open streams of this person."""
        return self._open[person]

    @contextlib.contextmanager
    def count(self, person: uuid.UUID) -> Iterator[None]:
        """Counts one stream until the end of the block. Raises `TooManyRequests`."""
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
