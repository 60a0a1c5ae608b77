"""Whose certificates are believed: the machine's, and those in the file that PARLEY_CA_FILE names; what is said of others."""

import datetime
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.certificates import make_context
from app.providers import PROVIDERS
from app.providers.base import Account
from app.providers.client import make_client
from app.providers.download import Target, fetch
from app.providers.errors import Unreachable
from app.settings import BadSetting
from tests.authorities import DAY, Authority
from tests.providers.conftest import PATIENT, collect, question
from tests.scripted import DIALECTS, OPENAI, Dialect, ScriptedServer, whole


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(tls=authority.server_context()) as server:
        server.answers["/tiny.gguf"] = whole(b"GGUF", 200, "application/octet-stream")
        yield server


async def faults(client: httpx.AsyncClient, server: ScriptedServer, dialect: Dialect = OPENAI) -> list[str]:
    """What is said of a list, a question and a pull; "" where it goes well."""
    provider = PROVIDERS[dialect.kind](Account("Acme", server.url_for(dialect)), client, PATIENT)
    found = []
    for asking in (provider.list_models(), _pull(client, f"{server.url}/tiny.gguf")):
        try:
            await asking
            found.append("")
        except Unreachable as error:
            found.append(error.sentence)
    error = (await collect(provider.stream(question()))).error
    return [*found, error.sentence if error else ""]


async def _pull(client: httpx.AsyncClient, url: str) -> None:
    answer = await fetch(client, Target(url, allows_private=True), {}, within_seconds=60)
    assert await answer.response.aread() == b"GGUF"
    await answer.response.aclose()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.kind)
async def test_an_authority_in_the_file_is_trusted(
    dialect: Dialect, server: ScriptedServer, authority: Authority, tmp_path: Path
) -> None:
    async with make_client(authority.write(tmp_path)) as client:
        assert await faults(client, server, dialect) == ["", "", ""]


async def test_an_authority_that_the_machine_trusts_is_trusted_beside_that_in_the_file(
    server: ScriptedServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL reads SSL_CERT_FILE in the place of the machine's own file."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path))
    other = Authority("Harbour's own authority")
    (tmp_path / "other").mkdir()
    async with (
        ScriptedServer(tls=other.server_context()) as another,
        make_client(other.write(tmp_path / "other")) as client,
    ):
        another.answers = server.answers
        assert await faults(client, server) == ["", "", ""]
        assert await faults(client, another) == ["", "", ""]


async def test_an_unknown_issuer_is_named_with_the_way_to_trust_it(server: ScriptedServer) -> None:
    address = server.url.removeprefix("https://")
    why = " at {} is not valid: this machine does not trust its issuer. If the issuer is your own, put the path of its"
    how = " certificate file in PARLEY_CA_FILE and restart Parley."
    said = [f"The certificate of {name}{why.format(address)}{how}" for name in ("Acme", "127.0.0.1", "Acme")]
    async with make_client() as client:
        assert await faults(client, server) == said
    assert server.requests == []


@pytest.mark.parametrize(
    ("hosts", "ends_in", "reason"),
    [
        (("127.0.0.1",), -DAY, "is not valid: it has expired."),
        (("models.example",), DAY, "is not valid: it is for another name."),
    ],
    ids=["expired", "another name"],
)
async def test_what_else_is_wrong_with_a_certificate_is_said(
    hosts: tuple[str, ...], ends_in: datetime.timedelta, reason: str, authority: Authority, tmp_path: Path
) -> None:
    tls = authority.server_context(hosts, ends_in=ends_in)
    async with ScriptedServer(tls=tls) as server, make_client(authority.write(tmp_path)) as client:
        error = (await collect(PROVIDERS["openai"](Account("Acme", server.url), client).stream(question()))).error
    assert error is not None
    assert error.sentence.startswith("The certificate of Acme at 127.0.0.1:")
    assert error.sentence.endswith(reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory."),
        (b"", "it has no certificates in PEM form (-----BEGIN CERTIFICATE-----)."),
        (b"\x30\x82 DER", "it has no certificates in PEM form (-----BEGIN CERTIFICATE-----)."),
    ],
    ids=["missing", "empty", "not PEM"],
)
def test_a_file_without_certificates_is_refused(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting) as caught:
        make_context(str(path))
    assert str(caught.value) == f"PARLEY_CA_FILE='{path}' cannot be used: {reason}"
    with pytest.raises(BadSetting):
        make_client(str(path))


def test_making_a_connection_reads_no_file(authority: Authority, tmp_path: Path) -> None:
    """The machine's store takes 16 ms to read, and the event loop would wait."""
    path = Path(authority.write(tmp_path))
    context = make_context(str(path))
    path.unlink()
    before = context.cert_store_stats()
    began = time.thread_time()
    for _ in range(1000):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="models.example")
    assert time.thread_time() - began < 5  # 0.01 s of the processor, and 16 where the store is read each time
    assert context.cert_store_stats() == before
