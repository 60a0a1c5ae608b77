"""How a streamed answer is read: chunks → frames (`frames`) → events (a `Reader`), within limits of time and size.

What no dialect can mean is settled here, once for all of them: empty frames, keep-alives, `[DONE]`, arrays of frames, and
errors in a dress that the dialect does not know.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from app.parts import Delta, Usage
from app.providers import failures
from app.providers.answer_size import AnswerSize, too_large
from app.providers.base import Account, Limits
from app.providers.errors import BadAnswer, ProviderError, TimedOut, Unreachable
from app.providers.frames import BodyDecoder, FrameTooLarge, SseFrame, WebPage
from app.providers.lenient import NOT_JSON, find_value
from app.providers.patience import Patience
from app.providers.reasons import MAX_READ_CHARS, error_in, is_keep_alive
from app.words import gettext as _

E = TypeVar("E")

SECONDS_AFTER_FINISH = 5.0
_ERROR_EVENTS = ("error", "exception", "failed", "failure")
_PING_EVENTS = ("ping", "keepalive", "keep-alive", "keep_alive", "heartbeat")


class Reader(ABC, Generic[E]):
    """Frames of one dialect → events. Pure: it has state and no I/O, so any cut of any stream can be tried on it.

    They are `Event`s where a model answers, and something else where a server says how far it is with other work.
    """

    has_ended = False
    """The end marker came: nothing after it is read."""

    is_complete = False
    """It is certain that the answer ended. Usage may still follow; if the line breaks now, nothing was lost."""

    failure: ProviderError | None = None
    """Why the server ended it without an answer: raised once all that came with that is told."""

    unknown = ""
    """The last frame that the protocol does not know, if nothing of the answer followed it."""

    @abstractmethod
    def read(self, frame: SseFrame) -> Sequence[E] | None:
        """The events of one frame; None where the protocol knows no such frame, or it adds nothing to the answer.

        Raises `ProviderError` for an error event and for what the protocol does not say.
        """

    @abstractmethod
    def end(self) -> Sequence[E]:
        """The last events: what was held back, usage and `Finish`. No `Finish` unless the answer is complete."""

    def is_new(self, value: Any) -> bool:
        """Whether a frame is of a type that was added to a protocol which announces that types are added."""
        return False

    def passes_over(self, value: Any) -> bool:
        """Whether a frame of which `read` makes nothing, and that is no error, says nothing against the answer."""
        return self.is_new(value)

    def done(self) -> None:
        """`[DONE]` came, the end marker of chat completions that proxies put behind other dialects, too."""
        self.has_ended = True

    def close(self) -> None:
        """The body ended as HTTP wants it: where there is no end marker, that confirms a finish reason."""


class AnswerStream(Generic[E]):
    """One opened answer of a server, read as its reader wants it."""

    def __init__(self, account: Account, limits: Limits, response: httpx.Response, reader: Reader[E]) -> None:
        self._account = account
        self._limits = limits
        self._response = response
        self._reader = reader
        self._decoder = BodyDecoder()
        self._chunks = response.aiter_raw()
        self._patience = Patience()
        self._size = AnswerSize(account, limits)

    async def events(self) -> AsyncGenerator[E, None]:
        """The events of the answer. Closes the response, and with it the socket, however it is left.

        Before it raises `ProviderError` it yields what the server had said of usage: what failed was counted, too.
        """
        reader, clock = self._reader, asyncio.get_running_loop().time
        alive_at = clock()
        try:
            chunk = b"."
            while chunk and not reader.has_ended:
                chunk = await self._next_chunk(alive_at)
                for frame in self._frames(chunk):
                    for event in self._read(frame, is_last=not chunk):
                        self._size.add(event)
                        yield event
                        alive_at = clock()  # after it: how long our reader takes is not the server's silence
                    if reader.has_ended:
                        break
            if not reader.has_ended:
                reader.close()
            if reader.failure is not None:
                raise reader.failure
        except ProviderError:
            for event in reader.end():
                if isinstance(event, Usage):
                    yield event
            raise
        else:
            for event in reader.end():
                self._size.add(event)
                yield event
            if not reader.is_complete:
                raise self._incomplete()
        finally:
            self._patience.end()
            await self._response.aclose()

    async def _next_chunk(self, alive_at: float) -> bytes:
        """The next bytes; empty at the end of the stream, or on any failure after the answer is complete."""
        has_begun, is_complete = self._size.bytes > 0, self._reader.is_complete
        seconds = self._limits.between_frames_seconds if has_begun else self._limits.first_token_seconds
        if is_complete:
            seconds = min(seconds, SECONDS_AFTER_FINISH)
        try:
            return await self._patience.wait(anext(self._chunks, b""), alive_at + seconds)
        except TimeoutError:
            if is_complete:
                return b""
            if has_begun:
                sentence = _("%(name)s was silent for %(seconds)s seconds in the middle of its answer.")
            else:
                sentence = _("%(name)s was silent for %(seconds)s seconds instead of answering.")
            raise TimedOut(sentence % {"name": self._account.name, "seconds": f"{seconds:g}"}) from None
        except failures.TRANSPORT_ERRORS:
            if is_complete:
                return b""
            raise self._cut() from None

    def _frames(self, chunk: bytes) -> list[SseFrame]:
        try:
            frames = self._decoder.feed(chunk) if chunk else self._decoder.end()
        except FrameTooLarge:
            raise too_large(self._account) from None
        except WebPage:
            raise failures.web_page(self._account) from None
        if any(frame.data.startswith("[") or "\n" in frame.data for frame in frames):
            return [each for frame in frames for each in _elements(frame)]
        return frames

    def _read(self, frame: SseFrame, *, is_last: bool) -> Sequence[E]:
        is_error = frame.event.lower() in _ERROR_EVENTS
        if frame.event.lower() in _PING_EVENTS or (not is_error and is_keep_alive(frame.data)):
            return ()
        if frame.data.strip().strip('"') == "[DONE]":
            self._reader.done()
            return ()
        try:
            events = self._reader.read(frame)
        except BadAnswer as error:
            return self._unreadable(frame, error, is_last=is_last)
        if events is None or is_error:
            self._doubt(frame, is_error=is_error)
            return ()
        if self._reader.unknown and any(isinstance(event, Delta) for event in events):
            self._reader.unknown = ""
        return events

    def _doubt(self, frame: SseFrame, *, is_error: bool) -> None:
        """Look at a frame of which the reader makes nothing: raises what it is an error of, and remembers it otherwise."""
        value = find_value(frame.data)
        if is_error or error_in(value):
            raise failures.event(self._account, value)
        if not self._reader.passes_over(value):
            self._reader.unknown = frame.data[:MAX_READ_CHARS]

    def _unreadable(self, frame: SseFrame, error: BadAnswer, *, is_last: bool) -> Sequence[E]:
        """A frame that is not JSON, or of another shape. Raises what it means, unless it means nothing."""
        value = find_value(frame.data)
        if frame.event.lower() in _ERROR_EVENTS or error_in(value):
            raise failures.event(self._account, frame.data if value is NOT_JSON else value) from None
        if self._reader.is_complete:
            self._reader.has_ended = True
        elif value is NOT_JSON and not frame.data.lstrip().startswith(("{", "[")):
            raise failures.garbled(self._account, frame.data) from None
        elif value is NOT_JSON and is_last:  # a frame that was cut, not a server that does not know its protocol
            raise self._cut() from None
        elif not self._reader.is_new(value):
            raise error
        return ()

    def _incomplete(self) -> ProviderError:
        if self._reader.unknown:
            return failures.garbled(self._account, self._reader.unknown)
        return self._cut()

    def _cut(self) -> ProviderError:
        """Why an answer ended too early. One cut before its first word is none: it can be asked for again."""
        if (words := self._decoder.words) and not is_keep_alive(words):
            return failures.event(self._account, words)
        if self._size.bytes:
            return failures.cut(self._account)
        sentence = _("%(name)s closed the connection before it answered.")
        return Unreachable(sentence % {"name": self._account.name})


def _elements(frame: SseFrame) -> list[SseFrame]:
    """An array of frames as the frames, and so those that no empty line parts; anything else as it is."""
    value = find_value(frame.data)
    if isinstance(value, list):
        return [SseFrame(frame.event, msgspec.json.encode(each).decode()) for each in value]
    lines = frame.data.split("\n") if value is NOT_JSON else []
    if len(lines) > 1 and all(find_value(line) is not NOT_JSON or line.strip() in ("", "[DONE]") for line in lines):
        return [SseFrame(frame.event, line) for line in lines]
    return [frame]
