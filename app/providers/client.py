"""The one HTTP client of the app."""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
import httpx_aiohttp

from app.providers.addresses import CheckedResolver, may_be_private

MAX_CONNECTIONS = 4096
CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 4.0  # uvicorn and llama.cpp close after 5; a request on a closing connection would fail


def make_client() -> httpx.AsyncClient:
    """The only factory of HTTP clients. Follows no redirect, keeps no cookie, reads no proxy from the environment.

    Proxies from the environment would also catch the model servers on this machine. Reads have no limit here: how long
    a model may be silent depends on what it has said so far (`Limits`).
    """
    verify = httpx.create_ssl_context()

    def make_session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=verify,
            resolver=CheckedResolver(),
            use_dns_cache=False,  # a name is resolved for each connection, under the rules of who makes it
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    return httpx.AsyncClient(
        transport=_ByPolicy(
            *(httpx_aiohttp.AiohttpTransport(verify=verify, client=make_session) for _policy in range(2))
        ),
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
