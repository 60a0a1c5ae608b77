"""Messages made ready to be drawn: their bodies as HTML, running ones from the live log."""

import uuid
from collections.abc import Iterable

from markupsafe import Markup

from app.chat import circuit
from app.chat.cursor import Cursor
from app.chat.rendering import is_given_up, is_rendered, render_answers
from app.chat.tree import load_running
from app.html.feeding import feed
from app.html.offload import with_formulas
from app.html.stream import AnswerView, source_of
from app.live import Row, to_delta
from app.parts import Part, to_deltas
from app.tables.message import Message
from app.tables.thread import Thread
from app.words import gettext as _

#: A question is text as it was typed; the blocks of an answer have their own.
_DIRECTION = Markup(' dir="auto"')


async def draw(messages: Iterable[Message], person: uuid.UUID, *, seconds: float | None = None) -> list[Message]:
    """Give every message its `body`, for a page of this person. Answers whose HTML is missing or old are rendered first.

    `seconds`: how long all of them together are waited for, if not as long as pages do.
    """
    drawn = list(messages)
    await render_answers(drawn, person, seconds=seconds)
    for message in drawn:
        if not message.is_final:
            view = await view_of(message.short, message.part_list, await load_running(message))
            message.seq = view.seq
            message.body = Markup(await with_formulas(view.html(), person=str(person)))
            continue
        message.body = Markup('<div class="body" id="b-{}"{}>{}</div>').format(
            message.short, _DIRECTION if message.role == "user" else "", _inner(message)
        )
    if waiting := [message for message in drawn if message.waits_for_server]:
        answerable = await circuit.list_answerable([message.id for message in waiting])
        for message in waiting:
            message.is_back = message.id in answerable
    return drawn


async def view_of(short: str, before: Iterable[Part], rows: Iterable[Row]) -> AnswerView:
    """A running answer as far as the live log goes; what it had before (a continued one) comes first."""
    view = AnswerView(short)
    await feed(view, to_deltas(before), 0)
    stored = list(rows)
    if stored:
        await feed(view, [to_delta(kind, body) for _, kind, body in stored], stored[-1][0])
    return view


def cursor_of(thread: Thread, messages: Iterable[Message]) -> str:
    """Where a page that was just drawn stands: the thread's version, and how far it shows the running answer."""
    running = [message for message in messages if not message.is_final]
    if not running:
        return str(Cursor(thread.version))
    return str(Cursor(thread.version, running[-1].short, running[-1].seq))


def _inner(message: Message) -> Markup:
    if message.role != "assistant":
        return Markup.escape(message.content)
    if is_rendered(message):
        return Markup(message.html)
    message.may_render_again = not is_given_up(message)
    message.source_note = (
        _("This answer is not formatted yet; here is its text.")
        if message.may_render_again
        else _("This answer could not be formatted; here is its text.")
    )
    return Markup(source_of(message.part_list))
