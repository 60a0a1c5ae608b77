"""What a scripted answer is made of: steps that are played on a raw socket, one after the other."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Send:
    """Write these bytes as they are."""

    content: bytes


@dataclass(frozen=True)
class Sleep:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Paced:
    """Write one piece after the other, `per_second` of them a second, on a steady clock. A function gives its piece then."""

    pieces: tuple[bytes | Callable[[], bytes], ...]
    per_second: float


@dataclass(frozen=True)
class Repeat:
    """Write the same bytes again and again: `times`, or until the client goes."""

    content: bytes
    times: int | None = None
    every_seconds: float = 0.0


@dataclass(frozen=True)
class Stall:
    """Say nothing more until the client goes."""


@dataclass(frozen=True)
class Wait:
    """Say nothing more until the test sets this event."""

    gate: asyncio.Event


@dataclass(frozen=True)
class Close:
    """Close the connection properly, in the middle of whatever was being said."""


@dataclass(frozen=True)
class Reset:
    """Tear the connection down: the client gets a TCP reset."""


@dataclass(frozen=True)
class Do:
    """Change what the server has, at this point of the answer."""

    act: Callable[[], None]


Step = Send | Sleep | Paced | Repeat | Stall | Wait | Close | Reset | Do
Script = tuple[Step, ...]


def head(status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """The head of an answer. `Transfer_Encoding="chunked"` and the like are given as they are, `_` for `-`."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> Script:
    """A complete answer with its length."""
    return (Send(head(status, content_type, Content_Length=str(len(body)), **headers) + body),)


def chunk(content: bytes) -> bytes:
    """Bytes as one chunk of `Transfer-Encoding: chunked`."""
    return b"%x\r\n%s\r\n" % (len(content), content)


LAST_CHUNK = b"0\r\n\r\n"
