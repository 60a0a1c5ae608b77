"""A person, a model, a worker: what tests of turns need."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest

from app.chat import catalog
from app.chat.drawing import draw
from app.chat.new_message import NewMessage
from app.chat.title import naming
from app.chat.tree import find_message
from app.chat.turn import Turn, start_thread
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id
from app.live import Lost, Reader
from app.providers.client import make_client
from app.settings import Settings, read, take_stored
from tests.scripted.dialects import DIALECTS, OPENAI, Dialect
from tests.scripted.server import ScriptedServer
from tests.watching import SECONDS, until, within

SETTINGS = read({"PARLEY_DRAIN_SECONDS": "0"})


class Chat:
    """One person's way through the app without HTTP."""

    def __init__(self, user: uuid.UUID, model: uuid.UUID, server: ScriptedServer) -> None:
        self.user = user
        self.model = model
        self.server = server

    async def ask(self, text: str = "Hello") -> Turn:
        new = NewMessage(text, self.model, new_id())
        return await start_thread(self.user, new, options="{}", system_prompt="")

    async def message(self, message_id: uuid.UUID) -> dict[str, object]:
        row = await fetch_row("SELECT * FROM message WHERE id = $1", message_id)
        assert row is not None
        return dict(row)

    async def body(self, message_id: uuid.UUID) -> str:
        """What a page of this person shows of it; it is stored then, too."""
        (drawn,) = await draw([await find_message(message_id)], self.user)
        await html_is_stored()
        return str(drawn.body)

    async def final(self, message_id: uuid.UUID, *, seconds: float = SECONDS) -> dict[str, object]:
        """The answer, once it has come to its end."""
        unfinished = "SELECT 1 FROM message WHERE id = $1 AND status IN ('queued', 'running')"

        async def has_ended() -> bool:
            return not await fetch(unfinished, message_id)

        await until("the end of the answer", has_ended, seconds)
        return await self.message(message_id)

    async def until_said(self, answer: uuid.UUID, text: str = "") -> None:
        """Wait until these words of an answer are stored, or any."""

        async def is_said() -> bool:
            (row,) = await fetch(_SAID, answer)
            return bool(row["text"] == text if text else row["text"])

        await until(f"the words {text!r} of an answer", is_said)


_SAID = """
SELECT string_agg(d.body, '' ORDER BY d.seq) AS text FROM delta AS d JOIN generation AS g ON g.id = d.generation_id
WHERE g.message = $1
"""


async def html_is_stored() -> None:
    """Wait until everything that was rendered is stored."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "store html"))


@contextlib.asynccontextmanager
async def refusing(condition: str) -> AsyncIterator[None]:
    """Postgres refuses every update of a message for which this is true of NEW."""
    await fetch(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN RAISE EXCEPTION 'no' USING ERRCODE = '22003'; END IF; RETURN NEW; END $$"
    )
    await fetch("CREATE TRIGGER refuse BEFORE UPDATE ON message FOR EACH ROW EXECUTE FUNCTION refuse()")
    try:
        yield
    finally:
        await fetch("DROP FUNCTION refuse() CASCADE")


@pytest.fixture
async def chat(database: str) -> AsyncIterator[Chat]:
    take_stored({"max_turns_per_minute": 0})  # scripts ask faster than people; test_admission.py is about the limit
    user = new_id()
    await fetch(
        "INSERT INTO users (id, name, email, password_hash, is_owner, theme, send_key, speech, draft, is_active)"
        " VALUES ($1, 'Alice', 'alice@example.org', '', false, 'system', 'enter', 'all', '', true)",
        user,
    )
    async with ScriptedServer() as server, make_client() as client:
        provider = new_id()
        await fetch(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
            " VALUES ($1, 'openai', 'Scripted', $2, '', '', now(), true)",
            provider, server.url_for(OPENAI),
        )  # fmt: skip
        assert await catalog.refresh(provider, catalog.connector(client, SETTINGS)) == ""
        model = await fetch_row("SELECT id FROM model WHERE provider = $1", provider)
        assert model is not None
        yield Chat(user, model["id"], server)


@pytest.fixture
async def provider(chat: Chat) -> uuid.UUID:
    (row,) = await fetch("SELECT id FROM provider")
    found: uuid.UUID = row["id"]
    return found


@pytest.fixture
async def heard(chat: Chat, database: str) -> AsyncIterator[list[str]]:
    """The news to everybody, as they come."""
    reader, said = Reader(database), list[str]()
    reader.hears.append(lambda news: said.append(news.event) if news.key == "everybody" else None)
    with reader.view([]) as first:
        task = asyncio.create_task(reader.run())
        assert await first.take(timeout_seconds=SECONDS) == [Lost()]
    yield said
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def worker(chat: Chat, database: str) -> AsyncIterator[Worker]:
    async with working(database, SETTINGS) as made:
        yield made


@pytest.fixture(params=DIALECTS, ids=[dialect.kind for dialect in DIALECTS])
async def dialect(request: pytest.FixtureRequest, chat: Chat) -> Dialect:
    """The chat's provider speaks this one from now on."""
    found: Dialect = request.param
    provider = await fetch_row(
        "UPDATE provider SET kind = $1, base_url = $2 WHERE name = 'Scripted' RETURNING id",
        found.kind,
        chat.server.url_for(found),
    )
    assert provider is not None
    async with make_client() as client:
        assert await catalog.refresh(provider["id"], catalog.connector(client, SETTINGS)) == ""
    return found


@contextlib.asynccontextmanager
async def working(database: str, settings: Settings, *, names: bool = False) -> AsyncIterator[Worker]:
    """A worker in this process, with these settings. `names`: it asks for titles too."""
    async with make_client(settings.ca_file) as client:
        connect = catalog.connector(client, settings)
        made = Worker(database, settings, connect, naming(connect, settings) if names else _nothing)
        reader = Reader(database)
        reader.hears.append(made.hear)
        tasks = [asyncio.create_task(made.run()), asyncio.create_task(reader.run())]
        try:
            yield made
        finally:
            await made.drain(0)
            for task in tasks:
                task.cancel()
            async with within("the end of a worker"):
                await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing(_: object) -> None:
    return None


@pytest.fixture
async def reader(database: str) -> AsyncIterator[Reader]:
    """A reader of the live log that listens already."""
    made = Reader(database)
    with made.view([]) as first:
        task = asyncio.create_task(made.run())
        assert await first.take(timeout_seconds=SECONDS) == [Lost()]
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
