"""What goes between a pool and a child: a number, a length, and so many bytes."""

import struct
from typing import Final

HEADER: Final = struct.Struct(">II")
MAX_FRAME_BYTES: Final = 64_000_000


def frame(number: int, body: bytes) -> bytes:
    """A request, or the answer to it, which carries the same number."""
    return HEADER.pack(number, len(body)) + body
