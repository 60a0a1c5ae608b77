"""Whether this process can answer, for load balancers and containers; and how everything is, for the owner."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from app import __version__
from app.chat.health import Process, gather
from app.chat.judgement import count_troubles, judge, worst
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, with_sidebar
from app.controllers.visit import visit_of
from app.database import is_ready


@get("/health")
async def show() -> Response[dict[str, str]]:
    """200 while the process and its database answer, else 503. Needs no sign-in and tells nothing else."""
    ready = await is_ready()
    content = {"status": "ok" if ready else "database away", "version": __version__}
    return Response(content, status_code=200 if ready else 503, media_type="application/json")


@get("/status", guards=[owner_only])
async def show_status(
    request: Request[Any, Any, Any], current_user: CurrentUser, process: NamedDependency[Process]
) -> Response[Any]:
    """The owner's page: every part, what is wrong with it, and what to do. It asks for its tables every few seconds."""
    facts = await gather(process)
    sections = judge(facts)
    context = {
        "sections": sections,
        "state": worst(sections),
        "troubles": count_troubles(sections),
        "checked_at": facts.checked_at,
        "schema": facts.stored.schema if facts.stored else "",
    }
    if visit_of(request).is_partial:
        return page(request, "status/_tables.html", context)
    return page(request, "status/show.html", await with_sidebar(current_user, context))


ROUTES = [show, show_status]
