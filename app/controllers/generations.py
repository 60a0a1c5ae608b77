"""Generations of an answer: try again, stop, continue."""

import uuid

from litestar import delete, post
from litestar.params import FromPath

from app.chat.beginning import answering_model
from app.chat.drawing import draw
from app.chat.stop import stop
from app.chat.threads import my_message, my_thread
from app.chat.tree import list_window
from app.chat.turn import continue_answer, start_sibling
from app.controllers.composer import field, id_field
from app.controllers.guard import CurrentUser
from app.controllers.pages import page, redirect
from app.controllers.threads import Answer, Asked
from app.controllers.visit import visit_of
from app.errors import Conflict
from app.tables.user import User
from app.words import gettext as _


@post("/messages/{message_id:uuid}/generation", status_code=200)
async def create(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """Try again: another answer beside this one, by the thread's model or the one chosen."""
    message, thread = await my_message(current_user.id, message_id)
    if message.role != "assistant":
        raise Conflict(_("Only an answer can be tried again."))
    model = id_field(request, "model") if field(request, "model") else await answering_model(current_user, thread)
    turn = await start_sibling(current_user.id, message, model)
    return await _show(request, current_user, turn.thread, turn.answer)


@delete("/messages/{message_id:uuid}/generation", status_code=200)
async def destroy(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """Stop: what came stays."""
    message, thread = await my_message(current_user.id, message_id)
    await stop(message.id)
    return await _show(request, current_user, thread.id, message.id)


@post("/messages/{message_id:uuid}/continuation", status_code=200)
async def continue_(request: Asked, current_user: CurrentUser, message_id: FromPath[uuid.UUID]) -> Answer:
    """Go on where the answer broke off: with the model that wrote it or, if it is not offered any more, the composer's."""
    message, thread = await my_message(current_user.id, message_id)
    await continue_answer(current_user.id, message, instead=await answering_model(current_user, thread))
    return await _show(request, current_user, thread.id, message.id)


async def _show(request: Asked, user: User, thread_id: uuid.UUID, message_id: uuid.UUID) -> Answer:
    if not visit_of(request).is_partial:
        return redirect(request, f"/threads/{thread_id}#message-{message_id}")
    thread = await my_thread(user.id, thread_id)
    messages, _older = await list_window(message_id, size=1)
    context = {"thread": thread, "messages": await draw(messages, user.id), "request_id": None}
    return page(request, "messages/_turn.html", context)


ROUTES = [create, destroy, continue_]
