"""What the live log is made of: rows, channels, and news beside the deltas."""

import uuid

import msgspec

from app import database
from app.parts import Delta, ReasoningDelta, TextDelta, ToolCallDelta

LIVE_CHANNEL = "parley_live"
NEWS_CHANNEL = "parley_news"

Row = tuple[int, str, str]


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that open pages should know. `key` says which: thread:<id>, user:<id>, session:<id>, models, everybody; or
    `worker`, for those who write answers.

    `generation` runs from now on (or is to stop); `is_final`: none does. `at`: when the thread was last used. `task` is done
    with the model `title`.
    """

    key: str
    event: str
    version: int = 0
    message: str = ""
    messages: tuple[str, ...] = ()
    generation: str = ""
    is_final: bool = False
    thread: str = ""
    title: str = ""
    task: str = ""
    at: str = ""


async def tell(news: News) -> None:
    """Send news with the current transaction: it leaves when that commits, and never if it does not."""
    await database.fetch("SELECT pg_notify($1, $2)", NEWS_CHANNEL, msgspec.json.encode(news).decode())


def to_row(delta: Delta) -> tuple[str, str]:
    """A delta → the `kind` and `body` columns."""
    match delta:
        case TextDelta(text=text, signature=None):
            return "text", text
        case ReasoningDelta(text=text, signature=None):
            return "reasoning", text
        case TextDelta() | ReasoningDelta() | ToolCallDelta():
            return "json", msgspec.json.encode(delta).decode()


_delta: msgspec.json.Decoder[Delta] = msgspec.json.Decoder(Delta)


def to_delta(kind: str, body: str) -> Delta:
    """The `kind` and `body` columns → a delta."""
    match kind:
        case "text":
            return TextDelta(body)
        case "reasoning":
            return ReasoningDelta(body)
        case _:
            return _delta.decode(body)


async def read_log(generation_id: uuid.UUID, *, after: int = 0) -> list[Row]:
    """The stored deltas of a generation with `seq` above `after`, in order, as (seq, kind, body)."""
    rows = await database.fetch(
        "SELECT seq, kind, body FROM delta WHERE generation_id = $1 AND seq > $2 ORDER BY seq", generation_id, after
    )
    return [(row["seq"], row["kind"], row["body"]) for row in rows]
