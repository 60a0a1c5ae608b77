"""Messages made ready to be drawn: their bodies as HTML, running ones from the live log."""

from collections.abc import Iterable

from markupsafe import Markup

from app.chat import circuit
from app.chat.cursor import Cursor
from app.chat.tree import load_running
from app.database import fetch
from app.html.markdown import RENDERER_VERSION
from app.html.stream import AnswerView, render_parts
from app.live import Row, to_delta
from app.parts import Part, to_deltas
from app.tables.message import Message
from app.tables.thread import Thread
from app.words import SOURCE, speaking

#: A question is text as it was typed; the blocks of an answer have their own.
_DIRECTION = Markup(' dir="auto"')


async def draw(messages: Iterable[Message]) -> list[Message]:
    """Give every message its `body`. Stored HTML of an older renderer is made again, and kept."""
    drawn = list(messages)
    for message in drawn:
        if not message.is_final:
            view = view_of(message.short, message.part_list, await load_running(message))
            message.seq = view.seq
            message.body = Markup(view.html())
            continue
        if message.html_version != RENDERER_VERSION and message.role == "assistant":
            with speaking(SOURCE):  # as the worker would: it is stored, whoever looks at it next
                message.html = render_parts(message.part_list, dom=message.short)
            await fetch(
                "UPDATE message SET html = $2, html_version = $3 WHERE id = $1",
                message.id,
                message.html,
                RENDERER_VERSION,
            )
        message.body = Markup('<div class="body" id="b-{}"{}>{}</div>').format(
            message.short, _DIRECTION if message.role == "user" else "", _inner(message)
        )
    if waiting := [message for message in drawn if message.waits_for_server]:
        answerable = await circuit.list_answerable([message.id for message in waiting])
        for message in waiting:
            message.is_back = message.id in answerable
    return drawn


def view_of(short: str, before: Iterable[Part], rows: Iterable[Row]) -> AnswerView:
    """A running answer as far as the live log goes; what it had before (a continued one) comes first."""
    view = AnswerView(short)
    view.feed(to_deltas(before), 0)
    stored = list(rows)
    if stored:
        view.feed([to_delta(kind, body) for _, kind, body in stored], stored[-1][0])
    return view


def cursor_of(thread: Thread, messages: Iterable[Message]) -> str:
    """Where a page that was just drawn stands: the thread's version, and how far it shows the running answer."""
    running = [message for message in messages if not message.is_final]
    if not running:
        return str(Cursor(thread.version))
    return str(Cursor(thread.version, running[-1].short, running[-1].seq))


def _inner(message: Message) -> Markup:
    return Markup(message.html) if message.role == "assistant" else Markup.escape(message.content)
