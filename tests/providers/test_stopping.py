"""Stop means stop: whoever leaves a stream closes its socket at once; and servers that cannot be reached at all."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.parts import TextDelta
from app.providers import PROVIDERS
from app.providers.base import Account, Limits, Provider
from app.providers.errors import KeyRejected, ProviderError, TimedOut, Unreachable
from tests.providers.conftest import QUICK, collect, eventually, question
from tests.scripted import Close, Dialect, Repeat, ScriptedServer, Send, Stall, chunk, whole
from tests.watching import within


@pytest.fixture
def limits() -> Limits:
    """More patient than the tests: what ends a connection here is no time limit."""
    return FOR_EVER


FOR_EVER = Limits(3600, 3600)


async def is_closed(server: ScriptedServer) -> None:
    """The server saw the client of its one question go."""
    asked = await server.next_question()
    async with within("the end of the connection"):
        await asked.closed.wait()


async def test_closing_the_stream_closes_the_socket(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.script(dialect.head(), Repeat(chunk(dialect.text("word ")), None, 0.005))
    events = provider.stream(question())
    assert await anext(events) == TextDelta("word ")
    assert await anext(events) == TextDelta("word ")
    async with within("the end of the stream"):
        await events.aclose()
    await is_closed(server)


@pytest.mark.parametrize("stage", ["before the headers", "before the first token", "in the middle"])
async def test_cancelling_the_reader_closes_the_socket(
    stage: str, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    told = {
        "before the headers": (Stall(),),
        "before the first token": (dialect.head(), Stall()),
        "in the middle": (dialect.head(), Send(chunk(dialect.text("word "))), Stall()),
    }
    server.script(*told[stage])
    reading = asyncio.create_task(
        collect(PROVIDERS[dialect.kind](provider.account, provider.client, FOR_EVER).stream(question()))
    )
    await server.next_question()
    await asyncio.sleep(0.05)
    assert not reading.done()
    reading.cancel()
    async with within("the end of the reading"):
        with pytest.raises(asyncio.CancelledError):
            await reading
    await is_closed(server)


async def test_a_hundred_stopped_streams_leave_nothing_open(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.scripts["scripted"] = (dialect.head(), Repeat(chunk(dialect.text("word ")), None, 0.005))

    async def read_and_leave() -> None:
        events = provider.stream(question())
        await anext(events)
        await events.aclose()

    await asyncio.gather(*(read_and_leave() for _ in range(100)))
    await eventually(lambda: server.open_connections == 0)
    assert len(server.questions) == 100


async def test_hundreds_of_streams_at_once_do_not_wait_for_each_other(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.scripts["scripted"] = (dialect.head(), Send(chunk(dialect.text("word "))), Stall())
    streams = [PROVIDERS[dialect.kind](provider.account, provider.client).stream(question()) for _ in range(400)]
    async with within("the first words of four hundred"):
        firsts = await asyncio.gather(*(anext(stream) for stream in streams))
    assert len(firsts) == 400
    for stream in streams:
        await stream.aclose()


async def test_servers_that_close_after_every_answer_are_asked_again_and_again(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    *begin, last = dialect.answer(("Hi",))
    server.scripts["scripted"] = (*begin, last, Close())
    outcomes = [await collect(provider.stream(question())) for _ in range(40)]
    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert len(server.questions) == 40  # none of them came twice


async def test_stopping_does_not_wait_for_a_server_that_never_reads(
    dialect: Dialect, client: httpx.AsyncClient
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        account = Account("Acme", f"http://127.0.0.1:{listener.getsockname()[1]}")
        long = question("x" * 30_000_000)
        reading = asyncio.create_task(collect(PROVIDERS[dialect.kind](account, client, FOR_EVER).stream(long)))
        await asyncio.sleep(0.3)
        reading.cancel()
        async with within("the end of the reading"):
            with pytest.raises(asyncio.CancelledError):
                await reading
    finally:
        listener.close()


async def test_stopping_does_not_wait_for_a_server_that_answers_without_reading(
    dialect: Dialect, client: httpx.AsyncClient
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        head = dialect.head().content
        writer.write(head + chunk(dialect.text("word ")))
        await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        account = Account("Acme", f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        events = PROVIDERS[dialect.kind](account, client, FOR_EVER).stream(question("x" * 30_000_000))
        assert await anext(events) == TextDelta("word ")
        async with within("the end of the stream"):
            await events.aclose()
    finally:
        gone.set()
        listener.close()


async def test_a_server_that_refuses_is_unreachable(dialect: Dialect, client: httpx.AsyncClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        port = closed.getsockname()[1]
        account = Account("Acme", f"http://user:hidden@127.0.0.1:{port}/v1?key=hidden")
        error = (await collect(PROVIDERS[dialect.kind](account, client).stream(question()))).error
    assert isinstance(error, Unreachable)
    assert error.is_retryable
    assert error.sentence == f"Acme could not be reached at 127.0.0.1:{port}. Is it running?"


async def test_a_name_that_nobody_has_is_unreachable(dialect: Dialect, client: httpx.AsyncClient) -> None:
    provider = PROVIDERS[dialect.kind](Account("Acme", "http://no-such-server.invalid:1/v1"), client)
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, Unreachable)
    assert error.sentence == "The name of Acme's server was not found: no-such-server.invalid:1."


@pytest.mark.parametrize(
    "address", ["", "nonsense", "http://", "ftp://127.0.0.1/", "http://[::1", "http://127.0.0.1:99999/"]
)
async def test_an_address_that_is_none_says_so(address: str, dialect: Dialect, client: httpx.AsyncClient) -> None:
    provider = PROVIDERS[dialect.kind](Account("Acme", address), client)
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, Unreachable)
    assert error.sentence == "The address of Acme is not a valid http or https URL."


@pytest.mark.parametrize("key", ["sk-ü", "sk-\n", "sk-1\r\nX-Evil: 1", "sk-\x00", "•••"])
async def test_a_key_that_no_header_can_carry_is_rejected_here(
    key: str, dialect: Dialect, client: httpx.AsyncClient, server: ScriptedServer
) -> None:
    provider = PROVIDERS[dialect.kind](Account("Acme", server.url_for(dialect), key), client)
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, KeyRejected)
    assert not server.requests


@pytest.fixture
async def self_signed(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a TLS server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    no_password = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "both.pem").write_bytes(key.private_bytes(pem, form, no_password) + certificate.public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "both.pem")
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    yield listener.sockets[0].getsockname()[1]
    listener.close()


async def test_a_bad_certificate_is_never_accepted(
    dialect: Dialect, client: httpx.AsyncClient, self_signed: int
) -> None:
    provider = PROVIDERS[dialect.kind](Account("Acme", f"https://127.0.0.1:{self_signed}"), client)
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, Unreachable)
    assert error.sentence == (
        f"The certificate of Acme at 127.0.0.1:{self_signed} is not valid: this machine does not trust its issuer."
        " If the issuer is your own, put the path of its certificate file in PARLEY_CA_FILE and restart Parley."
    )


async def test_https_to_a_server_without_it_is_unreachable(
    dialect: Dialect, client: httpx.AsyncClient, server: ScriptedServer
) -> None:
    provider = PROVIDERS[dialect.kind](Account("Acme", server.url.replace("http:", "https:")), client, QUICK)
    error = (await collect(provider.stream(question()))).error
    assert isinstance(error, Unreachable | TimedOut)


async def test_lists_of_models_translate_the_same_failures(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    for script, name in (
        (whole(dialect.error_body("no"), 401), "KeyRejected"),
        (whole(b"<html>", 200, "text/html"), "BadAnswer"),
        (whole(b"{}"), "BadAnswer"),
        (whole(b"nonsense"), "BadAnswer"),
        (whole(b'{"data": 7, "models": 7}'), "BadAnswer"),
        (whole(b"", 302, Location="/"), "BadAnswer"),
        ((Close(),), "Unreachable"),
        ((Send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), Close()), "Unreachable"),
        ((Send(b"HTTP/1.1 200 OK\r\n\r\n"), Repeat(b"x" * 65_536)), "BadAnswer"),
    ):
        server.answers[dialect.listing_path] = script
        with pytest.raises(ProviderError) as caught:
            await provider.list_models()
        assert type(caught.value).__name__ == name, script
