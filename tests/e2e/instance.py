"""A running Parley, the people in it, and what its database holds."""

import pathlib
import re
import uuid
from typing import Any

import asyncpg

from app.secrets import hash_token, new_token
from tests.e2e.model_server import ModelServer
from tests.people import password_hash
from tests.programs import Program
from tests.scripted import OPENAI
from tests.watching import PROGRAM_SECONDS, until


class Person:
    """Somebody with an account, and the secret of a cookie that signs them in."""

    def __init__(self, user_id: uuid.UUID, name: str, email: str, token: str) -> None:
        self.id = user_id
        self.name = name
        self.email = email
        self.token = token


class Instance:
    """`parley serve` with one model server connected. Tests share it: each has people of its own."""

    def __init__(self, program: Program, database_url: str, models: ModelServer) -> None:
        self.base_url = program.base_url
        self.models = models
        self._database_url = database_url
        self._program = program
        self._count = 0

    @property
    def data(self) -> pathlib.Path:
        """The data folder."""
        return self._program.data

    @property
    def owner_link(self) -> str:
        """The address that creates the owner, out of the console."""
        return self._program.owner_link

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of the instance's database."""
        connection = await asyncpg.connect(self._database_url)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    async def add_person(self, name: str, *, is_owner: bool = False, theme: str = "system") -> Person:
        """Somebody new who is signed in, without the pages that lead there."""
        self._count += 1
        person = Person(uuid.uuid4(), name, f"person-{self._count}@example.org", new_token())
        await self.sql(
            "INSERT INTO users (id, name, email, password_hash, is_owner, theme, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, now())",
            person.id, name, person.email, password_hash(), is_owner, theme,
        )  # fmt: skip
        await self.sql(
            'INSERT INTO session (id, "user", token_hash, user_agent, created_at, seen_at, confirmed_at, expires_at)'
            " VALUES ($1, $2, $3, 'Chromium on Linux', now(), now(), now(), now() + interval '1 day')",
            uuid.uuid4(), person.id, hash_token(person.token),
        )  # fmt: skip
        return person

    async def connect(self, name: str, server: ModelServer) -> uuid.UUID:
        """Connect a model server as the owner's page would; its id."""
        provider = uuid.uuid4()
        await self.sql(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, state, error, created_at, refreshed_at)"
            " VALUES ($1, 'openai', $2, $3, '', 'ok', '', now(), now())",
            provider, name, server.url_for(OPENAI),
        )  # fmt: skip
        for model in server.models:
            await self.sql(
                "INSERT INTO model (id, provider, name, seen_at) VALUES ($1, $2, $3, now())",
                uuid.uuid4(),
                provider,
                model,
            )
        return provider

    async def add_thread(self, person: Person, turns: int, *, title: str = "A long thread") -> uuid.UUID:
        """A thread with so many turns, made at once."""
        thread = uuid.uuid4()
        await self.sql(_THREAD, str(thread), person.id, title, turns)
        return thread

    async def stored(self, thread: uuid.UUID | str) -> list[asyncpg.Record]:
        """The thread's messages, oldest first."""
        return await self.sql("SELECT * FROM message WHERE thread = $1 ORDER BY depth, id", uuid.UUID(str(thread)))

    async def until_final(self, thread: uuid.UUID) -> None:
        """Wait until nothing is written in this thread any more."""

        async def is_final() -> bool:
            return (await self.stored(thread))[-1]["status"] not in ("queued", "running")

        await until("the end of the newest answer", is_final, PROGRAM_SECONDS)

    async def until_found(self, what: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of a statement, once there are any."""
        return await until(what, lambda: self.sql(statement, *arguments), PROGRAM_SECONDS)


def thread_of(url: str) -> uuid.UUID:
    """The thread that an address shows."""
    found = re.search(r"/threads/([0-9a-f-]{36})", url)
    assert found, url
    return uuid.UUID(found[1])


_THREAD = """
WITH thread AS (
    INSERT INTO thread (id, "user", title, is_named, model, leaf, created_at, updated_at)
    SELECT $1::text::uuid, $2, $3, true, (SELECT id FROM model ORDER BY name LIMIT 1),
        md5($1::text || ($4::int * 2 - 1))::uuid, now(), now()
)
INSERT INTO message (id, thread, parent, depth, role, status, parts, content, model_label, finish_reason, request_id,
    created_at)
SELECT md5($1::text || n)::uuid, $1::text::uuid, CASE WHEN n > 0 THEN md5($1::text || (n - 1))::uuid END, n,
    CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, 'complete',
    jsonb_build_array(jsonb_build_object('type', 'text', 'text', words)), words,
    CASE n % 2 WHEN 0 THEN '' ELSE 'lantern-7b' END, CASE n % 2 WHEN 0 THEN '' ELSE 'stop' END,
    CASE n % 2 WHEN 0 THEN gen_random_uuid() END, now() - make_interval(mins => $4 * 2 - n)
FROM generate_series(0, $4 * 2 - 1) AS n, LATERAL (
    SELECT CASE n % 2 WHEN 0 THEN 'Question ' ELSE 'Answer ' END || n || repeat(E'\\n\\nOne more line.', n % 5) AS words
) AS w
"""
