"""What this process asks of a child that renders, and what the child answers; both travel as MessagePack."""

from collections.abc import Sequence
from typing import Final

import msgspec

from app.html.pieces import Piece
from app.parts import Part


class RenderParts(msgspec.Struct, frozen=True, tag="parts"):
    """The parts of a final message → their marked HTML, in the source language."""

    parts: Sequence[Part]
    dom: str


class DrawPieces(msgspec.Struct, frozen=True, tag="pieces"):
    """Formulas and blocks of code → the HTML of each."""

    pieces: Sequence[Piece]


_requests: Final[msgspec.msgpack.Decoder[RenderParts | DrawPieces]] = msgspec.msgpack.Decoder(RenderParts | DrawPieces)
_answers: Final = msgspec.msgpack.Decoder(list[str])


def encode_request(request: RenderParts | DrawPieces) -> bytes:
    return msgspec.msgpack.encode(request)


def decode_request(body: bytes) -> RenderParts | DrawPieces:
    return _requests.decode(body)


def encode_answer(texts: Sequence[str]) -> bytes:
    return msgspec.msgpack.encode(texts)


def decode_answer(body: bytes) -> list[str]:
    """Raises `msgspec.DecodeError`."""
    return _answers.decode(body)
