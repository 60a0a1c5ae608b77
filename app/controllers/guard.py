"""The guard: every request passes it first. Then who is asking: `current_user`, `current_session`, `owner_only`."""

import asyncio
import contextlib
import secrets
import time
from typing import Any

import structlog
from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Message, Receive, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from app import words
from app.controllers import border, file_form
from app.controllers.errors import NoOwnerYet, error_response
from app.controllers.visit import LANGUAGE_COOKIE, TOKEN, Connection, Visit, cookie_of, find_user, new_id, visit_of
from app.database import NO_ANSWER
from app.errors import AppError, Forbidden, Malformed, NotSignedIn
from app.settings import Settings
from app.tables.session import Session
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

STATIC = "/static/"
#: Load balancers and monitors request these from single processes, by IP.
MONITORED = ("/health", "/metrics")
#: How many forms that are too large are kept at a time: each may be 32 MB.
MOST_KEEPING = 2

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

    Gives each request its id and each answer its headers, refuses foreign hosts, oversized bodies and forged forms, and
    reads `?_method=`; it answers HEAD from what GET says. No route is exempt. An event stream passes it once, at its start.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, has_pages: bool = True) -> None:
        self._app = app
        self._settings = settings
        self._has_pages = has_pages
        self._trusted = border.networks_of(settings.trusted_proxies)
        self._keeping = 0
        self._is_loopback_only = settings.is_loopback and not settings.trusted_proxies

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # No route of ours speaks WebSocket; whatever asks is not our page.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
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
        try:
            receive = await self._check(scope, receive, visit)
        except AppError as error:
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            answer = error_response(request, error)
            answer.headers["connection"] = "close"
            await answer.to_asgi_response(app=None, request=request)(scope, receive, send)
            return
        except border.Disconnected:
            return
        await self._app(scope, receive, send)

    def _visit(self, scope: Any) -> Visit:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        peer = scope["client"][0] if scope.get("client") else ""
        is_by_proxy = border.is_trusted(peer, self._trusted)
        if is_by_proxy:
            forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
            peer = border.sender_of(peer, forwarded.decode("latin-1"), self._trusted)
            if (proto := headers.get(b"x-forwarded-proto", b"").decode("latin-1").lower()) in ("http", "https"):
                scope["scheme"] = proto
        mark = self._settings.secure_cookies
        is_secure = scope["scheme"] == "https" if mark == "auto" else mark == "always"
        # Browsers take the prefix for a promise that the cookie is Secure, and refuse it on plain http.
        cookie_name = "__Host-parley" if is_secure else "parley"
        token = cookie_of(headers.get(b"cookie", b"").decode("latin-1"), cookie_name)
        return Visit(
            id=new_id(),
            nonce=secrets.token_urlsafe(16),
            headers=headers,
            is_secure=is_secure,
            is_local=self._is_loopback_only
            and not self._settings.public_url
            and border.is_loopback(peer)
            and not any(name in headers for name in border.PROXY_HEADERS),
            address=peer,
            # Joined, so that several Host headers are refused.
            host=b",".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1"),
            token=token if TOKEN.fullmatch(token) else None,
            cookie_name=cookie_name,
        )

    async def _check(self, scope: Any, receive: Receive, visit: Visit) -> Receive:
        self._check_way(scope, visit)
        if scope["method"] not in border.UNSAFE:
            return receive
        scope["method"] = border.method_of(scope["method"], scope["query_string"].decode("latin-1"))
        body = await self._read(scope, receive, visit)
        if len(body) > file_form.LARGE_BYTES and _kind_of(visit) == file_form.KIND:
            await asyncio.to_thread(_read_form, visit, body)
        else:
            _read_form(visit, body)
        if not _is_ours(visit):
            raise Forbidden(
                _(
                    "This page was drawn for another sign-in, or the browser keeps no cookies. "
                    "Nothing was changed. Load the page again and try once more."
                )
            )
        return _replay(body, receive)

    def _check_way(self, scope: Any, visit: Visit) -> None:
        """Check the Host and the Origin of a request. A refusal is logged with advice, as a proxy may be the cause."""
        # A worker serves monitors only, which use the name of its machine or container.
        public_url = self._settings.public_url if self._has_pages else ""
        origin = visit.header(b"origin")
        try:
            border.check_host(
                visit.host,
                is_loopback_only=self._is_loopback_only,
                public_url=public_url,
                own_address=scope["server"][0] if scope["path"] in MONITORED and scope.get("server") else "",
            )
            if scope["method"] in border.UNSAFE:
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

    async def _read(self, scope: Any, receive: Receive, visit: Visit) -> bytes:
        """The body. Raises as `read_body`; then a form that was kept stands in `visit.form`."""
        limit, announced = self._settings.max_body_bytes, visit.header(b"content-length")
        if border.length_of(announced) <= limit or self._keeping >= MOST_KEEPING or not await _is_kept(scope, visit):
            return await border.read_body(receive, announced, max_bytes=limit)
        self._keeping += 1
        try:
            kept_bytes = border.MOST_KEPT * limit
            return await border.read_body(receive, announced, max_bytes=limit, kept_bytes=kept_bytes)
        except border.BodyTooLarge as error:
            await asyncio.to_thread(_read_form, visit, error.body)
            if not _is_ours(visit):
                visit.form = None
            raise
        finally:
            self._keeping -= 1


async def _is_kept(scope: Any, visit: Visit) -> bool:
    """Whether a form that is too large is kept, to be put right: only of who is signed in, for it takes memory.

    Where there are scripts the page still has it. Without them it would be gone: browsers keep no forms of pages that
    must not be stored.
    """
    if visit.is_partial or _kind_of(visit) != border.FORM:
        return False
    with contextlib.suppress(*NO_ANSWER):
        return await find_user(Request(scope)) is not None
    return False


def _is_ours(visit: Visit) -> bool:
    """Whether the form was drawn for this visitor. Its token is taken out."""
    in_form = "".join((visit.form or {}).pop("_csrf", []))
    return visit.is_csrf(visit.header(b"x-csrf-token") or in_form)


def _kind_of(visit: Visit) -> str:
    return visit.header(b"content-type").partition(";")[0].strip().lower()


def _read_form(visit: Visit, body: bytes) -> None:
    kind = _kind_of(visit)
    if kind == border.FORM or not body:
        visit.form = border.parse_form(body)
    elif kind == file_form.KIND:
        parts = file_form.parse(visit.header(b"content-type"), body)
        visit.form, visit.files = parts.fields, parts.files
    elif kind != "application/json":
        raise Malformed(_("The request's body is of a kind that is not taken here: send a form or JSON."))


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more for who asks; then whatever comes next, which is the visitor going away."""
    is_given = False

    async def receive_again() -> Any:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


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


async def current_user(request: Request[Any, Any, Any]) -> User:
    """Who is signed in. Raises `NotSignedIn`."""
    return (await _load(request))[0]


async def current_session(request: Request[Any, Any, Any]) -> Session:
    """The sign-in that this request belongs to. Raises `NotSignedIn`."""
    return (await _load(request))[1]


async def signed_in_only(connection: Connection, _handler: BaseRouteHandler) -> None:
    """A guard for routes that ask for nobody in particular. Raises `NotSignedIn`."""
    await _load(connection)


async def owner_only(connection: Connection, _handler: BaseRouteHandler) -> None:
    """A guard. Raises `NotSignedIn` and `Forbidden`."""
    user, _session = await _load(connection)
    if not user.is_owner:
        raise Forbidden(_("Only the owner of this instance may do that."))


CurrentUser = NamedDependency[User]
CurrentSession = NamedDependency[Session]
DEPENDENCIES = {"current_user": Provide(current_user), "current_session": Provide(current_session)}


async def _load(connection: Connection) -> tuple[User, Session]:
    user, session = await find_user(connection), visit_of(connection).session
    if user is not None and session is not None:
        return user, session
    if not await User.has_owner():
        raise NoOwnerYet(_("This instance has no owner yet."))
    raise NotSignedIn(_("You are not signed in."))
