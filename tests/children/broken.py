"""The renderer, with faults where a text asks for one (`[[raise]]`, `[[hang]]`, …): a program for `RENDERERS`."""

import contextlib
import ctypes
import os
import signal
import stat
import time
from collections.abc import Callable

from app.html import renderer
from app.html.render_requests import DrawPieces, decode_request


def raises() -> None:
    raise RuntimeError("as a test asked")


def hangs() -> None:
    time.sleep(3600)


def hangs_with_the_lock() -> None:
    """As a regex does, or a native library: no other thread of Python's runs, no signal is seen."""
    ctypes.PyDLL(None).sleep(3600)


def burns() -> None:
    while True:
        pass


def eats_memory() -> None:
    held: list[bytearray] = []
    while True:
        held.append(bytearray(10_000_000))


def crashes() -> None:
    ctypes.string_at(0)


def leaves() -> None:
    os._exit(0)


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def writes_nonsense() -> None:
    os.write(channels()[-1], b"nonsense" * 10)
    hangs()


def writes_an_endless_answer() -> None:
    os.write(channels()[-1], b"\x00\x00\x00\x01\xff\xff\xff\xff")
    hangs()


def closes_its_channel() -> None:
    for channel in channels():
        os.close(channel)
    hangs()


def prints() -> None:
    """Harmless: nothing that a library prints may be taken for an answer."""
    print("noise" * 1000, flush=True)
    os.write(1, b"noise" * 1000)
    os.write(2, b"noise" * 1000)


def channels() -> list[int]:
    """The descriptors that lead to the pool."""
    found = []
    for descriptor in range(3, 32):
        with contextlib.suppress(OSError):
            found += [descriptor] if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else []
    return found


DEADLY: dict[str, Callable[[], None]] = {
    "raise": raises,
    "hang": hangs,
    "hold": hangs_with_the_lock,
    "burn": burns,
    "eat": eats_memory,
    "abort": os.abort,
    "crash": crashes,
    "leave": leaves,
    "killed": is_killed,
    "nonsense": writes_nonsense,
    "endless": writes_an_endless_answer,
    "close": closes_its_channel,
}
FAULTS = {**DEADLY, "print": prints}


def answer(body: bytes) -> bytes:
    """The renderer's answer, unless a marker stands in the request: `[[crash]]` in any, `[[piece crash]]` in its pieces."""
    kinds = ("", "piece ") if isinstance(decode_request(body), DrawPieces) else ("",)
    for name, fault in FAULTS.items():
        if any(f"[[{kind}{name}]]".encode() in body for kind in kinds):
            fault()
    return renderer.answer(body)


if __name__ == "__main__":
    renderer.main(answer)
