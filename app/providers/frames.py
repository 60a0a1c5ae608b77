"""Bytes from the network → frames: server-sent events, newline-delimited JSON, one whole JSON text. Pure, incremental, bounded.

Lines are cut at the bytes CR and LF only: `str.splitlines` (and httpx's `aiter_lines`) would also cut at U+2028 and
others, which may stand in a model's text. https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from typing import NamedTuple

from app.providers.lenient import NOT_JSON, find_value

MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_WORDS_BYTES = 2000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FrameTooLarge(ValueError):
    """One frame grew over the limit; nothing after it can be trusted."""


class SseFrame(NamedTuple):
    """One dispatched event. `event` is empty where the server named none; the lines of `data` are joined by LF."""

    event: str
    data: str


class _Lines:
    """Chunks → complete lines without their ends; what is incomplete waits for the next chunk."""

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._pieces: list[bytes] = []
        self._pending_bytes = 0
        self._is_after_cr = False
        self._is_first = True

    @property
    def pending_bytes(self) -> int:
        return self._pending_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._is_after_cr and chunk:
            self._is_after_cr = False
            if chunk[0] == 0x0A:  # the second half of a CRLF that two chunks share
                chunk = chunk[1:]
        if b"\n" not in chunk and b"\r" not in chunk:
            # Kept in pieces: joining at every chunk would make a long line cost the square of its length.
            self._pieces.append(chunk)
            self._pending_bytes += len(chunk)
            return []
        if self._pieces:
            chunk = b"".join((*self._pieces, chunk))
        lines = chunk.splitlines()
        tail = b"" if chunk[-1] in b"\r\n" else lines.pop()
        self._is_after_cr = chunk[-1] == 0x0D
        self._pieces, self._pending_bytes = ([tail], len(tail)) if tail else ([], 0)
        if self._is_first:
            self._is_first = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return lines

    def end(self) -> bytes:
        """The last line, if the stream ended within it."""
        line = b"".join(self._pieces)
        self._pieces, self._pending_bytes = [], 0
        return line.removeprefix(_BYTE_ORDER_MARK) if self._is_first else line


class SseDecoder:
    """`text/event-stream` → frames. Raises `FrameTooLarge`, after the frames before it were handed out."""

    words = ""
    """The first line that is no field and no comment: what a proxy said in place of an answer."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._lines = _Lines(max_frame_bytes)
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = b""
        self._is_too_large = False

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """The frames that this chunk completes. Bytes that are not UTF-8 become U+FFFD."""
        if self._is_too_large:
            raise FrameTooLarge
        frames: list[SseFrame] = []
        for line in self._lines.feed(chunk):
            self._take(line, frames)
        if self._data_bytes + self._lines.pending_bytes > self._lines.max_frame_bytes:
            self._is_too_large = True
        if self._is_too_large and not frames:
            raise FrameTooLarge
        return frames

    def end(self) -> list[SseFrame]:
        """The frame left at the end of the stream. The standard drops it; servers that close after `[DONE]` need it."""
        frames: list[SseFrame] = []
        self._take(self._lines.end(), frames)
        self._take(b"", frames)
        return frames

    def _take(self, line: bytes, frames: list[SseFrame]) -> None:
        if line.startswith(b"data:"):
            self._add(line[6:] if line[5:6] == b" " else line[5:])
        elif not line:
            self._dispatch(frames)
        elif line == b"data":
            self._add(b"")
        elif line.startswith(b"event:"):
            self._event = line[7:] if line[6:7] == b" " else line[6:]
        elif line.startswith(b"{"):  # no field is called so: JSON, behind words that keep a line open
            frames.append(SseFrame("", line.decode("utf-8", "replace")))
        elif not self.words and not line.startswith((b":", b"id", b"retry", b"event")):
            self.words = line[:MAX_WORDS_BYTES].decode("utf-8", "replace")
        # Everything else is a comment, `id`, `retry` or a field that no model server gives a meaning.

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value) + 1
        self._is_too_large |= self._data_bytes > self._lines.max_frame_bytes

    def _dispatch(self, frames: list[SseFrame]) -> None:
        if (self._data or self._event == b"error") and not self._is_too_large:  # an error may have no words
            data = b"\n".join(self._data) if len(self._data) != 1 else self._data[0]
            frames.append(SseFrame(self._event.decode("utf-8", "replace"), data.decode("utf-8", "replace")))
        if not self._is_too_large:
            self._data, self._data_bytes, self._event = [], 0, b""


class NdjsonDecoder:
    """One JSON text a line → the lines. Empty lines mean nothing. Raises `FrameTooLarge` as `SseDecoder` does."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._lines = _Lines(max_frame_bytes)
        self._is_too_large = False

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """The lines that this chunk completes, as frames without an event name."""
        if self._is_too_large:
            raise FrameTooLarge
        frames: list[SseFrame] = []
        for line in self._lines.feed(chunk):
            if len(line) > self._lines.max_frame_bytes:
                self._is_too_large = True
                break
            self._take(line, frames)
        self._is_too_large |= self._lines.pending_bytes > self._lines.max_frame_bytes
        if self._is_too_large and not frames:
            raise FrameTooLarge
        return frames

    def end(self) -> list[SseFrame]:
        """The last line, if no line end followed it."""
        frames: list[SseFrame] = []
        self._take(self._lines.end(), frames)
        return frames

    def _take(self, line: bytes, frames: list[SseFrame]) -> None:
        if line and not line.isspace():
            frames.append(SseFrame("", line.decode("utf-8", "replace")))


class WebPage(ValueError):
    """The body begins as HTML or XML does, which no model server speaks."""


class BodyDecoder:
    """The body of an answer → frames, whatever its Content-Type says of it: its first byte that is not blank decides.

    JSON begins with a bracket or a quote; all else is read as events. Raises `FrameTooLarge` and `WebPage`.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._decoder: SseDecoder | JsonDecoder | None = None
        self._mark = b""

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """The frames that this chunk completes."""
        if self._decoder is None:
            chunk = (self._mark + chunk).lstrip()
            if _BYTE_ORDER_MARK.startswith(chunk):  # perhaps only a part of it
                self._mark = chunk
                return []
            chunk, self._mark = chunk.removeprefix(_BYTE_ORDER_MARK).lstrip(), b""
            if not chunk:
                return []
            self._decoder = self._choose(chunk[0])
        return self._decoder.feed(chunk)

    @property
    def words(self) -> str:
        """`SseDecoder.words`."""
        return self._decoder.words if isinstance(self._decoder, SseDecoder) else ""

    def end(self) -> list[SseFrame]:
        """The frame left at the end of the body."""
        return self._decoder.end() if self._decoder else []

    def _choose(self, first: int) -> "SseDecoder | JsonDecoder":
        if first == 0x3C:  # <
            raise WebPage
        return JsonDecoder(self._max_frame_bytes) if first in b'{["' else SseDecoder(self._max_frame_bytes)


class JsonDecoder:
    """JSON → frames: one text a line, as in NDJSON; where the first line is not a whole text, all of the body is one."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._lines = NdjsonDecoder(max_frame_bytes)
        self._is_one_text: bool | None = None
        self._text: list[str] = []
        self._text_chars = 0

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """The lines that this chunk completes, as frames without an event name."""
        return self._take(self._lines.feed(chunk))

    def end(self) -> list[SseFrame]:
        """The last line, or all of the body where it is one text."""
        frames = self._take(self._lines.end())
        return [SseFrame("", "\n".join(self._text))] if self._text else frames

    def _take(self, frames: list[SseFrame]) -> list[SseFrame]:
        if frames and self._is_one_text is None:
            self._is_one_text = find_value(frames[0].data) is NOT_JSON
        if not self._is_one_text:
            return [SseFrame("", frame.data.removeprefix("data:")) for frame in frames]
        self._text += [frame.data for frame in frames]
        self._text_chars += sum(len(frame.data) + 1 for frame in frames)
        if self._text_chars > self._max_frame_bytes:
            raise FrameTooLarge
        return []
