"""A base URL that is nearly right, with the path of another kind or https where http is spoken: the right one is proposed."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey

from app.providers import PROVIDERS
from app.providers.base import Account
from app.providers.client import make_client
from app.providers.errors import BadAnswer, ProviderError, Unreachable
from app.providers.unreachable import unreachable_by
from tests.authorities import Authority
from tests.providers.conftest import KEY, PATIENT, collect, question
from tests.scripted import GEMINI, Close, Reset, Script, ScriptedServer, Send, Stall, chunk, whole

#: What a server without TLS does with a handshake, and how that begins to be told.
WITHOUT_TLS = {
    "waits": "the connection timed out. ",
    "answers in HTTP": "No secure connection to Acme at ",
    "hangs up": "Is it running? ",
}

NOTHING = whole(b"404 page not found", 404, "text/plain")
NO_LIST = whole(b'{"data": 7, "models": 7}')


@pytest.fixture(params=WITHOUT_TLS)
async def plain(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, int]]:
    """What it does, and its port."""

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if request.param == "waits":
            await reader.read()
        if request.param == "answers in HTTP":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    yield request.param, server.sockets[0].getsockname()[1]
    server.close()


async def failure_of(account: Account, client: httpx.AsyncClient, kind: str = "openai") -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await PROVIDERS[kind](account, client, PATIENT).list_models()
    return caught.value


@pytest.mark.parametrize(("path", "shown"), [("/v1", "/v1"), ("/", ""), ("/of-ann/v1", "/…")])
async def test_http_is_proposed_to_who_typed_https(
    plain: tuple[str, int], client: httpx.AsyncClient, path: str, shown: str
) -> None:
    what, port = plain
    if what == "waits":
        client.timeout = httpx.Timeout(None, connect=0.3)
    error = await failure_of(Account("Acme", f"https://localhost:{port}{path}", KEY), client)
    assert isinstance(error, Unreachable)
    assert WITHOUT_TLS[what] in error.sentence
    assert error.sentence.endswith(f" Did you mean http://localhost:{port}{shown}?")


async def test_http_is_not_proposed_to_who_typed_it(client: httpx.AsyncClient) -> None:
    for url in ("http://127.0.0.1:9/v1", "https://127.0.0.1:9/v1"):
        error = await failure_of(Account("Acme", url), client)
        assert error.sentence == "Acme could not be reached at 127.0.0.1:9. Is it running?"


async def test_http_is_proposed_neither_for_the_internet_nor_for_a_bad_certificate() -> None:
    peer = ConnectionKey("models.example", 443, True, True, None, None, None)
    certificate = aiohttp.ClientConnectorCertificateError(peer, ssl.CertificateError("too old"))
    late, broken = aiohttp.ServerTimeoutError(), aiohttp.ClientConnectorSSLError(peer, ssl.SSLError())
    for url, cause in (
        ("https://127.0.0.1/v1", certificate),
        ("https://1.1.1.1/v1", late),
        ("https://1.1.1.1/v1", broken),
        ("https://169.254.169.254/v1", late),
        ("http://127.0.0.1/v1", late),
    ):
        assert "Did you mean" not in (await unreachable_by(Account("Acme", url), cause)).sentence
    assert (
        "Did you mean http://127.0.0.1/v1?"
        in (await unreachable_by(Account("Acme", "https://127.0.0.1/v1"), broken)).sentence
    )


#: What servers with TLS say to plain http: nginx, Go, Apache, Tomcat; and OpenSSL's alert.
WITH_TLS = {
    "nginx": (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html><head><title>400 The plain HTTP request was sent"
        b" to HTTPS port</title></head><body><center><h1>400 Bad Request</h1></center></body></html>"
    ),
    "Go": b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    "Apache": b"HTTP/1.1 400 Bad Request\r\n\r\nReason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    "Tomcat": b"HTTP/1.1 400 \r\n\r\nBad Request\r\nThis combination of host and port requires TLS.\r\n",
    "alert": b"\x15\x03\x01\x00\x02\x02\x46",
}


@pytest.mark.parametrize("said", WITH_TLS.values(), ids=WITH_TLS)
async def test_https_is_proposed_where_a_server_says_that_it_wants_it(said: bytes) -> None:
    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    listener = await asyncio.start_server(welcome, "127.0.0.1", 0)
    address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, make_client() as client:
        account = Account("Acme", f"http://{address}/v1", KEY)
        error = await failure_of(account, client)
        outcome = await collect(PROVIDERS["openai"](account, client, PATIENT).stream(question()))
    assert isinstance(error, BadAnswer)
    assert error.sentence == f"Acme expects https at {address}, but http was sent. Did you mean https://{address}/v1?"
    assert isinstance(outcome.error, BadAnswer)
    assert outcome.error.sentence == error.sentence


@pytest.mark.parametrize(("path", "shown"), [("/v1", "/v1"), ("/", ""), ("/of-ann/v1", "/…")])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_https_is_proposed_where_a_server_hangs_up_on_http_and_shakes_hands_in_tls(
    host: str, path: str, shown: str
) -> None:
    async with ScriptedServer(tls=Authority().server_context()) as server, make_client() as client:
        address = server.url.removeprefix("https://").replace("127.0.0.1", host)
        error = await failure_of(Account("Acme", f"http://{address}{path}", KEY), client)
    assert isinstance(error, Unreachable)
    said = f"Acme closed the connection before it answered. Did you mean https://{address}{shown}?"
    assert error.sentence == said
    assert server.requests == []


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closes", "resets"])
async def test_https_is_not_proposed_for_a_server_that_speaks_http(
    end: Close | Reset, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    server.answers["/v1/models"] = (end,)
    error = await failure_of(Account("Acme", f"{server.url}/v1", KEY), client)
    assert error.sentence == "Acme closed the connection before it answered."


async def test_nobody_who_waits_for_an_answer_waits_for_a_handshake_too(
    server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    server.script(Close())
    outcome = await collect(
        PROVIDERS["openai"](Account("Acme", f"{server.url}/v1"), client, PATIENT).stream(question())
    )
    assert outcome.error is not None
    assert outcome.error.sentence == "Acme closed the connection before it answered."
    assert server.connections == 1


@pytest.mark.parametrize("script", [NOTHING, NO_LIST], ids=["nothing there", "no list"])
@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("openai", "", "/v1"), ("openai", "/v1beta/", "/v1"), ("openai", "/api", "/v1"), ("anthropic", "/v1beta", "/v1"),
        ("gemini", "", "/v1beta"), ("gemini", "/v1", "/v1beta"), ("gemini", "/api", "/v1beta"),
        ("ollama", "/v1", ""), ("ollama", "/v1beta", ""), ("ollama", "/api/", ""),
    ],
)  # fmt: skip
async def test_the_path_of_the_kind_is_proposed(
    server: ScriptedServer, client: httpx.AsyncClient, kind: str, typed: str, meant: str, script: Script
) -> None:
    listing = {"ollama": "/api/tags", "gemini": "/models?pageSize=1000", "anthropic": "/models?limit=1000"}
    path = typed.rstrip("/") + listing.get(kind, "/models")
    server.answers[path] = script
    error = await failure_of(Account("Acme", server.url + typed, KEY), client, kind)
    assert error.sentence.endswith(f" Did you mean {server.url}{meant}?")


async def test_what_is_no_answer_in_a_stream_says_nothing_of_addresses(
    server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    server.script(GEMINI.head(), Send(chunk(GEMINI.unreadable())), Stall())
    provider = PROVIDERS["gemini"](Account("Acme", server.url_for(GEMINI), KEY), client, PATIENT)
    outcome = await collect(provider.stream(question()))
    assert isinstance(outcome.error, BadAnswer)
    assert outcome.error.sentence == "Acme sent something that is not what its protocol says."
