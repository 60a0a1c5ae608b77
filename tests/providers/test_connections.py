"""What becomes of a connection after an answer: plain http uses none again, https repeats what went out on a dead one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.providers.client import make_client, on_repeat
from app.providers.download import Target, fetch
from app.providers.errors import BadRequest, ProviderError, Unreachable
from tests.authorities import Authority
from tests.providers.conftest import ADAPTERS, PATIENT, Account, Provider, collect, eventually, open_files, question
from tests.scripted import ANTHROPIC, DIALECTS, OPENAI, Close, Dialect, Manners, ScriptedServer, Send, whole
from tests.scripted.server import DEFAULT_WORDS

ANSWER = "".join(DEFAULT_WORDS)
#: Those of an honest server, which a client must get along with.
HONEST = [each for each in Manners if each not in (Manners.BREAKS_OFF, Manners.RESETS_LATE)]


#: A 408 that comes just as a question goes out is the answer to it.
CROWDS = [
    pytest.param(manners, count, id=f"{manners.value}-{count}", marks=pytest.mark.soak if count > 10 else ())
    for manners in HONEST
    for count in (1, 10, 50)
    if manners is not Manners.TIMES_OUT
]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(params=["http", "https"])
async def server(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[ScriptedServer]:
    tls = authority.server_context() if request.param == "https" else None
    async with ScriptedServer(tls=tls) as server:
        yield server
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@pytest.fixture
async def client(server: ScriptedServer, authority: Authority, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    before = open_files()
    async with make_client(authority.write(tmp_path)) as client:
        yield client
    await eventually(lambda: server.open_connections == 0)
    await eventually(lambda: open_files() <= before)


@pytest.fixture
def repeats() -> list[str]:
    """What was noted of the requests that were sent twice."""
    noted: list[str] = []
    on_repeat.set(lambda: noted.append("again"))
    return noted


def is_tls(server: ScriptedServer) -> bool:
    return server.url.startswith("https:")


def at(server: ScriptedServer, client: httpx.AsyncClient, dialect: Dialect = OPENAI) -> Provider:
    return ADAPTERS[dialect.kind](Account("Acme", server.url_for(dialect)), client, PATIENT)


#: Connections are kept over https alone.
over_https = pytest.mark.parametrize("server", ["https"], indirect=True)
#: A server that times out as the next question comes has answered it: there that waits until the server has closed.
PAUSES = [
    pytest.param(
        manners, pause_seconds, id=f"{manners.value}-{name}", marks=pytest.mark.soak if pause_seconds > 0.05 else ()
    )
    for manners in HONEST
    for pause_seconds, name in ((0, "at once"), (0.05, "as it closes"), (0.1, "later"))
    if manners is not Manners.TIMES_OUT or name == "later"
]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.kind)
@pytest.mark.parametrize(("manners", "pause_seconds"), PAUSES)
async def test_lists_and_answers_follow_each_other(
    manners: Manners, pause_seconds: float, dialect: Dialect, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    server.manners, provider = manners, at(server, client, dialect)

    async def pause() -> None:
        await asyncio.sleep(pause_seconds)
        if manners is Manners.TIMES_OUT:
            await eventually(lambda: server.open_connections == 0)

    for _ in range(3):
        assert [model.name for model in await provider.list_models()] == ["scripted"]
        await pause()
        outcome = await collect(provider.stream(question()))
        assert (outcome.error, outcome.text) == (None, ANSWER)
        await pause()


@pytest.mark.parametrize(("manners", "count"), CROWDS)
async def test_any_number_of_questions_at_a_time(
    manners: Manners, count: int, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    server.manners, provider = manners, at(server, client)
    for _ in range(3):
        outcomes = await asyncio.gather(*(collect(provider.stream(question())) for _ in range(count)))
        assert {(outcome.error, outcome.text) for outcome in outcomes} == {(None, ANSWER)}


async def test_only_https_uses_a_connection_again(server: ScriptedServer, client: httpx.AsyncClient) -> None:
    provider = at(server, client)
    for _ in range(3):
        await provider.list_models()
        await collect(provider.stream(question()))
    assert server.connections == (1 if is_tls(server) else 6)
    says_close = {request.headers.get("connection") for request in server.requests}
    assert says_close == ({"keep-alive"} if is_tls(server) else {"close"})


@over_https
@pytest.mark.parametrize("manners", [Manners.HANGS_UP, Manners.RESETS], ids=lambda manners: manners.value)
@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small", "large"])
async def test_a_question_on_a_dead_connection_is_asked_once_more_on_a_new_one(
    manners: Manners, size: int, server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str]
) -> None:
    server.manners, provider = manners, at(server, client)
    await provider.list_models()
    outcome = await collect(provider.stream(question("x" * size)))
    assert (outcome.error, outcome.text) == (None, ANSWER)
    assert repeats == ["again"]
    dead, new = server.questions
    assert dead.body == new.body
    assert new.headers["connection"] == "close"
    assert server.connections == 2


@over_https
@pytest.mark.parametrize("manners", [Manners.HANGS_UP, Manners.RESETS], ids=lambda manners: manners.value)
async def test_lists_counts_and_pulls_are_repeated_in_the_same_place(
    manners: Manners, server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str]
) -> None:
    server.manners, provider = manners, at(server, client, ANTHROPIC)
    server.answers["/v1/messages/count_tokens"] = whole(b'{"input_tokens": 7}')
    server.answers["/tiny.gguf"] = whole(b"GGUF", 200, "application/octet-stream")
    target = Target(f"{server.url}/tiny.gguf", allows_private=True)
    await provider.list_models()
    for number in range(1, 4):
        assert [model.name for model in await provider.list_models()] == ["scripted"]
        assert len(repeats) == 3 * number - 2
        await _make_kept(provider)
        counted = await provider.count_tokens(question())
        assert (counted.tokens, counted.is_exact) == (7, True)
        assert len(repeats) == 3 * number - 1
        await _make_kept(provider)
        answer = await fetch(client, target, {}, within_seconds=60)
        assert await answer.response.aread() == b"GGUF"
        await answer.response.aclose()
        assert len(repeats) == 3 * number
        await _make_kept(provider)


async def _make_kept(provider: Provider) -> None:
    """After a repeat no connection is left: this makes one that is kept."""
    await provider.list_models()


@over_https
@pytest.mark.parametrize("manners", [Manners.BREAKS_OFF, Manners.RESETS_LATE], ids=lambda manners: manners.value)
async def test_nothing_is_repeated_once_a_byte_of_the_status_line_came(
    manners: Manners, server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str]
) -> None:
    server.manners, provider = manners, at(server, client)
    await provider.list_models()
    outcome = await collect(provider.stream(question()))
    assert isinstance(outcome.error, Unreachable)
    assert len(server.questions) == 1
    assert repeats == []


async def test_a_refusal_on_a_kept_connection_is_a_refusal(
    server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str]
) -> None:
    provider = at(server, client)
    await provider.list_models()
    server.script(*whole(b'{"error": {"message": "no"}}', 400))
    outcome = await collect(provider.stream(question()))
    assert isinstance(outcome.error, BadRequest)
    assert len(server.questions) == 1
    assert repeats == []


@pytest.mark.parametrize("first", [(), (Send(b"HTTP/1.1 2"),)], ids=["nothing", "half a status line"])
async def test_a_new_connection_that_fails_is_an_ordinary_failure(
    first: tuple[Send, ...], server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str]
) -> None:
    """Questions and lists alike: aiohttp would ask for a list twice."""
    server.script(*first, Close())
    server.answers["/v1/models"] = (*first, Close())
    outcome = await collect(at(server, client).stream(question()))
    assert isinstance(outcome.error, Unreachable)
    assert outcome.error.sentence == "Acme closed the connection before it answered."
    with pytest.raises(ProviderError):
        await at(server, client).list_models()
    assert len(server.requests) == 2
    assert repeats == []


@over_https
async def test_a_repeat_that_fails_is_not_repeated(
    server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str]
) -> None:
    server.manners, provider = Manners.HANGS_UP, at(server, client)
    await provider.list_models()
    server.script(Close())
    outcome = await collect(provider.stream(question()))
    assert isinstance(outcome.error, Unreachable)
    assert len(server.questions) == 2
    assert repeats == ["again"]


async def test_a_server_that_starts_again_between_two_questions_is_asked_at_its_new_start(
    server: ScriptedServer, client: httpx.AsyncClient, repeats: list[str], authority: Authority
) -> None:
    provider = at(server, client)
    assert (await collect(provider.stream(question()))).text == ANSWER
    port = httpx.URL(server.url).port or 0
    next_one = ScriptedServer(tls=authority.server_context() if is_tls(server) else None)
    await server.close()
    await next_one.start(port)
    try:
        outcome = await collect(provider.stream(question()))
        assert (outcome.error, outcome.text) == (None, ANSWER)
    finally:
        await next_one.close()
