"""A person's own sign-ins: ending one, ending all others. The list stands on the profile."""

import uuid
from typing import Any

import structlog
from litestar import Request, Response, delete
from litestar.params import FromPath

from app.controllers.guard import CurrentSession, CurrentUser
from app.controllers.pages import redirect
from app.controllers.visit import visit_of
from app.errors import NotFound
from app.tables.session import Session
from app.words import gettext as _

log = structlog.get_logger()


@delete("/sessions/{session_id:uuid}", status_code=303)
async def end_session(
    request: Request[Any, Any, Any],
    session_id: FromPath[uuid.UUID],
    current_user: CurrentUser,
    current_session: CurrentSession,
) -> Response[bytes]:
    """Ending the one that asks is signing out."""
    if not await Session.end(session_id, user_id=current_user.id):
        raise NotFound(_("There is no such sign-in."))
    log.info("session_ended", user_id=str(current_user.id))
    if session_id == current_session.id:
        visit_of(request).forget()
        return redirect(request, "/sign-in", flash="signed-out")
    return redirect(request, "/profile", flash="session-ended")


@delete("/sessions", status_code=303)
async def end_other_sessions(
    request: Request[Any, Any, Any], current_user: CurrentUser, current_session: CurrentSession
) -> Response[bytes]:
    """Everywhere else at once."""
    number = await Session.end_all(current_user.id, but=current_session.id)
    log.info("sessions_ended", user_id=str(current_user.id), number=number)
    return redirect(request, "/profile", flash="sessions-ended")


ROUTES = [end_session, end_other_sessions]
