"""Turns with servers of every kind of manners: no answer fails, each is one call, and the provider stays up."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.chat import catalog
from app.chat.new_message import NewMessage
from app.chat.turn import Turn, start_turn
from app.database import fetch, fetch_row, new_id
from app.providers.client import make_client
from app.settings import Settings, read
from tests.authorities import Authority
from tests.chat.conftest import Chat, working
from tests.scripted import OPENAI, Manners, ScriptedServer
from tests.scripted.server import DEFAULT_WORDS
from tests.tiers import crossed
from tests.watching import until

SERVERS = [Manners.REFUSES, Manners.HANGS_UP, Manners.RESETS, Manners.CLOSES_SOON]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def settings(authority: Authority, tmp_path: Path) -> Settings:
    return read({"PARLEY_DRAIN_SECONDS": "0", "PARLEY_CA_FILE": authority.write(tmp_path)})


@pytest.fixture(params=["http", "https"])
async def server(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[ScriptedServer]:
    tls = authority.server_context() if request.param == "https" else None
    async with ScriptedServer(tls=tls) as server:
        yield server


@pytest.fixture
async def connected(chat: Chat, server: ScriptedServer, settings: Settings) -> Chat:
    """The person's model is one of this server."""
    provider = new_id()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
        " VALUES ($1, 'openai', 'Harbour', $2, '', '', now(), true)",
        provider, server.url_for(OPENAI),
    )  # fmt: skip
    async with make_client(settings.ca_file) as client:
        assert await catalog.refresh(provider, catalog.connector(client, settings)) == ""
    row = await fetch_row("SELECT id FROM model WHERE provider = $1", provider)
    assert row is not None
    chat.model = row["id"]
    return chat


async def calls_of(message: uuid.UUID) -> list[dict[str, object]]:
    row = await fetch_row("SELECT provider_attempts FROM generation WHERE message = $1", message)
    assert row is not None
    found: list[dict[str, object]] = json.loads(row["provider_attempts"])
    return found


async def naming_of(message: uuid.UUID) -> dict[str, object]:
    """The call that named the thread, once it has ended."""
    done = "SELECT naming -> 'call' AS call FROM generation WHERE message = $1 AND naming ? 'call'"
    rows = await until("the end of the call for a title", lambda: fetch(done, message))
    found: dict[str, object] = json.loads(rows[0]["call"])
    return found


async def is_up() -> bool:
    row = await fetch_row("SELECT state, failures FROM provider WHERE name = 'Harbour'")
    assert row is not None
    return (row["state"], row["failures"]) == ("ok", 0)


async def ask_on(chat: Chat, turn: Turn) -> Turn:
    new = NewMessage("And then?", chat.model, new_id())
    return await start_turn(chat.user, turn.thread, new)


@pytest.mark.parametrize(("manners", "count"), crossed(SERVERS, (1, 10, 50)))
async def test_no_turn_fails(
    manners: Manners, count: int, connected: Chat, server: ScriptedServer, settings: Settings, database: str
) -> None:
    """Two rounds: what the first left behind is what the second meets. Each answer is one call, and names its thread."""
    server.manners = manners
    async with working(database, settings, names=True):
        turns = await asyncio.gather(*(connected.ask(f"Hello {number}") for number in range(count)))
        for _round in range(2):
            for turn in turns:
                row = await connected.final(
                    turn.answer,
                )
                assert (row["status"], row["content"]) == ("complete", "".join(DEFAULT_WORDS))
                assert [call["error"] for call in await calls_of(turn.answer)] == [""]
            turns = list(await asyncio.gather(*(ask_on(connected, turn) for turn in turns)))
        for turn in turns:
            await connected.final(
                turn.answer,
            )

        async def are_named() -> bool:
            return not await fetch("SELECT FROM thread WHERE NOT is_named")

        await until("a title of every thread", are_named)
    assert await is_up()


async def test_a_question_that_was_sent_twice_is_one_call_that_says_so(
    connected: Chat, server: ScriptedServer, settings: Settings, database: str
) -> None:
    async with working(database, settings, names=True):
        first = await connected.ask()
        await connected.final(first.answer)
        assert "was_repeated" not in await naming_of(first.answer)
        server.manners = Manners.HANGS_UP
        second = await ask_on(connected, first)
        assert (await connected.final(second.answer))["status"] == "complete"
    assert ["was_repeated" in call for call in await calls_of(first.answer)] == [False]
    is_kept = server.url.startswith("https:")
    assert [call.get("was_repeated", False) for call in await calls_of(second.answer)] == [is_kept]
    asked = [request for request in server.questions if request.json["messages"][-1]["content"] == "And then?"]
    assert len(asked) == (2 if is_kept else 1)


async def test_a_title_that_was_asked_for_twice_is_one_call_that_says_so(
    connected: Chat, server: ScriptedServer, settings: Settings, database: str
) -> None:
    server.manners = Manners.HANGS_UP  # the answer goes out on a new connection, the title on what that leaves
    async with working(database, settings, names=True):
        turn = await connected.ask()
        await connected.final(turn.answer)
        named = await naming_of(turn.answer)
    is_kept = server.url.startswith("https:")
    assert (named["error"], named.get("was_repeated", False)) == ("", is_kept)


async def test_a_look_at_a_provider_over_a_dead_connection_finds_it_up(
    connected: Chat, server: ScriptedServer, settings: Settings
) -> None:
    """Refreshes and probes: one client, as a process has."""
    server.manners = Manners.HANGS_UP
    row = await fetch_row("SELECT id FROM provider WHERE name = 'Harbour'")
    assert row is not None
    async with make_client(settings.ca_file) as client:
        connect = catalog.connector(client, settings)
        for _ in range(4):
            assert await catalog.refresh(row["id"], connect) == ""
    assert await is_up()


async def test_a_server_that_starts_again_between_two_questions_is_never_down(
    connected: Chat, server: ScriptedServer, settings: Settings, database: str, authority: Authority
) -> None:
    port = int(server.url.rpartition(":")[2])
    tls = authority.server_context() if server.url.startswith("https:") else None
    async with working(database, settings):
        turn = await connected.ask()
        assert (await connected.final(turn.answer))["status"] == "complete"
        await server.close()
        again = ScriptedServer(tls=tls)
        await again.start(port)
        try:
            second = await ask_on(connected, turn)
            assert (await connected.final(second.answer))["status"] == "complete"
            assert len(await calls_of(second.answer)) == 1
        finally:
            await again.close()
    assert await is_up()
