"""What servers do with a connection once they have answered on it. None of them says so beforehand."""

import asyncio
import enum
import socket
import struct

from tests.scripted.request import Request


class Manners(enum.Enum):
    """`REFUSES`: as Node does after a request with `Connection: close`, whatever it answered about the connection itself."""

    KEEPS = "keeps it"
    REFUSES = "answers 400 where close was asked for"
    HANGS_UP = "hangs up on the second request"
    RESETS = "resets at the second request"
    BREAKS_OFF = "breaks off in the second status line"
    RESETS_LATE = "resets in the second status line"
    CLOSES_SOON = "closes 50 ms after its answer"
    TIMES_OUT = "says 408 after its answer and closes later"


_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def refuse_next(manners: Manners, before: Request, writer: asyncio.StreamWriter) -> bool:
    """What is done about a request that follows another on its connection. Whether that was all."""
    match manners:
        case Manners.REFUSES if before.headers.get("connection", "").lower() == "close":
            writer.write(_REFUSAL)
        case Manners.HANGS_UP:
            pass
        case Manners.BREAKS_OFF:
            writer.write(b"HTTP/1.1 2")
        case Manners.RESETS | Manners.RESETS_LATE:
            if manners is Manners.RESETS_LATE:
                writer.write(b"HTTP/1.1 2")
                await asyncio.sleep(0.1)  # a reset takes along what its receiver has not read yet
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        case _:
            return False
    writer.close()
    return True


def leave_later(manners: Manners, writer: asyncio.StreamWriter) -> None:
    """What is done about a connection after an answer, while nobody asks."""
    call_later = asyncio.get_running_loop().call_later
    if manners is Manners.CLOSES_SOON:
        call_later(0.05, writer.close)
    if manners is Manners.TIMES_OUT:
        call_later(0.05, writer.write, _TIMEOUT)
        call_later(0.1, writer.close)
