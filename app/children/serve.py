"""The child's side of a pool: confine this process, then answer one request after the other until the input ends."""

import os
from collections.abc import Callable
from typing import BinaryIO, NoReturn

from app.children.confine import Limits, allow_seconds, confine
from app.children.frames import HEADER, frame

#: Per request; the pool looks at the clock on the wall as well.
CPU_SECONDS = 2.0


def serve(
    answer: Callable[[bytes], bytes], *, limits: Limits | None = None, cpu_seconds: float = CPU_SECONDS
) -> NoReturn:
    """Answer requests. An exception in `answer` ends the process, as a crash would: the pool starts another."""
    requests, answers = _channel()
    confine(limits or Limits())
    code = 1
    try:
        _write(answers, frame(0, b""))  # ready
        while header := requests.read(HEADER.size):
            number, length = HEADER.unpack(header)
            request = requests.read(length)
            allow_seconds(cpu_seconds)
            _write(answers, frame(number, answer(request)))
        code = 0
    finally:
        os._exit(code)  # not the interpreter's long farewell


def _write(answers: BinaryIO, body: bytes) -> None:
    answers.write(body)
    answers.flush()


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """The pool's end, moved out of reach of whatever a library prints: that would be taken for an answer."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # a trace may quote what a person wrote
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return requests, answers
