"""A dictionary of HTML that forgets what was not used for longest."""

from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)


class Remembered(Generic[_Key]):
    """Holds at most so many characters of HTML."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._held: dict[_Key, str] = {}  # the last used at the end
        self.clear()

    def clear(self) -> None:
        self._held.clear()
        self._left = self._max_chars

    def find(self, key: _Key) -> str | None:
        if key not in self._held:
            return None
        self._held[key] = self._held.pop(key)
        return self._held[key]

    def keep(self, key: _Key, html: str) -> None:
        self._left += len(self._held.pop(key, "")) - len(html)
        self._held[key] = html
        while self._left < 0:
            self._left += len(self._held.pop(next(iter(self._held))))
