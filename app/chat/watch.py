"""What an open page is told: one stream of events per page, from the live log and the news of its thread."""

import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import asyncpg
import msgspec
import structlog

from app.chat.cursor import Cursor
from app.chat.drawing import view_of
from app.chat.sidebar import mark_of, signs, untitled
from app.database import AWAY, fetch_row
from app.html.feeding import feed
from app.html.offload import ShownFormulas
from app.html.stream import AnswerView, frame
from app.live import Item, Lost, News, Reader, Row, Viewer, to_delta
from app.parts import decode_parts
from app.tables.message import short

log = structlog.get_logger()

PING_SECONDS = 15.0
PING = b": ping\n\n"

#: News that mean that the page's messages changed: they carry the thread's version.
CHANGES = frozenset({"turn", "message", "branch", "title"})


def keys_of(thread_id: uuid.UUID, user_id: uuid.UUID, session_id: uuid.UUID) -> set[str]:
    """Which news concern an open page of a thread."""
    return {f"thread:{thread_id}", f"user:{user_id}", f"session:{session_id}", "everybody"}


async def is_signed_in(session_id: uuid.UUID) -> bool:
    """Whether a sign-in that opened a stream still holds. Asked after subscribing, so that its end cannot be missed."""
    return await fetch_row(_SIGNED_IN, session_id) is not None


async def until_signed_out(reader: Reader, user_id: uuid.UUID, session_id: uuid.UUID) -> bool:
    """Waits until a session ends. Returns False if its end could now be missed, so that the connection must be opened again."""
    try:
        with reader.view({f"user:{user_id}", f"session:{session_id}"}) as viewer:
            while await is_signed_in(session_id):
                items = await viewer.take(timeout_seconds=PING_SECONDS)
                if any(isinstance(item, Lost) for item in items):
                    return False
    except (*AWAY, asyncpg.PostgresError) as error:
        log.info("socket_lost", error=type(error).__name__)
        return False
    return True


class Watch:
    """One open page of one thread. `lines()` is its event stream."""

    def __init__(
        self, reader: Reader, thread_id: uuid.UUID, user_id: uuid.UUID, session_id: uuid.UUID, cursor: Cursor
    ) -> None:
        self._reader = reader
        self._thread_id = thread_id
        self._user_id = user_id
        self._session_id = session_id
        self._keys = keys_of(thread_id, user_id, session_id)
        self._cursor = cursor
        self._version = cursor.version
        self._view: AnswerView | None = None
        self._short = ""

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, several at a time, until the page goes, the thread or the sign-in ends, or one was missed."""
        try:
            with self._reader.view(self._keys) as viewer:
                # Subscribed first, read second: what happens in between comes twice, and the second time is ignored.
                state = await fetch_row(_BEGIN, self._thread_id, self._session_id, untitled(), self._user_id)
                if state is None or not state["is_signed_in"]:
                    yield _named("signed_out" if state else "gone", {}, "0")
                    return
                yield b"".join(await self._begin(viewer, state))
                items: list[Item] = []
                while not any(_is_last(item) for item in items):
                    items = await viewer.take(timeout_seconds=PING_SECONDS)
                    if lines := await self._tell(viewer, items) if items else [PING]:
                        yield b"".join(lines)
        except (*AWAY, asyncpg.PostgresError) as error:
            # The page comes back by itself, with its cursor.
            log.info("page_lost", error=type(error).__name__)

    async def _begin(self, viewer: Viewer, state: Mapping[str, Any]) -> list[bytes]:
        lines = [b"retry: 500\n\n"]
        is_stale = self._version != state["version"]
        self._version = state["version"]
        rows = await self._follow(viewer, state)
        if is_stale:
            # Its id says how far the answer has come, which the page is about to draw. Without that, a page that is cut
            # off now and comes back would be taken for one that was drawn then.
            lines += self._catch_up(state)
        lines += await self._feed(rows)
        # The sidebar may lack what was told before this page listened, or listened again: the page looks. Without an id:
        # where the page stands in the answer is what it said itself, and nothing that was told since shows more.
        return [*lines, _named("sidebar", {"mark": mark_of(state["signs"])})]

    def _catch_up(self, state: Mapping[str, Any]) -> list[bytes]:
        """What a page that missed something is told: to draw the messages and the title as they are now."""
        title = {"thread": str(self._thread_id), "title": state["title"]}
        facts: dict[str, dict[str, object]] = {"branch": {}, "title": title}
        return [_named(event, each, self._here()) for event, each in facts.items()]

    async def _follow(self, viewer: Viewer, state: Mapping[str, Any]) -> list[Row]:
        """Begin to tell of the running answer: from where the cursor stands in it, or from now on. What there is of it."""
        if state["generation"] is None:
            self._reader.unfollow(viewer)
            self._view = None
            return []
        rows = await self._reader.follow(viewer, state["generation"])
        self._short = short(state["answer"])
        seen = self._cursor.seq if self._cursor.short == self._short else state.get("seen", -1)
        before = decode_parts(state["parts"])
        self._view = await view_of(self._short, before, [row for row in rows if seen < 0 or row[0] <= seen])
        self._formulas = ShownFormulas(self._view, str(self._user_id))
        self._cursor = Cursor()
        return rows

    async def _tell(self, viewer: Viewer, items: list[Item]) -> list[bytes]:
        lines: list[bytes] = []
        rows: list[Row] = []
        for item in items:
            if isinstance(item, tuple):
                rows += [item[1]] if item[0] == viewer.follows else []
                continue
            lines += await self._feed(rows)
            rows = []
            if isinstance(item, News):
                lines += await self._tell_news(viewer, item)
        return lines + await self._feed(rows)

    async def _feed(self, rows: list[Row]) -> list[bytes]:
        view = self._view
        if view is None or not rows or rows[-1][0] <= view.seq:
            return []
        begin = view.seq
        ops = await feed(view, [to_delta(kind, body) for seq, kind, body in rows if seq > begin], rows[-1][0])
        html = await self._formulas.put_into(frame(ops))
        return [_event(html, f"{self._version}.{self._short}.{begin}.{view.seq}")]

    async def _tell_news(self, viewer: Viewer, news: News) -> list[bytes]:
        if news.event not in CHANGES or not news.version:
            if news.event == "title" and news.thread == str(self._thread_id):
                return []  # this page hears of its own thread with the version
            return [_named(news.event, _facts(news), self._here())]
        if news.version <= self._version:
            return []
        is_next = news.version == self._version + 1
        self._version = news.version
        if news.event == "title" and is_next:
            return [_named("title", _facts(news), self._here())]
        # News that say what runs now spare the question.
        state = _state_in(news) if is_next else None
        if state is None and (state := await fetch_row(_STATE, self._thread_id)) is None:
            return []
        if state["generation"] is None or state["generation"] != viewer.follows:
            rows = await self._follow(viewer, state)
        else:
            rows = []
        lines = [_named(news.event, _facts(news), self._here())] if is_next else self._catch_up(state)
        return lines + await self._feed(rows)

    def _here(self) -> str:
        return str(Cursor(self._version, self._short if self._view else "", self._view.seq if self._view else 0))


def _state_in(news: News) -> Mapping[str, Any] | None:
    """Which generation runs from here on, as far as the news say. Who asked has drawn the answer before a word of it came
    (`seen`) and fetches nothing."""
    if news.is_final:
        return {"generation": None}
    if news.event == "turn" and news.generation:
        return {"generation": uuid.UUID(news.generation), "answer": uuid.UUID(news.messages[-1]), "parts": "[]",
                "seen": 0}  # fmt: skip
    return None


def _is_last(item: Item) -> bool:
    return isinstance(item, Lost) or (isinstance(item, News) and item.event in ("gone", "signed_out"))


def _facts(news: News) -> dict[str, object]:
    match news.event:
        case "turn":
            return {"messages": list(news.messages)}
        case "message":
            return {"message": news.message}
        case "title":
            return {"thread": news.thread, "title": news.title}
        case "busy" | "idle":
            return {"thread": news.thread, "at": news.at}
        case "removed":
            return {"thread": news.thread}
        case _:
            return {}


def _named(event: str, facts: dict[str, object], here: str = "") -> bytes:
    place = b"id: %s\n" % here.encode() if here else b""
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), place, msgspec.json.encode(facts))


def _event(html: str, here: str) -> bytes:
    """One unnamed event. A carriage return would end a line of the protocol; a first space would be eaten."""
    lines = html.replace("\r", "&#13;").split("\n")
    data = "".join(f"data:{' ' if line.startswith(' ') else ''}{line}\n" for line in lines)
    return f"id:{here}\n{data}\n".encode()


_COLUMNS = "SELECT t.version, t.title, g.id AS generation, m.id AS answer, m.parts"
_STATE = f"""
{_COLUMNS}
FROM thread AS t
LEFT JOIN generation AS g ON g.thread = t.id AND g.state <> 'ended'
LEFT JOIN message AS m ON m.id = g.message
WHERE t.id = $1 AND t.status <> 'deleted'
"""

_SIGNED_IN = """
SELECT 1 FROM session AS s JOIN users AS u ON u.id = s."user" WHERE s.id = $1 AND s.expires_at > now() AND u.is_active
"""

_BEGIN = _STATE.replace(
    _COLUMNS,
    f"{_COLUMNS}, EXISTS ({_SIGNED_IN.replace('$1', '$2')}) AS is_signed_in, {signs('$4', '$3')} AS signs",
)
