"""Models that think aloud inside `<think>…</think>` at the beginning of their text: told apart while it streams."""

from typing import Literal

from app.parts import ReasoningDelta, TextDelta

_OPEN = "<think>"
_CLOSE = "</think>"
_MAX_LEADING_SPACE = 64  # an endless run of blanks is text, not a tag to wait for


class ThinkSplitter:
    """Pieces of text → reasoning and text deltas, the same however the text was cut into pieces.

    Only a tag at the very beginning counts: a later one is the model speaking about tags. White space before and after
    the opening tag and after the closing one belongs to the tags and is dropped.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_blank = True
        self._state: Literal["start", "thinking", "text"] = "start"

    def feed(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """What can be told by now; a piece that may yet become a tag is held back."""
        if self._state == "text" and not self._is_blank:
            return [TextDelta(text)] if text else []
        self._held += text
        if self._state == "start":
            self._look_for_opening()
        deltas: list[TextDelta | ReasoningDelta] = []
        if self._state == "thinking":
            deltas += self._thought()
        if self._state == "text" and (said := self._take(len(self._held))):
            deltas.append(TextDelta(said))
        return deltas

    def end(self) -> list[TextDelta | ReasoningDelta]:
        """What was held back, now that nothing follows."""
        held = self._take(len(self._held))
        if not held:
            return []
        return [ReasoningDelta(held)] if self._state == "thinking" else [TextDelta(held)]

    def _look_for_opening(self) -> None:
        stripped = self._held.lstrip()
        if len(self._held) - len(stripped) > _MAX_LEADING_SPACE:
            self._state, self._is_blank = "text", False
        elif stripped.startswith(_OPEN):
            self._state, self._held = "thinking", stripped[len(_OPEN) :]
        elif not _OPEN.startswith(stripped):
            self._state, self._is_blank = "text", False

    def _thought(self) -> list[ReasoningDelta]:
        closing = self._held.find(_CLOSE)
        thought = self._take(closing if closing >= 0 else len(self._held) - self._partial_closing())
        if closing >= 0:
            self._held = self._held[len(_CLOSE) :]
            self._state, self._is_blank = "text", True
        return [ReasoningDelta(thought)] if thought else []

    def _partial_closing(self) -> int:
        """How many characters at the end may be the beginning of a closing tag."""
        sizes = range(min(len(_CLOSE) - 1, len(self._held)), 0, -1)
        return next((size for size in sizes if self._held.endswith(_CLOSE[:size])), 0)

    def _take(self, size: int) -> str:
        """The first `size` held characters, without the blanks that follow a tag."""
        taken, self._held = self._held[:size], self._held[size:]
        if self._is_blank and self._state != "start":
            taken = taken.lstrip()
            self._is_blank = not taken
        return taken
