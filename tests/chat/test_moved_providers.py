"""A provider whose address was changed behind its key: no answer, title, task or probe takes the key there."""

import uuid
from collections.abc import AsyncIterator

import pytest

from app.chat import catalog
from app.database import fetch, fetch_row
from app.origins import origin_of
from app.providers.client import make_client
from app.settings import read
from app.tables.provider import seal_base_url, seal_key
from tests.canary import CANARY, leaks
from tests.chat.conftest import SETTINGS, Chat, working
from tests.chat.test_tasks import Harbour, harbour
from tests.chat.test_tasks import working as working_on_tasks
from tests.scripted import OLLAMA, Dialect, ScriptedServer
from tests.watching import within

__all__ = ["harbour"]


@pytest.fixture
async def other() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running


async def move(owner: ScriptedServer, other: ScriptedServer, dialect: Dialect) -> None:
    """The rows have a key for the one server, and the address of the other."""
    sealed, shown = seal_base_url(other.url_for(dialect))
    key_sealed = seal_key(CANARY, origin_of(owner.url))
    await fetch(
        "UPDATE provider SET base_url = '', base_url_sealed = $1, shown_url = $2, key_sealed = $3",
        sealed,
        shown,
        key_sealed,
    )


async def test_an_answer_fails_with_a_sentence_and_no_request(
    chat: Chat, dialect: Dialect, other: ScriptedServer, database: str
) -> None:
    await move(chat.server, other, dialect)
    asked = len(chat.server.requests)
    settings = read({"PARLEY_DRAIN_SECONDS": "0", "PARLEY_TITLE_MODEL": "scripted"})
    async with working(database, settings, names=True):
        answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"]) == ("failed", "wrong_origin")
    sentence = f"is for {origin_of(chat.server.url)} and was not sent to {origin_of(other.url)}"
    assert sentence in str(answer["error_sentence"])
    assert other.requests == []
    assert len(chat.server.requests) == asked


async def test_an_answer_at_its_own_address_has_the_key_though_both_are_sealed(
    chat: Chat, dialect: Dialect, database: str
) -> None:
    await move(chat.server, chat.server, dialect)
    async with working(database, SETTINGS, names=True):
        answer = await chat.final((await chat.ask()).answer)
        async with within("the question for a title"):
            await chat.server.next_question(2)  # the title's
    assert answer["status"] == "complete"
    assert len(leaks(chat.server.questions)) == len(chat.server.questions)


async def test_a_refresh_says_so_and_the_models_stay(
    chat: Chat, dialect: Dialect, other: ScriptedServer, provider: uuid.UUID
) -> None:
    await move(chat.server, other, dialect)
    async with make_client() as client:
        said = await catalog.refresh(provider, catalog.connector(client, SETTINGS))
    assert "Enter the key again for that address." in said
    row = await fetch_row("SELECT state, error FROM provider")
    assert row is not None
    assert (row["state"], row["error"]) == ("stale", said)
    assert other.requests == []


@pytest.mark.parametrize("kind", ["pull", "load", "unload"])
async def test_a_task_takes_no_key_along(harbour: Harbour, other: ScriptedServer, database: str, kind: str) -> None:
    await move(harbour.server, other, OLLAMA)
    async with working_on_tasks(database):
        ended = await harbour.ended(await harbour.start(kind, "lantern:latest"))
    assert (ended["state"], "was not sent to" in ended["error"]) == ("failed", True)
    assert other.requests == harbour.server.requests == []
