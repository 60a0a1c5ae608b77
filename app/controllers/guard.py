"""The guard: every request passes it first. Then who is asking: `current_user`, `current_session`, `owner_only`."""

import secrets
import time
from typing import Any

import structlog
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from app import words
from app.controllers import border
from app.controllers.bodies import Bodies
from app.controllers.errors import NoOwnerYet, error_response
from app.controllers.receiving import EarlyAnswer, InFlight
from app.controllers.sockets import REFUSED, Sockets
from app.controllers.visit import (
    COOKIES,
    LANGUAGE_COOKIE,
    TOKEN,
    Connection,
    Visit,
    cookie_of,
    find_principal,
    new_id,
    visit_of,
)
from app.errors import AppError, Forbidden, NotSignedIn
from app.principals import Principal
from app.settings import Settings
from app.tables.session import Session
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

STATIC = "/static/"
#: The close code of an error on an open WebSocket. Codes above `MOST_CLOSE_CODE` are Litestar's.
FAILED = 1011
MOST_CLOSE_CODE = 4499
#: Load balancers and monitors request these from single processes, by IP.
MONITORED = ("/health", "/metrics")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types htmx"
)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
OURS = frozenset(name for name, _value in HEADERS) | {b"content-security-policy", b"x-request-id"}


class Guard:
    """ASGI middleware around the whole app, routing included: `app.asgi_handler = Guard(app.asgi_handler, settings)`.

    Gives each request its id and each answer its headers, refuses foreign hosts and origins, reads `?_method=`, and
    answers HEAD from what GET says. No route is exempt, and no WebSocket. An event stream passes it once, at its start.
    Bodies and their tokens are read behind it, as each route says (`bodies.py`).
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, has_pages: bool = True) -> None:
        self._app = app
        self._settings = settings
        self._has_pages = has_pages
        self._trusted = border.networks_of(settings.trusted_proxies)
        self._is_loopback_only = settings.is_loopback and not settings.trusted_proxies

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pass_socket(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"
        if is_head:
            # Answered as GET is, without the body. The server's own scope still says HEAD: it counts the body's bytes.
            scope = {**scope, "method": "GET"}
            send = border.without_body(send)
        visit = scope["state"]["visit"] = self._visit(scope)
        started = time.perf_counter()
        status = 0

        def send_with_headers(message: Message) -> Any:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _headers(message["headers"], visit, is_static=scope["path"].startswith(STATIC))
            return send(message)

        clear_contextvars()
        bind_contextvars(request_id=visit.id)
        words.speak(words.choose(visit.cookie(LANGUAGE_COOKIE), visit.header(b"accept-language")))
        try:
            await self._pass(scope, receive, send_with_headers, visit)
        finally:
            (log.debug if scope["method"] == "GET" and 0 < status < 400 else log.info)(
                "request_answered",
                method="HEAD" if is_head else scope["method"],
                # Never the path itself: an invitation's is a secret.
                route=scope.get("path_template", ""),
                **({"user_id": str(visit.user.id)} if visit.user else {}),
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )

    async def _pass(self, scope: Any, receive: Receive, send: Send, visit: Visit) -> None:
        if visit.has_body:
            may_wait = not visit.header(b"expect")
            early = EarlyAnswer(receive, send, may_wait=may_wait)
            receive, send = early.receive, early.send
        try:
            self._check(scope, visit)
        except AppError as error:
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            answer = error_response(request, error)
            if not visit.has_body:  # `EarlyAnswer` says it otherwise
                answer.headers["connection"] = "close"
            await answer.to_asgi_response(app=None, request=request)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _pass_socket(self, scope: Any, receive: Receive, send: Send) -> None:
        """The same checks for a WebSocket, which must send its origin. A refused one is closed before it opens."""
        visit = scope["state"]["visit"] = self._visit(scope)
        is_open = False

        async def send_plainly(message: Any) -> None:
            nonlocal is_open
            is_open = is_open or message["type"] == "websocket.accept"
            if message["type"] == "websocket.accept":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", visit.id.encode())]
            elif message["type"] == "websocket.close" and (not is_open or message["code"] > MOST_CLOSE_CODE):
                # Litestar's codes and reasons are for programmers.
                message = {**message, "code": FAILED if is_open else REFUSED, "reason": ""}
            await send(message)

        clear_contextvars()
        bind_contextvars(request_id=visit.id)
        words.speak(words.choose(visit.cookie(LANGUAGE_COOKIE), visit.header(b"accept-language")))
        try:
            self._check_way(scope, visit)
            if not visit.header(b"origin"):
                raise border.OtherOrigin(_("A WebSocket must send its Origin."))
        except AppError:
            await send_plainly({"type": "websocket.close", "code": REFUSED, "reason": ""})
            return
        started = time.perf_counter()
        try:
            await self._app(scope, receive, send_plainly)
        finally:
            log.info(
                "socket_ended",
                route=scope.get("path_template", ""),
                **({"user_id": str(visit.user.id)} if visit.user else {}),
                was_open=is_open,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )

    def _visit(self, scope: Any) -> Visit:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        peer = border.plain_address(scope["client"][0]) if scope.get("client") else ""
        is_by_proxy = border.is_trusted(peer, self._trusted)
        if is_by_proxy:
            forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
            peer = border.sender_of(peer, forwarded.decode("latin-1"), self._trusted)
            if (proto := headers.get(b"x-forwarded-proto", b"").decode("latin-1").lower()) in ("http", "https"):
                scope["scheme"] = proto if scope["type"] == "http" else {"http": "ws", "https": "wss"}[proto]
        mark = self._settings.secure_cookies
        is_secure = scope["scheme"] in ("https", "wss") if mark == "auto" else mark == "always"
        cookie_name = COOKIES[0] if is_secure else COOKIES[1]
        token = cookie_of(headers.get(b"cookie", b"").decode("latin-1"), cookie_name)
        return Visit(
            id=new_id(),
            nonce=secrets.token_urlsafe(16),
            headers=headers,
            is_secure=is_secure,
            address=peer,
            # Joined, so that several Host headers are refused.
            host=b",".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1"),
            token=token if TOKEN.fullmatch(token) else None,
            cookie_name=cookie_name,
        )

    def _check(self, scope: Any, visit: Visit) -> None:
        self._check_way(scope, visit)
        scope["method"] = border.method_of(scope["method"], scope["query_string"].decode("latin-1"))

    def _check_way(self, scope: Any, visit: Visit) -> None:
        """Check the Host and the Origin of a request. A refusal is logged with advice, as a proxy may be the cause."""
        # A worker serves monitors only, which use the name of its machine or container.
        public_url = self._settings.public_url if self._has_pages else ""
        origin = visit.header(b"origin")
        knows_own_address = scope["path"] in MONITORED or (self._is_loopback_only and not public_url)
        try:
            border.check_host(
                visit.host,
                is_loopback_only=self._is_loopback_only,
                public_url=public_url,
                own_address=scope["server"][0] if knows_own_address and scope.get("server") else "",
            )
            if scope["type"] == "websocket" or scope["method"] in border.UNSAFE:
                border.check_origin(visit.host, origin, visit.header(b"sec-fetch-site"), public_url)
        except (border.UnknownHost, border.OtherOrigin) as error:
            log.warning(
                "request_refused",
                reason="host" if isinstance(error, border.UnknownHost) else "origin",
                host=border.shown(visit.host),
                origin=border.shown(origin),
                advice="If a proxy stands in front of Parley, pass Host on or set PARLEY_PUBLIC_URL.",
            )
            raise


def _headers(given: Any, visit: Visit, *, is_static: bool) -> list[tuple[bytes, bytes]]:
    ours = OURS if is_static else OURS | {b"cache-control"}
    headers = [(name, value) for name, value in given if name.lower() not in ours]
    headers += HEADERS
    headers.append((b"content-security-policy", CONTENT_SECURITY_POLICY.format(nonce=visit.nonce).encode()))
    headers.append((b"x-request-id", visit.id.encode()))
    headers += [(b"set-cookie", cookie.encode("latin-1")) for cookie in visit.cookies]
    if not is_static:
        headers.append((b"cache-control", b"no-store"))
    return headers


def route_checks(settings: Settings) -> list[DefineMiddleware]:
    """The middleware between routing and every route."""
    room = InFlight(lambda: settings.max_body_bytes)
    return [DefineMiddleware(Sockets), DefineMiddleware(Bodies, settings=settings, room=room)]


async def current_user(scope: Scope) -> User:
    """Who is signed in. Raises `NotSignedIn`."""
    return (await _load(ASGIConnection(scope)))[0]


async def current_session(scope: Scope) -> Session:
    """The sign-in that this request belongs to. Raises `NotSignedIn`."""
    return (await _load(ASGIConnection(scope)))[1]


async def signed_in_only(connection: Connection, _handler: BaseRouteHandler) -> None:
    """A guard for routes that ask for nobody in particular. Raises `NotSignedIn`."""
    await _principal(connection)


async def owner_only(connection: Connection, _handler: BaseRouteHandler) -> None:
    """A guard. Raises `NotSignedIn` and `Forbidden`."""
    if not (await _principal(connection)).is_owner:
        raise Forbidden(_("Only the owner of this instance may do that."))


async def current_principal(scope: Scope) -> Principal:
    """Who asks. Raises `NotSignedIn`."""
    return await _principal(ASGIConnection(scope))


CurrentPrincipal = NamedDependency[Principal]
CurrentUser = NamedDependency[User]
CurrentSession = NamedDependency[Session]
DEPENDENCIES = {
    "current_principal": Provide(current_principal),
    "current_user": Provide(current_user),
    "current_session": Provide(current_session),
}


async def _load(connection: Connection) -> tuple[User, Session]:
    await _principal(connection)
    visit = visit_of(connection)
    if visit.user is not None and visit.session is not None:
        return visit.user, visit.session
    raise Forbidden(_("This address is for signed-in people, not for programs with an API key."))


async def _principal(connection: Connection) -> Principal:
    if (principal := await find_principal(connection)) is not None:
        return principal
    if not await User.has_owner():
        raise NoOwnerYet(_("This instance has no owner yet."))
    raise NotSignedIn(_("You are not signed in."))
