"""The program of a child that renders: `python -m app.html.renderer`, asked by `offload.py`.

All that it may need is imported before it gives up its privileges: its files may be closed to it afterwards.
"""

from collections.abc import Callable
from typing import assert_never

from app.children.serve import serve
from app.html import highlight, pieces
from app.html.pieces import Formula
from app.html.render_requests import DrawPieces, RenderParts, decode_request, encode_answer
from app.html.stream import render_parts
from app.parts import TextPart


def answer(body: bytes) -> bytes:
    """The encoded answer to an encoded request."""
    request = decode_request(body)
    match request:
        case RenderParts(parts=parts, dom=dom):
            return encode_answer([render_parts(parts, dom=dom)])
        case DrawPieces(pieces=wanted):
            return encode_answer([pieces.draw(piece) for piece in wanted])
        case _:
            assert_never(request)


def main(answering: Callable[[bytes], bytes] = answer) -> None:
    """Answer until the pool goes away."""
    highlight.preload()
    pieces.draw(Formula("x", False))
    render_parts([TextPart("x")], dom="x")
    serve(answering)


if __name__ == "__main__":
    main()
