"""The instance that is measured: the real program with its own database on one core, the scripted model on another."""

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg
import psutil

from app.database import new_id
from app.embedded import EmbeddedPostgres
from app.html.markdown import RENDERER_VERSION
from app.parts import TextPart, encode_parts
from app.secrets import hash_token, new_token
from tests.programs import ROOT, Program
from tests.scripted import DIALECTS
from tests.wire import Caller

#: None where the system cannot bind a process to a core.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
#: One person sends more than a person would.
ENVIRONMENT = {"PARLEY_LOG_LEVEL": "info", "PARLEY_MAX_TURNS_PER_MINUTE": "0"}
OURS = 0
THEIRS = 1


class Instance:
    """A running Parley with one model, and direct access to its database for rows that a bench needs.

    The first of its programs holds the database. People take turns among those that answer requests.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        database: "asyncpg.Connection[asyncpg.Record]",
        database_url: str,
        model: uuid.UUID,
    ) -> None:
        self.programs = programs
        self.program = programs[0]
        self.address = self.program.base_url
        self.database = database
        self.database_url = database_url
        self.model = str(model)
        self.processes = [psutil.Process(program.process.pid) for program in programs]
        self._addresses = itertools.cycle([program.base_url for program in programs if program.base_url])

    async def asking(self, kind: str, model_server: str, *, fallback: str | None = None) -> "Instance":
        """The same with another model of a new account, which falls back on a model if one is named."""
        model = await _add_model(self.database, kind, model_server, fallback)
        return Instance(self.programs, self.database, self.database_url, model)

    async def add_caller(self) -> "tuple[Caller, uuid.UUID]":
        """Somebody who is signed in; no password is hashed for it."""
        user, token = new_id(), new_token()
        await self.database.execute(
            "INSERT INTO users (id, name, email, password_hash, is_owner, is_active, theme, send_key, speech, draft,"
            " created_at) VALUES ($1, $2, $3, '', false, true, 'system', 'enter', 'all', '', now())",
            user, f"Person {user.hex[-6:]}", f"{user.hex}@example.org",
        )  # fmt: skip
        await self.database.execute(
            'INSERT INTO session (id, "user", token_hash, user_agent, created_at, seen_at, expires_at)'
            " VALUES ($1, $2, $3, 'bench', now(), now() + interval '1 hour', now() + interval '1 day')",
            new_id(), user, hash_token(token),
        )  # fmt: skip
        return Caller(next(self._addresses), f"parley={token}"), user

    async def add_models(self, count: int) -> None:
        """Models of a server that nobody asks, with facts as servers and tables give them."""
        provider = new_id()
        await self.database.execute(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, state, refreshed_at)"
            " VALUES ($1, 'openai', 'A large catalog', 'http://127.0.0.1:9/v1', '', '', now(), 'ok', now() + interval '1 hour')",
            provider,
        )
        await self.database.execute(
            "INSERT INTO model (id, provider, name, said, size_bytes, family, quantisation, is_loaded, seen_at, seen_since)"
            " SELECT gen_random_uuid(), $1, 'model-' || n, json_build_object('has_tools', n % 2 = 0, 'context_window', 4096 + n,"
            " 'input_price', n / 100.0, 'output_price', n / 50.0)::jsonb, n * 1000000, 'llama', 'Q4_K_M', n % 7 = 0, now(), now()"
            " FROM generate_series(1, $2) AS n",
            provider, count,
        )  # fmt: skip
        await self.database.execute("ANALYZE model")

    async def forget_models(self) -> None:
        """Those of `add_models`."""
        await self.database.execute("DELETE FROM provider WHERE name = 'A large catalog'")

    async def add_threads(self, user: uuid.UUID, count: int) -> list[str]:
        """Threads without messages."""
        ids = [new_id() for _ in range(count)]
        await self.database.execute(
            'INSERT INTO thread (id, "user", title, is_named, model, created_at, updated_at)'
            " SELECT n.id, $2, 'Thread ' || n.place, true, $3, now(), now() - n.place * interval '1 minute'"
            " FROM unnest($1::uuid[]) WITH ORDINALITY AS n (id, place)",
            ids, user, uuid.UUID(self.model),
        )  # fmt: skip
        return [str(thread) for thread in ids]

    async def fill_thread(self, thread: str, messages: int) -> None:
        """Questions and answers, one below the other, as they would have been stored."""
        ids = [new_id() for _ in range(messages)]
        texts = [_text(number) for number in range(messages)]
        await self.database.execute(
            "INSERT INTO message (id, thread, parent, depth, role, status, parts, content, html, html_version, model,"
            " model_label, finish_reason, output_tokens, duration_ms, created_at, finished_at)"
            " SELECT n.id, $1, n.parent, n.place - 1, CASE WHEN n.place % 2 = 1 THEN 'user' ELSE 'assistant' END,"
            " 'complete', n.parts::jsonb, n.content, CASE WHEN n.place % 2 = 0 THEN '<p>' || n.content || '</p>' ELSE '' END,"
            " $6, $7, 'scripted', CASE WHEN n.place % 2 = 0 THEN 'stop' ELSE '' END, 40, 800, now(), now()"
            " FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[])"
            " WITH ORDINALITY AS n (id, parent, parts, content, place)",
            uuid.UUID(thread), ids, [None, *ids[:-1]], [encode_parts([TextPart(text)]) for text in texts], texts,
            RENDERER_VERSION, uuid.UUID(self.model),
        )  # fmt: skip
        await self.database.execute("UPDATE thread SET leaf = $2 WHERE id = $1", uuid.UUID(thread), ids[-1])


@contextlib.contextmanager
def on_core(number: int) -> Iterator[None]:
    """What is started within runs on this core alone, where the system can do that."""
    if not is_pinned():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def is_pinned() -> bool:
    """Whether the two sides run on cores of their own."""
    return len(CORES) > 1


def start_program(data: pathlib.Path) -> tuple[Program, float]:
    """Parley, and after how many seconds it said that it was ready."""
    program = Program("serve", "--port", "0", data=data, environment=ENVIRONMENT)
    with on_core(OURS):
        began = time.monotonic()
        program.start()
    return program, time.monotonic() - began


@contextlib.contextmanager
def scripted_model(rate: float, tokens: int, *options: str) -> Iterator[str]:
    """The scripted model server as a process of its own; gives its address."""
    command = [
        sys.executable,
        "-m",
        "tests.scripted",
        "--stamp",
        "--rate",
        str(rate),
        "--tokens",
        str(tokens),
        *options,
    ]
    with on_core(THEIRS):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def split_programs(data: pathlib.Path) -> Iterator[list[Program]]:
    """Two web processes and two workers, on the embedded Postgres that the first of them holds."""
    started: list[Program] = []

    def start(*arguments: str, wait_for: str | None = None) -> None:
        url = EmbeddedPostgres(data).url if started else ""
        environment = ENVIRONMENT | ({"DATABASE_URL": url} if url else {})
        started.append(Program(*arguments, data=data, environment=environment, wait_for=wait_for))
        started[-1].start()

    try:
        with on_core(OURS):
            for _ in range(2):
                start("serve", "--no-worker", "--port", "0")
            for _ in range(2):
                start("worker", wait_for="worker is ready")
        yield started
    finally:
        for program in reversed(started):
            program.stop()


@contextlib.asynccontextmanager
async def connected(programs: Sequence[Program], model_server: str) -> AsyncIterator[Instance]:
    """The instance with the scripted model: rows as the pages would have made them."""
    url = await EmbeddedPostgres(programs[0].data).find()
    assert url is not None
    database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
    try:
        yield Instance(programs, database, url, await _add_model(database, "openai", model_server))
    finally:
        await database.close()


async def _add_model(
    database: "asyncpg.Connection[asyncpg.Record]", kind: str, model_server: str, fallback: str | None = None
) -> uuid.UUID:
    provider, model = new_id(), new_id()
    (base_path,) = (dialect.base_path for dialect in DIALECTS if dialect.kind == kind)
    await database.execute(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, is_enabled, state, error, created_at,"
        " refreshed_at) VALUES ($1, $2, $3, $4, '', true, 'ok', '', now(), now())",
        provider, kind, f"Scripted {provider.hex[-4:]}", model_server + base_path,
    )  # fmt: skip
    await database.execute(
        "INSERT INTO model (id, provider, name, seen_at, fallbacks) VALUES ($1, $2, 'scripted', now(), $3::jsonb)",
        model, provider, f'["{fallback}"]' if fallback else "[]",
    )  # fmt: skip
    return model


def _text(number: int) -> str:
    words = "the harbour was quiet and seven lanterns drifted over the water while nobody spoke"
    return f"Entry {number}: {words}, and {words}."
