"""The one HTTP client of the app. It reuses connections over https alone (docs/decisions/0039).

Over plain http every request has a connection of its own and says `Connection: close`. Over https connections are kept
for a few seconds; a request that went out on a kept connection that turns out dead is sent once more on a new one.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
import httpx_aiohttp
import structlog
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from app.certificates import make_context
from app.providers.addresses import CheckedResolver, may_be_private
from app.providers.names import LOOK_UPS, LookUps

log = structlog.get_logger()

MAX_CONNECTIONS = 4096
CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 4.0  # uvicorn and llama.cpp close after 5; a request on a closing connection would fail

#: Called when a request of this context is sent a second time. The repeat is the same call (I6) and belongs on its record.
on_repeat: ContextVar[Callable[[], None] | None] = ContextVar("on_repeat", default=None)


def make_client(ca_file: str = "", *, look_ups: LookUps = LOOK_UPS) -> httpx.AsyncClient:
    """The only factory of HTTP clients. Follows no redirect, keeps no cookie, reads no proxy from the environment.

    Proxies from the environment would also catch the model servers on this machine. Reads have no limit here: how long
    a model may be silent depends on what it has said so far (`Limits`). Raises `BadSetting` for the file of certificates.
    """
    context = make_context(ca_file)

    def transport(*, keeps: bool) -> httpx_aiohttp.AiohttpTransport:
        def make_session() -> aiohttp.ClientSession:
            connector = _Connector(
                limit=MAX_CONNECTIONS,
                ssl=context,
                resolver=CheckedResolver(look_ups),
                use_dns_cache=False,  # a name is resolved for each connection, under the rules of who makes it
                **({"keepalive_timeout": KEEP_ALIVE_SECONDS} if keeps else {"force_close": True}),
            )
            session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
            session._retry_connection = False  # it would repeat a GET by itself, on whatever connection
            return session

        return httpx_aiohttp.AiohttpTransport(verify=context, client=make_session)

    def by_policy() -> httpx.AsyncBaseTransport:
        return _Repeating(kept=transport(keeps=True), fresh=transport(keeps=False))

    return httpx.AsyncClient(
        transport=_ByPolicy(public=by_policy(), private=by_policy()),
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        headers={"User-Agent": "parley", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


class _ByPolicy(httpx.AsyncBaseTransport):
    """Keeps connections of those who may call private addresses apart: a kept connection is not resolved, nor checked, again."""

    def __init__(self, public: httpx.AsyncBaseTransport, private: httpx.AsyncBaseTransport) -> None:
        self._public = public
        self._private = private

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        chosen = self._private if may_be_private.get() else self._public
        return await chosen.handle_async_request(request)

    async def aclose(self) -> None:
        await self._public.aclose()
        await self._private.aclose()


class _Repeating(httpx.AsyncBaseTransport):
    """Sends https requests over kept connections, and once more over a new one if the kept one was dead.

    POSTs are repeated too: a kept connection that ends before any byte of an answer is the usual race with a server that
    was closing it (RFC 9112, 9.3.1).
    """

    def __init__(self, kept: httpx.AsyncBaseTransport, fresh: httpx.AsyncBaseTransport) -> None:
        self._kept = kept
        self._fresh = fresh

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme != "https":
            return await self._send_fresh(request)
        _last_protocol.set(None)
        try:
            return await self._kept.handle_async_request(request)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            protocol = _last_protocol.get()
            if protocol is None or not protocol.was_dead:
                raise
            log.info("request_repeated", host=request.url.host, error=type(error.__cause__ or error).__name__)
        if note := on_repeat.get():
            note()
        return await self._send_fresh(request)

    async def _send_fresh(self, request: httpx.Request) -> httpx.Response:
        request.headers["Connection"] = "close"
        return await self._fresh.handle_async_request(request)

    async def aclose(self) -> None:
        await self._kept.aclose()
        await self._fresh.aclose()


class _Protocol(ResponseHandler):
    """Knows whether its connection was reused for the last request, and whether any byte came since."""

    is_used = False
    is_reused = False
    has_heard = False

    @property
    def was_dead(self) -> bool:
        """Whether a request that failed on it may be repeated: it was a kept connection, and no byte of an answer came."""
        return self.is_reused and not self.has_heard

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    """Notes which connection a request uses. Discards a kept one on which bytes came while no request was under way."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._factory = functools.partial(_Protocol, loop=self._loop)  # type: ignore[assignment]

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert isinstance(protocol, _Protocol)
            if not protocol.is_used or not protocol.should_close:
                break
            connection.close()  # such as a 408, which would be read as the answer to this request
        protocol.is_used, protocol.is_reused, protocol.has_heard = True, protocol.is_used, False
        _last_protocol.set(protocol)
        return connection


#: The protocol of the connection that the last request of this context used.
_last_protocol: ContextVar[_Protocol | None] = ContextVar("last_protocol", default=None)
