"""Receives bodies in chunks, within a deadline and at a minimum rate, and counts the bytes that are in flight.

`EarlyAnswer` sends answers that are known before their request has arrived.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from litestar.types import Message, Receive, Send

from app.errors import Malformed, TooMuch, Unavailable
from app.words import gettext as _

#: The limit of a body without a signed-in session.
STRANGERS_BYTES = 65_536
#: The limit of all bodies in flight in one process. One person, and all strangers together, get at most half of it.
MOST_IN_FLIGHT_BYTES = 64 * 1024 * 1024
#: The part of it that only signed-in people's small bodies may use, so that large ones cannot keep their questions out.
RESERVED_BYTES = 8 * 1024 * 1024
#: How much of a request is discarded after an early answer: a browser shows an answer only after it has sent its request.
MOST_DISCARDED_BYTES = 64_000_000


class Disconnected(Malformed):
    """The client went away while sending, so there is no one to answer."""


class BodyTooLarge(TooMuch):
    """The body is larger than its route takes, or than a visitor who is not signed in may send."""


class Deadline(msgspec.Struct, frozen=True):
    """How long a body may take: `grace_seconds`, extended while it arrives at the minimum rate, up to `most_seconds`."""

    most_seconds: float = 60.0
    grace_seconds: float = 10.0
    least_bytes_per_second: int = 1_000

    def allowed_seconds(self, received: int) -> float:
        """For a body of which so many bytes have come."""
        return min(self.most_seconds, self.grace_seconds + received / self.least_bytes_per_second)


class Incoming:
    """The body of one request as it arrives. Only the time spent waiting for the client counts."""

    def __init__(self, receive: Receive, *, most_bytes: int, deadline: Deadline) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._deadline = deadline
        self._waited = 0.0
        self.size = 0
        self.is_whole = False

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises `BodyTooLarge`, `Malformed` (too slow) and `Disconnected`."""
        while not self.is_whole:
            message = await self._next()
            if message["type"] != "http.request":
                raise Disconnected(_("The request ended before it was complete."))
            chunk: bytes = message.get("body", b"")
            self.size += len(chunk)
            self.is_whole = not message.get("more_body", False)
            if self.size > self._most_bytes:
                raise too_large(self._most_bytes)
            if chunk:
                return chunk
        return b""

    async def _next(self) -> Any:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._deadline.allowed_seconds(self.size) - self._waited):
                return await self._receive()
        except TimeoutError as error:
            raise Malformed(_("The request took too long to arrive.")) from error
        finally:
            self._waited += loop.time() - started


class InFlight:
    """The bytes of bodies that this process holds, per person; "" stands for all strangers.

    `most_body_bytes` returns the current limit of one body; there is always room for two of that size.
    """

    def __init__(self, most_body_bytes: Callable[[], int]) -> None:
        self._most_body_bytes = most_body_bytes
        self.held: dict[str, int] = {}
        #: How many oversized forms are being kept for their authors.
        self.keeping = 0

    def has_room(self, whose: str, count: int) -> bool:
        """Whether there is room for so many more bytes. One sender gets at most half, so that others can still send."""
        most = max(MOST_IN_FLIGHT_BYTES, 2 * self._most_body_bytes() + RESERVED_BYTES)
        held = self.held.get(whose, 0) + count
        is_small = whose != "" and held <= STRANGERS_BYTES
        free = most - sum(self.held.values()) - (0 if is_small else RESERVED_BYTES)
        return held <= most // 2 and count <= free


class Hold:
    """The room that one request takes until `with` ends. It grows with the body, or at once by the announced length."""

    def __init__(self, room: InFlight) -> None:
        self._room = room
        self._whose = ""
        self._bytes = 0

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *_error: object) -> None:
        self._add(-self._bytes)

    def belongs_to(self, whose: str) -> None:
        """Count the body as this person's. Raises `Unavailable`."""
        if whose != self._whose:
            count = self._bytes
            self._add(-count)
            self._whose = whose
            self.grow_to(count)

    def grow_to(self, count: int) -> None:
        """Hold this many bytes in total. Raises `Unavailable` if there is no room for them."""
        more = count - self._bytes
        if more <= 0:
            return
        if not self._room.has_room(self._whose, more):
            sentence = _(
                "This instance is receiving too much data right now. Nothing was changed. Try again in a few seconds."
            )
            raise Unavailable(sentence, retry_after_seconds=5)
        self._add(more)

    def _add(self, count: int) -> None:
        held = self._room.held
        self._bytes += count
        held[self._whose] = held.get(self._whose, 0) + count
        if not held[self._whose]:
            del held[self._whose]


class EarlyAnswer:
    """Sends an answer before its request has arrived, discards the rest of the request, then closes the connection.

    If it closed at once, the kernel could drop the answer before the client reads it (RFC 9112 §9.6).
    """

    def __init__(self, receive: Receive, send: Send, *, may_wait: bool, deadline: Deadline | None = None) -> None:
        self._receive = receive
        self._send = send
        #: False if the client waits for "100 Continue" before it sends: then there is nothing to discard.
        self._may_wait = may_wait
        self._deadline = deadline or Deadline(most_seconds=30.0)
        self._is_whole = False

    async def receive(self) -> Any:
        """As the server's; notes the end of the body."""
        message = await self._receive()
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """As the server's. Discards the rest of the request before it ends the answer."""
        if message["type"] == "http.response.start" and not self._is_whole:
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif message["type"] == "http.response.body" and not message.get("more_body", False) and not self._is_whole:
            await self._send({**message, "more_body": True})
            await self._discard()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _discard(self) -> None:
        if not self._may_wait:
            return
        rest = Incoming(self.receive, most_bytes=MOST_DISCARDED_BYTES, deadline=self._deadline)
        with contextlib.suppress(BodyTooLarge, Malformed, Disconnected):
            while await rest.read():
                pass


def length_of(announced: str) -> int:
    """What Content-Length says, 0 if it says nothing. A number too long to be any body's counts as the largest."""
    if not (announced.isascii() and announced.isdigit()):
        return 0
    digits = announced.lstrip("0")
    return int(digits or "0") if len(digits) < 19 else sys.maxsize


def too_large(most_bytes: int) -> BodyTooLarge:
    """The refusal of a body over a limit; names the limit."""
    sentence = _("That is too large: at most %(most)s bytes can be sent at a time.")
    return BodyTooLarge(sentence % {"most": f"{most_bytes:,}"})
