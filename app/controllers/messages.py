"""Messages: sending one, windows of them, one as it is now, its text, its stream without scripts, the request behind it."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.chat import options
from app.chat.drawing import draw
from app.chat.page_stream import page_stream
from app.chat.requests import Sent, list_sent
from app.chat.threads import my_message, my_thread
from app.chat.tree import list_after, list_window
from app.chat.turn import start_turn
from app.controllers.composer import field
from app.controllers.errors import headers_of
from app.controllers.event_stream import OpenStream
from app.controllers.guard import CurrentSession, CurrentUser
from app.controllers.pages import page, page_text, redirect, with_sidebar
from app.controllers.threads import Answer, Asked, beside, composer_context, read_message, show_thread
from app.controllers.visit import visit_of
from app.database import new_id
from app.errors import AppError, NotFound
from app.live import Reader
from app.settings import settings
from app.tables.user import User
from app.words import gettext as _


@post("/threads/{thread_id:uuid}/messages", status_code=200)
async def create(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """A question to the model: answered with both messages, the answer still empty."""
    visit = visit_of(request)
    try:
        message = read_message(request)
        turn = await start_turn(current_user.id, thread_id, message)
    except AppError as error:
        if error.status_code == 404:
            raise
        return await _refuse(request, current_user, thread_id, error)
    if not visit.is_partial:
        return redirect(request, f"/threads/{thread_id}#message-{turn.answer}")
    messages = turn.messages or (await list_window(turn.answer, size=2))[0]
    context = {"thread": {"id": thread_id}, "messages": await draw(messages, current_user.id), "request_id": new_id()}
    return page(request, "messages/_turn.html", context)


@get("/threads/{thread_id:uuid}/messages")
async def index(
    request: Asked,
    current_user: CurrentUser,
    thread_id: FromPath[uuid.UUID],
    before: FromQuery[uuid.UUID | None] = None,
    after: FromQuery[uuid.UUID | None] = None,
) -> Answer:
    """Messages of the active branch: the newest ones, the ones above `before`, or the ones below `after`."""
    thread = await my_thread(current_user.id, thread_id)
    older = None
    if after is not None:
        messages = await list_after(thread.leaf, after)
    elif before is not None:
        _message, owner = await my_message(current_user.id, before)
        if owner.id != thread.id:
            raise NotFound(_("There is no such message."))
        messages, older = await list_window(before)
    else:
        messages, older = await list_window(thread.leaf)
    context = {"thread": thread, "messages": await draw(messages, current_user.id), "older": older}
    if not visit_of(request).is_partial:
        return page(request, "messages/index.html", await with_sidebar(current_user, context))
    template = "messages/_turn.html" if after is not None else "messages/_window.html"
    return page(request, template, {"request_id": None} | context)


@get("/messages/{message_id:uuid}")
async def show(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """One message as it is now; without a script, its place in its thread."""
    message, thread = await my_message(current_user.id, message_id)
    if not visit_of(request).is_partial:
        return redirect(request, f"/threads/{thread.id}#message-{message.id}")
    (drawn,) = await draw([message], current_user.id)
    return page(request, "messages/_message.html", {"thread": thread, "message": drawn})


@get("/messages/{message_id:uuid}/text")
async def show_text(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """What was written, as it was written: an answer's Markdown, for the clipboard."""
    message, _thread = await my_message(current_user.id, message_id)
    return Response(message.content, media_type="text/plain")


@get("/messages/{message_id:uuid}/stream")
async def stream(
    request: Asked,
    current_user: CurrentUser,
    current_session: CurrentSession,
    live: NamedDependency[Reader],
    message_id: FromPath[uuid.UUID],
) -> OpenStream:
    """The answer as it comes, as one HTML page that grows: what an iframe shows where there is no script."""
    message, thread = await my_message(current_user.id, message_id)
    head = page_text(request, "messages/stream.html", {"message": message, "thread": thread})
    growing = page_stream(live, message, thread.id, current_user.id, current_session.id)
    return OpenStream(_chunks(head, growing), current_user.id, media_type="text/html; charset=utf-8")


@get("/messages/{message_id:uuid}/request")
async def show_request(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """The exact requests that an answer was made from, and the one that named its thread."""
    message, thread = await my_message(current_user.id, message_id)
    sent = await list_sent(message.id)
    attempts = [call | {"is_naming": one.is_naming} for one in sent for call in one.calls]
    context = {"message": message, "thread": thread, "attempts": attempts, "bodies": list(_bodies(sent))}
    return page(request, "messages/request.html", await with_sidebar(current_user, context))


async def _refuse(request: Asked, user: User, thread_id: uuid.UUID, error: AppError) -> Answer:
    """What could not be sent stays in the composer, with the reason."""
    thread = await my_thread(user.id, thread_id)
    context = await composer_context(user, thread, chosen=field(request, "model"))
    text = field(request, "text")
    context |= {"draft": text if text.strip() else "", "errors": beside(error)}
    if not visit_of(request).is_partial:
        headers = headers_of(error)
        return await show_thread(request, user, thread, status_code=error.status_code, headers=headers, **context)
    held = options.of_thread(thread.system_prompt, thread.options)
    context |= {"thread": thread, "messages": [], "changed": options.changed(held, options.defaults(settings))}
    return page(request, "messages/_turn.html", context, status_code=error.status_code, headers=headers_of(error))


def _bodies(sent: list[Sent]) -> Iterator[dict[str, Any]]:
    """What was sent, as text to be read, each with the numbers of its calls in the list of all."""
    place = 1
    for one in sent:
        calls = list(range(place, place := place + len(one.calls)))
        if one.body:
            text = msgspec.json.format(msgspec.json.encode(one.body), indent=2).decode()
            yield {"json": text, "calls": calls, "is_naming": one.is_naming}


async def _chunks(head: str, growing: AsyncIterator[str]) -> AsyncGenerator[bytes, None]:
    yield head.encode()
    async for piece in growing:
        yield piece.encode()


ROUTES = [create, index, show, show_text, stream, show_request]
