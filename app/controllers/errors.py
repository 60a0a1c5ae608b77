"""How errors become answers: a page, a partial for htmx, JSON for programs; always a sentence, an id, a way on."""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import asyncpg
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from app.controllers.error_page import ErrorPage, referring_path
from app.controllers.visit import visit_of
from app.database import GONE, UNWRITABLE
from app.errors import AppError, NotFound, NotSignedIn, Unavailable
from app.words import gettext as _

log = structlog.get_logger()

Answer = Response[Any]


class NoOwnerYet(NotSignedIn):
    """Nobody can sign in yet: the first visitor makes the owner."""


class Answered(AppError):
    """The answer to a request, made by a guard: Litestar lets guards only raise."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("")
        self.answer = answer


def error_response(request: Request[Any, Any, Any], error: AppError) -> Answer:
    """The answer to an error of ours. Who is not signed in is led to where they can."""
    visit = visit_of(request)
    wants_json = visit.wants_json or request.scope["path"].startswith(("/api/", "/metrics"))
    if isinstance(error, NotSignedIn) and not wants_json:
        return _lead_to(request, "/first-run" if isinstance(error, NoOwnerYet) else _sign_in_path(request))
    headers = headers_of(error)
    if wants_json:
        content = {"code": error.code, "sentence": error.sentence, "field": error.field, "request_id": visit.id}
        return Response(
            {"error": content}, status_code=error.status_code, headers=headers, media_type="application/json"
        )
    return ErrorPage(error.status_code, error.sentence, headers)


def headers_of(error: AppError) -> dict[str, str]:
    """What an answer says of an error in its head: when to come back."""
    if error.retry_after_seconds is None:
        return {}
    return {"retry-after": str(max(1, math.ceil(error.retry_after_seconds)))}


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Answer:
    """Litestar's own: no route, a wrong method, a value of the wrong kind. Its details are for programmers."""
    if error.status_code >= 500:
        return _last_resort(request, error)
    status = HTTPStatus(error.status_code)
    answer = error_response(request, _plain(status))
    answer.headers.update({name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"})
    return answer


def _database_away(request: Request[Any, Any, Any], error: Exception) -> Answer:
    log.warning("database_was_away", error=type(error).__name__, exc_info=not isinstance(error, ConnectionError))
    sentence = _("The database is away for a moment. Nothing is lost: try again in a few seconds.")
    return error_response(request, Unavailable(sentence, retry_after_seconds=2))


def _cannot_write(request: Request[Any, Any, Any], error: Exception) -> Answer:
    log.error("database_could_not_write", error=type(error).__name__)
    sentence = _("The database cannot store anything now: its disk is full, or it is read-only. Nothing was changed.")
    return error_response(request, Unavailable(sentence, retry_after_seconds=30))


def _no_such_value(request: Request[Any, Any, Any], error: Exception) -> Answer:
    """A value that Postgres has no place for, which no check of ours caught: it names nothing that exists."""
    log.warning("database_refused_value", exc_info=True)
    return error_response(request, NotFound(_sentence(HTTPStatus.NOT_FOUND)))


def _last_resort(request: Request[Any, Any, Any], error: Exception) -> Answer:
    log.error("request_failed", exc_info=error)
    sentence = _("Something went wrong here, and it is not your fault. The log has the details under the id below.")
    return error_response(request, AppError(sentence))


Handler = Callable[[Request[Any, Any, Any], Any], Answer]

EXCEPTION_HANDLERS: dict[int | type[Exception], Handler] = {
    AppError: error_response,
    Answered: lambda _request, error: error.answer,
    HTTPException: _http_error,
    **dict.fromkeys(GONE, _database_away),
    **dict.fromkeys(UNWRITABLE, _cannot_write),
    asyncpg.DataError: _no_such_value,
    Exception: _last_resort,
}


def _plain(status: HTTPStatus) -> AppError:
    """An error that has no class of its own, because only Litestar raises it."""
    error = AppError(_sentence(status))
    error.status_code = status  # type: ignore[misc]  # of this instance alone
    error.code = status.name.lower()  # type: ignore[misc]
    return error


def _sentence(status: HTTPStatus) -> str:
    match status:
        case HTTPStatus.BAD_REQUEST:
            return _("The address or the form holds something that cannot be read.")
        case HTTPStatus.NOT_FOUND:
            return _("There is nothing here: it does not exist, or it is not yours.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return _("This address cannot be used in this way.")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _("That is too large.")
        case _:
            return _("That cannot be done.")


def _lead_to(request: Request[Any, Any, Any], path: str) -> Answer:
    if visit_of(request).is_partial:
        return Response(b"", status_code=401, headers={"hx-redirect": path}, media_type="text/html")
    return Response(b"", status_code=303, headers={"location": path}, media_type="text/html")


def _sign_in_path(request: Request[Any, Any, Any]) -> str:
    """Where to sign in and come back from; only what can be loaded again is come back to."""
    if request.method == "GET" and not visit_of(request).is_partial:
        query = request.scope["query_string"].decode("latin-1")
        next_path = request.scope["path"] + (f"?{query}" if query else "")
    else:
        next_path = referring_path(request)
    return "/sign-in" if next_path == "/" else f"/sign-in?next={quote(next_path, safe='/')}"
