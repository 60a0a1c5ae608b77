"""What an open page of models is told: how far tasks are, as HTML that replaces itself, and when to look at the list again."""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import msgspec
import structlog

from app.chat.tasks import PAGES, drawn, find_task
from app.chat.watch import PING, PING_SECONDS, is_signed_in
from app.database import AWAY
from app.live import Item, Lost, News, Reader

log = structlog.get_logger()

#: A task's row → what shows how far it is: draws no more than what `data:` lines may carry.
Draw = Callable[[dict[str, Any]], str]
#: Whether this person may still see this page.
MayWatch = Callable[[], Awaitable[bool]]


class ModelWatch:
    """One open page of models. `lines()` is its event stream."""

    def __init__(self, reader: Reader, user: uuid.UUID, session: uuid.UUID, draw: Draw) -> None:
        self._reader = reader
        self._session = session
        self._keys = {PAGES, f"user:{user}", f"session:{session}"}
        self._draw = draw

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events until the page goes or its sign-in ends. Missing one costs nothing: each says how it is now."""
        try:
            with self._reader.view(self._keys) as viewer:
                if not await is_signed_in(self._session):
                    yield _named("signed_out")
                    return
                # What changed between the drawing of the page and this moment was told to nobody.
                yield b"retry: 500\n\n" + _named("look")
                items: list[Item] = []
                while not any(_is_last(item) for item in items):
                    items = await viewer.take(timeout_seconds=PING_SECONDS)
                    yield b"".join(await self._tell(items)) if items else PING
        except (*AWAY, asyncpg.PostgresError) as error:
            log.info("page_lost", error=type(error).__name__)

    async def _tell(self, items: Sequence[Item]) -> list[bytes]:
        news = [item for item in items if isinstance(item, News)]
        lines = [_named("signed_out") for each in news if each.event == "signed_out"]
        running = dict.fromkeys(uuid.UUID(each.task) for each in news if each.event == "progress")
        rows = [row for task in running if (row := await find_task(task))]
        lines += [_unnamed(self._draw(drawn(row))) for row in rows]
        if any(each.event in ("task", "models") for each in news):
            lines.append(_named("look"))
        return lines


def _is_last(item: Item) -> bool:
    return isinstance(item, Lost) or (isinstance(item, News) and item.event == "signed_out")


def _named(event: str) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode({}))


def _unnamed(html: str) -> bytes:
    """A carriage return would end a line of the protocol; a first space would be eaten."""
    lines = html.replace("\r", "&#13;").split("\n")
    return "".join(f"data:{' ' if line.startswith(' ') else ''}{line}\n" for line in lines).encode() + b"\n"
