"""How everything is, for programs."""

import asyncio
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from app.api.bearer import brings
from app.chat.health import PATIENCE_SECONDS, Health, Process, State, gather
from app.chat.judgement import Section, judge, plain, worst
from app.controllers.visit import find_user
from app.errors import Forbidden, NotSignedIn, Unavailable
from app.tables.user import User
from app.words import gettext as _


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts, and what they mean. `status` is the worst of all parts: ok, look or down."""

    status: State
    facts: Health
    sections: tuple[Section, ...]


@get("/api/health")
async def show(
    request: Request[Any, Any, Any], process: NamedDependency[Process], metrics_token: NamedDependency[str]
) -> Response[bytes]:
    """503 while the database does not answer, else 200. For the owner, or who brings the token of the metrics."""
    if not brings(request, metrics_token):
        await _admit_owner(request)
    facts = await gather(process)
    sections = plain(judge(facts))
    content = msgspec.json.encode(Report(worst(sections), facts, sections))
    return Response(content, status_code=200 if facts.stored else 503, media_type="application/json")


async def _admit_owner(request: Request[Any, Any, Any]) -> None:
    """Raises `NotSignedIn`, `Forbidden`, and `Unavailable` when the database does not say in time who is asking."""
    # Not a timeout around it: a connection that hangs would keep it from ending.
    asking: asyncio.Task[User | None] = asyncio.create_task(find_user(request))
    done, _late = await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
    if not done:
        asking.cancel()
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise Unavailable(_("The database does not answer."), retry_after_seconds=2)
    user = asking.result()
    if user is None:
        raise NotSignedIn(_("Sign in as the owner, or send the token of the metrics as a bearer."))
    if not user.is_owner:
        raise Forbidden(_("Only the owner of this instance may do that."))


ROUTES = [show]
