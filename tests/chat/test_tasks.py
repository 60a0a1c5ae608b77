"""Tasks of models: carried out once, told as they go, cancelled, taken over from a dead worker, and refused when doubled."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from app.chat import catalog, tasks
from app.chat.model_watch import ModelWatch
from app.chat.resolution import resolve
from app.chat.task_runner import TaskRunner
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id, own_connection
from app.errors import Conflict
from app.live import Lost, News, Reader, tell
from app.providers.client import make_client
from app.providers.keeping import Pull
from app.tables.session import Session
from app.tables.user import User
from tests.chat.conftest import SETTINGS
from tests.people import add_user
from tests.scripted import OLLAMA, ScriptedServer, Send, Stall, Wait, chunk
from tests.watching import SECONDS, until, within

HALF = b'{"status": "pulling abc", "digest": "sha256:abc", "total": 1000, "completed": 500}\n'


class Harbour:
    """An Ollama with a model, connected, and who runs the instance."""

    def __init__(self, server: ScriptedServer, provider: uuid.UUID, owner: User) -> None:
        self.server = server
        self.provider = provider
        self.owner = owner

    async def start(self, kind: tasks.Kind, name: str = "scripted") -> uuid.UUID:
        options = msgspec.json.encode(Pull(name)).decode() if kind == "pull" else "{}"
        return await tasks.start_task(kind, self.provider, name, user=self.owner.id, source=name, options=options)

    async def row(self, task: uuid.UUID) -> dict[str, Any]:
        row = await fetch_row("SELECT * FROM model_task WHERE id = $1", task)
        assert row is not None
        return dict(row)

    async def until(self, task: uuid.UUID, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        row: dict[str, Any] = {}

        async def is_so() -> bool:
            nonlocal row
            row = await self.row(task)
            return holds(row)

        await until("what is waited for of a task", is_so)
        return row

    async def ended(self, task: uuid.UUID) -> dict[str, Any]:
        return await self.until(task, lambda row: row["state"] not in ("queued", "running"))


@pytest.fixture
async def harbour(database: str) -> AsyncIterator[Harbour]:
    async with ScriptedServer() as server:
        provider = new_id()
        await fetch(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at)"
            " VALUES ($1, 'ollama', 'Harbour', $2, '', '', now())",
            provider, server.url_for(OLLAMA),
        )  # fmt: skip
        yield Harbour(server, provider, await add_user("Olive", is_owner=True))


@contextlib.asynccontextmanager
async def working(database: str) -> AsyncIterator[tuple[Worker, TaskRunner]]:
    """A worker that carries out tasks, in this process."""
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)
        worker = Worker(database, SETTINGS, connect, _nothing)
        runner = TaskRunner(worker, connect, lambda provider: catalog.refresh(provider, connect), _nothing)
        reader = Reader(database)
        reader.hears += [worker.hear, runner.hear]
        running = [asyncio.create_task(worker.run()), asyncio.create_task(reader.run())]
        try:
            yield worker, runner
        finally:
            worker.is_ending.set()
            await runner.drain()
            await worker.drain(0)
            for task in running:
                task.cancel()
            async with within("the end of a worker"):
                await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture
async def worker(database: str) -> AsyncIterator[None]:
    async with working(database):
        yield


async def until_blocked() -> None:
    """Somebody waits for a lock."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    await until("somebody who waits for a lock", lambda: fetch(waits))


async def _nothing(*_: object) -> None:
    return None


async def names() -> list[str]:
    return [row["name"] for row in await fetch("SELECT name FROM model WHERE gone_at IS NULL ORDER BY name")]


async def test_a_pull_brings_a_model_and_the_list_knows_it(harbour: Harbour, worker: None) -> None:
    row = await harbour.ended(await harbour.start("pull", "lantern:latest"))
    assert (row["state"], row["error"], row["done_bytes"]) == ("done", "", 3500)

    async def is_listed() -> bool:
        return "lantern:latest" in await names()

    await until("the pulled model in the list", is_listed)


async def test_loading_and_unloading_change_what_the_list_says(harbour: Harbour, worker: None) -> None:
    for kind, is_loaded in (("load", True), ("unload", False)):
        assert (await harbour.ended(await harbour.start(kind)))["state"] == "done"  # type: ignore[arg-type]
        await until(
            f"the list's word of the {kind}",
            lambda: fetch("SELECT 1 FROM model WHERE is_loaded = $1", is_loaded),  # noqa: B023
        )


async def test_a_deleted_model_is_gone_and_says_since_when(harbour: Harbour, worker: None) -> None:
    assert (await harbour.ended(await harbour.start("load")))["state"] == "done"
    assert (await harbour.ended(await harbour.start("delete")))["state"] == "done"
    assert harbour.server.models == []
    await until("the list's word of the deletion", lambda: fetch("SELECT 1 FROM model WHERE gone_at IS NOT NULL"))
    (row,) = await fetch("SELECT gone_at >= seen_since AS is_later FROM model")
    assert row["is_later"] is True


async def test_what_fails_says_why_and_another_one_may_begin(harbour: Harbour, worker: None) -> None:
    row = await harbour.ended(await harbour.start("pull", "missing:latest"))
    assert row["state"] == "failed"
    assert "Harbour" in row["error"]
    assert [task["id"] for task in await tasks.list_tasks()] == [row["id"]]
    again = await harbour.start("pull", "missing:latest")
    assert again != row["id"]
    await harbour.ended(again)


async def test_one_thing_at_a_time_is_done_with_a_model(harbour: Harbour) -> None:
    await harbour.start("load")
    with pytest.raises(Conflict):
        await harbour.start("unload")
    outcomes = await asyncio.gather(
        *(harbour.start("pull", "lantern:latest") for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, uuid.UUID) for one in outcomes) == 1
    assert sum(isinstance(one, Conflict) for one in outcomes) == 7


def stuck(server: ScriptedServer) -> None:
    """The next pull says that half of it is there, and then nothing any more."""
    server.answers["/api/pull"] = (OLLAMA.head(), Send(chunk(HALF)), Stall())


async def test_a_cancelled_pull_ends_and_closes_its_line(harbour: Harbour, worker: None) -> None:
    stuck(harbour.server)
    task = await harbour.start("pull", "lantern:latest")
    row = await harbour.until(task, lambda row: row["done_bytes"] == 500)
    assert (row["total_bytes"], row["phase"]) == (1000, "downloading")
    await tasks.cancel_task(task)
    assert (await harbour.ended(task))["state"] == "cancelled"
    assert await tasks.list_tasks() == []


async def test_a_pull_that_waits_is_cancelled_by_whoever_takes_it(harbour: Harbour, database: str) -> None:
    task = await harbour.start("pull", "lantern:latest")
    await tasks.cancel_task(task)
    async with working(database):
        assert (await harbour.ended(task))["state"] == "cancelled"
    assert harbour.server.models == ["scripted"]


async def test_a_cancellation_in_the_middle_of_a_claim_leaves_no_task_to_nobody(
    harbour: Harbour, database: str
) -> None:
    task = await harbour.start("pull", "lantern:latest")
    async with own_connection(database, name="holder") as holder:
        await holder.execute("BEGIN")
        await holder.execute("SELECT 1 FROM model_task WHERE id = $1 FOR UPDATE", task)
        async with working(database):
            await until_blocked()
            await tell(News(key="worker", event="cancel_task", task=str(task)))
            await asyncio.sleep(0.2)
            await holder.execute("COMMIT")
            assert (await harbour.ended(task))["state"] == "cancelled"


async def test_what_fails_just_when_it_is_cancelled_is_forgotten(harbour: Harbour, worker: None) -> None:
    gate = asyncio.Event()
    harbour.server.answers["/api/pull"] = (OLLAMA.head(), Send(chunk(HALF)), Wait(gate), Send(chunk(b"nonsense\n")))
    task = await harbour.start("pull", "lantern:latest")
    await harbour.until(task, lambda row: row["done_bytes"] == 500)
    # As if the word of it was under way.
    await fetch("UPDATE model_task SET is_cancel_requested = true WHERE id = $1", task)
    gate.set()
    assert (await harbour.ended(task))["state"] == "cancelled"
    assert await tasks.list_tasks() == []


async def test_a_failed_task_is_forgotten_when_that_is_asked_for(harbour: Harbour, worker: None) -> None:
    for kind, name in (("pull", "missing:latest"), ("load", "missing:latest")):
        task = await harbour.start(kind, name)  # type: ignore[arg-type]
        assert (await harbour.ended(task))["state"] == "failed"
        await tasks.cancel_task(task)

        async def is_forgotten() -> bool:
            return not await tasks.list_tasks()

        await until("the end of a failed task", is_forgotten)


async def test_a_worker_that_is_told_to_end_puts_its_pull_back(harbour: Harbour, database: str) -> None:
    stuck(harbour.server)
    task = await harbour.start("pull", "lantern:latest")
    async with working(database):
        await harbour.until(task, lambda row: row["done_bytes"] == 500)
    row = await harbour.row(task)
    assert (row["state"], row["worker"]) == ("queued", None)
    del harbour.server.answers["/api/pull"]
    async with working(database):
        row = await harbour.ended(task)
    assert (row["state"], row["attempt"]) == ("done", 2)


async def test_the_pull_of_a_dead_worker_is_taken_over(harbour: Harbour, worker: None) -> None:
    task = await harbour.start("pull", "lantern:latest")
    await harbour.ended(task)
    await fetch(
        "UPDATE model_task SET state = 'running', worker = 42, attempt = 1, ended_at = NULL WHERE id = $1", task
    )
    assert await resolve() == 0  # it counts answers
    row = await harbour.ended(task)
    assert (row["state"], row["attempt"]) == ("done", 2)


async def test_what_no_worker_survives_is_given_up(harbour: Harbour) -> None:
    task = await harbour.start("load")
    await fetch(
        "UPDATE model_task SET state = 'running', worker = 42, attempt = $2 WHERE id = $1", task, tasks.MOST_ATTEMPTS
    )
    assert await resolve() == 0  # it counts answers
    row = await harbour.row(task)
    assert row["state"] == "failed"
    assert "5 times" in row["error"]


async def test_a_worker_that_was_taken_for_dead_writes_nothing_any_more(harbour: Harbour, worker: None) -> None:
    stuck(harbour.server)
    task = await harbour.start("pull", "lantern:latest")
    await harbour.until(task, lambda row: row["done_bytes"] == 500)
    await fetch("UPDATE model_task SET attempt = attempt + 1, phase = 'theirs' WHERE id = $1", task)
    await tasks.cancel_task(task)
    await asyncio.sleep(0.5)
    row = await harbour.row(task)
    assert (row["state"], row["phase"]) == ("running", "theirs")


async def test_what_breaks_inside_parley_ends_too(harbour: Harbour, worker: None) -> None:
    await fetch("UPDATE provider SET key_sealed = 'not-sealed-by-us'")
    row = await harbour.ended(await harbour.start("load"))
    assert row["state"] == "failed"
    assert "inside Parley" in row["error"]


async def test_an_open_page_sees_how_far_it_is(harbour: Harbour, worker: None, database: str) -> None:
    token = await Session.start(harbour.owner, user_agent="", days=1)
    assert token is not None
    (session,) = await fetch("SELECT id FROM session")
    reader = Reader(database)
    listening = asyncio.create_task(reader.run())
    with reader.view([]) as first:
        assert await first.take(timeout_seconds=SECONDS) == [Lost()]
    watch = ModelWatch(
        reader, harbour.owner.id, session["id"], lambda task: f"{task['share']} of {task['total_bytes']}"
    )
    lines = watch.lines()
    seen = (await anext(lines)).decode()
    assert "event: look" in seen
    stuck(harbour.server)
    task = await harbour.start("pull", "lantern:latest")
    async with within("the page's word of a half, and of its end"):
        while "data:50.0 of 1000" not in seen:
            seen += (await anext(lines)).decode()
        await tasks.cancel_task(task)
        await harbour.ended(task)
        await Session.end_all(harbour.owner.id)
        async for line in lines:
            seen += line.decode()
    assert "event: signed_out" in seen
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
