"""A running answer as one HTML page that grows: for readers without scripts.

A page can only be added to. So each state of the answer is added whole, and the stylesheet shows the last one alone.
The longer the answer, the rarer its states: about 40 kB a second at most.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from html import escape

import asyncpg
import structlog

from app.chat.drawing import draw, view_of
from app.chat.tree import list_window
from app.chat.watch import is_signed_in, keys_of
from app.database import AWAY, fetch
from app.html.feeding import feed
from app.html.offload import with_formulas
from app.live import Lost, News, Reader, Viewer, to_delta
from app.tables.message import Message
from app.words import gettext as _

log = structlog.get_logger()

LEAST_PAUSE_SECONDS = 0.25
CHARS_PER_SECOND = 40_000
SILENCE_SECONDS = 15.0


async def page_stream(
    reader: Reader, message: Message, thread_id: uuid.UUID, user_id: uuid.UUID, session_id: uuid.UUID
) -> AsyncIterator[str]:
    """States of the answer, each a `<div class="state">`, until it is final; that one says that it is."""
    try:
        with reader.view(keys_of(thread_id, user_id, session_id)) as viewer:
            async for html in _grow(reader, viewer, message, str(user_id)):
                yield _state(html)
        # Who was signed out meanwhile sees no more.
        messages, _older = await list_window(message.id if await is_signed_in(session_id) else None, size=1)
        for final in await draw(messages, user_id):
            yield _state(_note(final) + str(final.body))
            if final.is_final:
                yield _end(final)
                return
    except (*AWAY, asyncpg.PostgresError) as error:
        log.info("page_lost", error=type(error).__name__)
    yield _COME_BACK


async def _grow(reader: Reader, viewer: Viewer, message: Message, person: str) -> AsyncIterator[str]:
    """What the running answer looks like, now and whenever it has grown, until it ends or something was missed."""
    found = await fetch("SELECT id FROM generation WHERE message = $1 AND state <> 'ended'", message.id)
    rows = await reader.follow(viewer, found[0]["id"]) if found else []
    view = await view_of(message.short, message.part_list, rows)
    is_over = not found
    waits = await _waits(message.id)
    while not is_over:
        html = await with_formulas(view.html(), person=person) + waits
        yield html
        await asyncio.sleep(max(LEAST_PAUSE_SECONDS, len(html) / CHARS_PER_SECOND))
        items = await viewer.take(timeout_seconds=SILENCE_SECONDS)
        rows = [item[1] for item in items if isinstance(item, tuple) and item[1][0] > view.seq]
        if rows:
            await feed(view, [to_delta(kind, body) for _, kind, body in rows], rows[-1][0])
        if rows or any(isinstance(item, News) and item.message == str(message.id) for item in items):
            waits = "" if rows else await _waits(message.id)
        is_over = any(isinstance(item, Lost) or _ends(item, message) for item in items)


def _note(message: Message) -> str:
    return f'<p class="ending source-note">{escape(message.source_note)}</p>' if message.source_note else ""


def _end(message: Message) -> str:
    """How it ended, and the way on: it leads to the thread. Its own address is open already, which no browser loads again."""
    kind, link = "", _("Back to the thread")
    match message.status:
        case "complete":
            said, kind, link = "", " primary", _("Show the finished answer")
        case "stopped":
            stopped = _("You stopped this answer.")
            said = f'<p class="ending">{escape(stopped)}</p>'
        case _:
            sentence = message.error_sentence or _("The answer could not be made.")
            said = f'<div class="problem"><p><span>{escape(sentence)}</span></p></div>'
    way = f'<a class="button{kind}" target="_top" href="/messages/{message.id}">{escape(link)}</a>'
    return f'<div class="state-end">{said}<p>{way}</p></div>'


async def _waits(message_id: uuid.UUID) -> str:
    """Why nothing comes at the moment, if the model is called again later. Asked after subscribing: that is said once."""
    messages, _older = await list_window(message_id, size=1)
    seconds = messages[0].retries_seconds if messages else None
    if seconds is None:
        return ""
    when = _("Trying again in %(seconds)s s.") % {"seconds": round(seconds)}
    return f'<p class="hint">{escape(messages[0].error_sentence)} {escape(when)}</p>'


def _state(html: str) -> str:
    return f'<div class="state">{html}</div>\n'


def _ends(item: object, message: Message) -> bool:
    if not isinstance(item, News):
        return False
    return item.event in ("gone", "signed_out") or (
        item.event == "message" and item.message == str(message.id) and item.is_final
    )


#: The stream broke off before the end: the page loads itself again, and shows what came meanwhile.
_COME_BACK = '<meta http-equiv="refresh" content="1">'
