"""The threads of the sidebar, page by page, and those that a search finds."""

import uuid
from datetime import datetime

from litestar import Response, get
from litestar.params import FromQuery

from app.chat.sidebar import find_mark, list_threads, search_threads
from app.controllers.guard import CurrentUser
from app.controllers.pages import page, with_sidebar
from app.controllers.threads import Answer, Asked
from app.controllers.visit import visit_of
from app.parts import clean
from app.tables.user import User

MOST_QUERY_CHARS = 200


@get("/threads")
async def index(
    request: Asked,
    current_user: CurrentUser,
    before: FromQuery[uuid.UUID | None] = None,
    at: FromQuery[datetime | None] = None,
    mark: FromQuery[str] = "",
    q: FromQuery[str | None] = None,
) -> Answer:
    """One page of the sidebar, or nothing for a page whose `mark` says that it shows it; without a script, a page of its own.

    With `q` the threads that have its words in their titles.
    """
    if q is not None:
        return await _search(request, current_user, clean(q)[:MOST_QUERY_CHARS])
    if mark and mark == await find_mark(current_user.id):
        return Response(b"", status_code=204)
    threads, next_before = await list_threads(current_user.id, before, at)
    if visit_of(request).is_partial:
        return page(request, "threads/_sidebar_items.html", {"threads": threads, "next_before": next_before})
    context = {"listed": threads, "listed_before": next_before, "is_older": before is not None}
    return page(request, "threads/index.html", await with_sidebar(current_user, context))


async def _search(request: Asked, user: User, query: str) -> Answer:
    found = await search_threads(user.id, query)
    if visit_of(request).is_partial:
        return page(request, "threads/_found.html", {"found": found, "query": query})
    context = {"listed": found, "listed_before": None, "is_older": False, "query": query}
    return page(request, "threads/index.html", await with_sidebar(user, context))


ROUTES = [index]
