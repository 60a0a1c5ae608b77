"""Revisions: a question asked anew in other words, beside the one that it was. Both stay, each with what followed it."""

import uuid

from litestar import get, post
from litestar.params import FromPath

from app.chat.drawing import draw
from app.chat.threads import my_message
from app.chat.tree import list_window
from app.chat.turn import start_turn
from app.controllers.composer import field
from app.controllers.errors import headers_of
from app.controllers.guard import CurrentUser
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.threads import Answer, Asked, Headers, beside, composer_context, read_message
from app.controllers.visit import visit_of
from app.errors import AppError, Conflict
from app.tables.message import Message
from app.tables.thread import Thread
from app.tables.user import User
from app.words import gettext as _


@get("/messages/{message_id:uuid}/revision")
async def new(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """The question's text, to be changed: what stands in the dialog, or a page of its own."""
    question, thread = await my_question(current_user.id, message_id)
    return await _form(request, current_user, question, thread, text=question.content)


@post("/messages/{message_id:uuid}/revision", status_code=200)
async def create(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """Asks the changed question: a new branch, from where the old one left."""
    question, thread = await my_question(current_user.id, message_id)
    try:
        message = read_message(request)
        turn = await start_turn(current_user.id, thread.id, message, instead_of=question.id)
    except AppError as error:
        if error.status_code == 404:
            raise
        return await _form(
            request,
            current_user,
            question,
            thread,
            text=field(request, "text"),
            errors=beside(error),
            status_code=error.status_code,
            headers=headers_of(error),
        )
    if not visit_of(request).is_partial:
        return redirect(request, f"/threads/{thread.id}#message-{turn.question}")
    messages, _older = await list_window(turn.answer, size=2)
    context = {"thread": thread, "messages": await draw(messages, current_user.id), "request_id": None}
    return page(request, "messages/_turn.html", context)


async def my_question(user_id: uuid.UUID, message_id: uuid.UUID) -> tuple[Message, Thread]:
    """A question of this person, with its thread. Raises `NotFound`, and `Conflict` for what is no question."""
    message, thread = await my_message(user_id, message_id)
    if message.role != "user":
        raise Conflict(_("Only a question can be changed."))
    return message, thread


async def _form(
    request: Asked,
    user: User,
    question: Message,
    thread: Thread,
    *,
    text: str,
    errors: dict[str, str] | None = None,
    status_code: int = 200,
    headers: Headers | None = None,
) -> Answer:
    composer = await composer_context(user, thread, chosen=field(request, "model") if errors else None)
    context = composer | {"thread": thread, "question": question, "text": text, "errors": errors or {}}
    if not visit_of(request).is_partial:
        context = await with_sidebar(user, context)
    return page(request, "messages/revision.html", context, status_code=status_code, headers=headers)


ROUTES = [new, create]
