"""Server-sent events, read as hx-sse reads them in a browser."""

from typing import NamedTuple


class Event(NamedTuple):
    """None for what it does not say. `size_bytes` with the names of its fields and its line ends."""

    name: str
    data: str | None
    id: str | None
    retry: str | None
    size_bytes: int


def read_events(piece: bytes) -> list[Event]:
    """The events of a piece of a stream: Parley ends one only with an event, and lines with LF alone."""
    assert piece.endswith(b"\n\n"), piece[-300:]
    assert b"\r" not in piece, piece
    events = map(_read, piece[:-2].split(b"\n\n"))
    return [event for event in events if event[:4] != ("", None, None, None)]


def _read(raw: bytes) -> Event:
    fields: dict[str, str] = {}
    for line in raw.decode().split("\n"):
        field, _, value = line.partition(":")
        before = f"{fields[field]}\n" if field == "data" and field in fields else ""
        fields[field] = before + value.removeprefix(" ")
    return Event(fields.get("event", ""), fields.get("data"), fields.get("id"), fields.get("retry"), len(raw) + 2)
