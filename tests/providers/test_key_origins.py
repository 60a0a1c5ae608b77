"""A key goes to its own origin alone: whatever is asked of a provider of any kind, and wherever its server points."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import httpx
import msgspec
import pytest

from app.origins import origin_of
from app.parts import TextPart
from app.providers import PROVIDERS
from app.providers.base import Account, ChatMessage, ChatRequest, Provider
from app.providers.errors import ProviderError, WrongOrigin
from app.providers.keeping import Keeper, Pull, Source
from tests.canary import BASIC, CANARY, leaks
from tests.providers.conftest import PATIENT
from tests.scripted import DEEPAI, DIALECTS, Dialect, ScriptedServer
from tests.scripted.steps import whole

KINDS: dict[str, Dialect] = {dialect.kind: dialect for dialect in (*DIALECTS, DEEPAI)}
QUESTION = ChatRequest("scripted", (ChatMessage("user", (TextPart("Why?"),)),))


async def _drain(events: Any) -> None:
    async with aclosing(events) as each:
        async for _event in each:
            pass


def _keeper(provider: Provider) -> Keeper:
    assert isinstance(provider, Keeper)
    return provider


CALLS: dict[str, Callable[[Provider], Awaitable[object]]] = {
    "list": lambda provider: provider.list_models(),
    "probe": lambda provider: provider.takes_questions(),
    "version": lambda provider: provider.server_version(),
    "answer": lambda provider: _drain(provider.stream(QUESTION)),
    "count": lambda provider: provider.count_tokens(QUESTION),
    "look up": lambda provider: _keeper(provider).look_up(Source("lantern")),
    "pull": lambda provider: _drain(_keeper(provider).pull(Pull("lantern"))),
    "load": lambda provider: _drain(_keeper(provider).load("scripted")),
    "unload": lambda provider: _keeper(provider).unload("scripted"),
    "delete": lambda provider: _keeper(provider).delete("scripted"),
    "details": lambda provider: _keeper(provider).details("scripted"),
}
OF_KEEPERS = ("look up", "pull", "load", "unload", "delete", "details")
#: Calls that are good to have: where they fail, there is another way.
OPTIONAL = ("version", "count")
ASK_NOTHING = (("deepai", "probe"), ("ollama", "look up"))

EVERY = [
    (kind, call) for kind in KINDS for call in CALLS if call not in OF_KEEPERS or issubclass(PROVIDERS[kind], Keeper)
]
every_call = pytest.mark.parametrize(("kind", "call"), EVERY, ids=[f"{kind} {call}" for kind, call in EVERY])


@pytest.fixture
async def other() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running


def provider_at(kind: str, server: ScriptedServer, client: httpx.AsyncClient, origin: str, key: str) -> Provider:
    account = Account("Acme", server.url_for(KINDS[kind]), key, origin)
    return PROVIDERS[kind](account, client, PATIENT)


async def failure_of(call: str, provider: Provider) -> ProviderError | None:
    try:
        await CALLS[call](provider)
    except ProviderError as error:
        return error
    return None


def test_every_kind_that_a_person_connects_is_here() -> None:
    assert set(KINDS) == {kind for kind, provider in PROVIDERS.items() if not provider.is_builtin}


@every_call
@pytest.mark.parametrize("key", [CANARY, BASIC], ids=["key", "login"])
async def test_no_call_takes_the_key_elsewhere(
    other: ScriptedServer, server: ScriptedServer, client: httpx.AsyncClient, kind: str, call: str, key: str
) -> None:
    error = await failure_of(call, provider_at(kind, other, client, origin_of(server.url), key))
    if error is not None:
        assert (type(error), error.is_retryable) == (WrongOrigin, False)
        assert origin_of(server.url) in error.sentence
        assert origin_of(other.url) in error.sentence
        assert key not in error.sentence
    else:  # a call without the key would look like a refused key
        assert call in OPTIONAL or (kind, call) in ASK_NOTHING
    assert other.requests == server.requests == []


@every_call
async def test_the_key_goes_to_its_own_server(
    server: ScriptedServer, client: httpx.AsyncClient, kind: str, call: str
) -> None:
    error = await failure_of(call, provider_at(kind, server, client, origin_of(server.url), CANARY))
    assert not isinstance(error, WrongOrigin)
    assert len(leaks(server.requests)) == len(server.requests)


@every_call
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_takes_the_key_elsewhere(
    other: ScriptedServer, server: ScriptedServer, client: httpx.AsyncClient, kind: str, call: str, status: int
) -> None:
    class Leads(dict[str, Any]):
        def get(self, path: str, _default: Any = None) -> Any:
            return whole(b"", status, Location=f"{other.url}{path}")

        def __contains__(self, path: object) -> bool:
            return True

        __missing__ = get

    server.answers = Leads()
    await failure_of(call, provider_at(kind, server, client, origin_of(server.url), CANARY))
    assert other.requests == []


async def test_an_account_that_moves_leaves_its_key_behind(
    other: ScriptedServer, server: ScriptedServer, client: httpx.AsyncClient
) -> None:
    account = Account("Acme", f"{server.url}/v1", CANARY)
    moved = msgspec.structs.replace(account, base_url=f"{other.url}/v1")
    with pytest.raises(WrongOrigin):
        await PROVIDERS["openai"](moved, client).list_models()
    same = msgspec.structs.replace(account, base_url=f"{server.url}/v2")
    with pytest.raises(ProviderError):
        await PROVIDERS["openai"](same, client).list_models()
    assert (other.requests, len(leaks(server.requests))) == ([], len(server.requests))


@pytest.mark.parametrize(
    "called", ["http://127.0.0.1:{port}/v1", "http://localhost:{port}/v1", "http://[::1]:{port}/v1"]
)
async def test_the_same_host_by_another_name_port_or_scheme_is_another_origin(
    server: ScriptedServer, client: httpx.AsyncClient, called: str
) -> None:
    port = server.url.rpartition(":")[2]
    for origin in (f"https://127.0.0.1:{port}", "http://127.0.0.1", f"http://localhost.:{port}.evil.test", "null", ""):
        account = Account("Acme", called.format(port=port), CANARY, origin)
        with pytest.raises(WrongOrigin):
            await PROVIDERS["openai"](account, client).list_models()
    assert server.requests == []
