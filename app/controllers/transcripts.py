"""A thread as one page that holds all its messages: what is printed. It is sent window by window, however long it is."""

import uuid
from collections.abc import AsyncIterator
from typing import Final

from litestar import get
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from app.chat.drawing import draw
from app.chat.threads import my_thread
from app.chat.tree import list_ends, list_window
from app.controllers.guard import CurrentUser
from app.controllers.pages import page_text, with_sidebar
from app.controllers.threads import Asked
from app.tables.thread import Thread
from app.tables.user import User

#: Stands in the page where its messages come.
_MARK: Final = "\ufdd2"


@get("/threads/{thread_id:uuid}/transcript")
async def show(
    request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID], print_now: FromQuery[bool] = False
) -> Stream:
    """The whole active branch, from its first message on. `print_now`: the page prints itself."""
    thread = await my_thread(current_user.id, thread_id)
    context = {"thread": thread, "mark": _MARK, "is_printing": print_now}
    text = page_text(request, "transcripts/show.html", await with_sidebar(current_user, context))
    return Stream(
        _pieces(request, current_user, thread, text),
        media_type="text/html; charset=utf-8",
        headers={"vary": "hx-request"},
    )


async def _pieces(request: Asked, user: User, thread: Thread, text: str) -> AsyncIterator[bytes]:
    head, _, foot = text.partition(_MARK)
    yield head.encode("utf-8", "replace")
    for end in await list_ends(thread.leaf):
        messages, _older = await list_window(end)
        context = {"thread": thread, "messages": await draw(messages, user.id), "older": None}
        yield page_text(request, "messages/_window.html", context).encode("utf-8", "replace")
    yield foot.encode("utf-8", "replace")


ROUTES = [show]
