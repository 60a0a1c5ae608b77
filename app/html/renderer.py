"""The program of a child that renders: `python -m app.html.renderer`, asked by `offload.py`.

All that it may need is imported before it gives up its privileges: its files may be closed to it afterwards.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from app.children.serve import serve
from app.html.stream import render_parts
from app.parts import Part, TextPart


class WholeMessage(msgspec.Struct, frozen=True, tag="message"):
    """The body of a final message, in the source language."""

    parts: Sequence[Part]
    dom: str


_decoder: Final = msgspec.msgpack.Decoder(WholeMessage)


def answer(request: bytes) -> bytes:
    """One encoded request → its encoded answer."""
    asked = _decoder.decode(request)
    return msgspec.msgpack.encode(render_parts(asked.parts, dom=asked.dom))


def main(answering: Callable[[bytes], bytes] = answer) -> None:
    """Answer until the pool goes away."""
    render_parts([TextPart("$x$\n\n```python\npass\n```")], dom="a")
    serve(answering)


if __name__ == "__main__":
    main()
