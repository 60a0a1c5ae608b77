"""The one HTTP client of the app."""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
import httpx_aiohttp

from app.providers.addresses import CheckedResolver

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
        transport=httpx_aiohttp.AiohttpTransport(verify=verify, client=make_session),
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        headers={"User-Agent": "parley", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )
