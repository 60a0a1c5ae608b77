"""The one HTTP client of the app, and when it uses a connection again.

Over plain http every request has a connection of its own and says so (`Connection: close`): servers keep them for a few
seconds, close them without a word or answer the next request with a bare 400, and a new one costs next to nothing
nearby. Over https connections are kept, and a request that went out on a kept one that was dead is repeated.
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

#: What this context's calls do when a request was sent a second time: it is the same call (I6), and on its record.
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
    """Sends over a kept connection where that is good, and once more over a new one if the kept one was dead.

    Whatever the method: RFC 9112, 9.3.1 asks for a reason to believe that a POST was not worked on, and a kept connection
    that ends before a byte of the answer is the usual race with a server that was just closing it.
    """

    def __init__(self, kept: httpx.AsyncBaseTransport, fresh: httpx.AsyncBaseTransport) -> None:
        self._kept = kept
        self._fresh = fresh

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme != "https":
            return await self._send_fresh(request)
        _line.set(None)
        try:
            return await self._kept.handle_async_request(request)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            line = _line.get()
            if line is None or not line.was_dead:
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


class _Line(ResponseHandler):
    """A connection that knows whether it had been used before, and whether its server has said anything since."""

    is_used = False
    is_reused = False
    has_heard = False

    @property
    def was_dead(self) -> bool:
        """Of one that failed: whether it had been kept, and gave no byte of an answer."""
        return self.is_reused and not self.has_heard

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    """Tells which connection a request goes out on, and passes over one that was spoken on while nothing was asked."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._factory = functools.partial(_Line, loop=self._loop)  # type: ignore[assignment]

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            line = connection.protocol
            assert isinstance(line, _Line)
            if not line.is_used or not line.should_close:
                break
            connection.close()  # a 408, for instance, that would be read as the answer to this request
        line.is_used, line.is_reused, line.has_heard = True, line.is_used, False
        _line.set(line)
        return connection


#: The connection that the last request of this context went out on.
_line: ContextVar[_Line | None] = ContextVar("line", default=None)
