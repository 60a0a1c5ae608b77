"""How everything is, as programs and the owner are told: who may ask, what is said, and what when the database hangs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar

from app import postmaster
from app.api.health import Report
from app.chat.health import PATIENCE_SECONDS, gather
from app.database import close_pool, fetch, open_pool, pool
from app.embedded import EmbeddedPostgres
from app.main import create_app
from app.settings import current
from tests.controllers.threads import add_model, converse
from tests.faults.relay import Relay, to_socket
from tests.loop_passes import awake
from tests.people import Browser, _in_one_task
from tests.watching import until

TOKEN = "a-token-of-monitoring"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest_asyncio.fixture
async def watched(database: str) -> AsyncIterator[Litestar]:
    """The app with a token for monitoring."""
    await close_pool()
    made = create_app(msgspec.structs.replace(current(), metrics_token=TOKEN), database_url=database, with_worker=False)
    async with _in_one_task(made):
        yield made


def report_of(content: bytes) -> Report:
    """Decoded into the closed struct: a field that it does not have would be an error."""
    return msgspec.json.decode(content, type=Report)


async def healthy(browser: Browser, **options: Any) -> httpx.Response:
    """Its answer, asked for until the database answers in time."""

    async def look() -> httpx.Response | None:
        answer = await browser.get("/api/health", **options)
        return None if answer.status_code == 503 else answer

    return await until("the database answers in time", look)


async def test_the_owner_sees_every_part(olive: Browser) -> None:
    await add_model()
    await converse(olive.user)
    answer = await healthy(olive)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    report = report_of(answer.content)
    assert report.facts.stored is not None
    assert report.facts.process is not None
    assert report.facts.stored.size_bytes > 1_000_000
    assert report.facts.stored.schema.startswith("2026-")
    assert [each.name for each in report.facts.stored.providers][-1:] == ["Nobody"]
    assert [each.name for each in report.sections] == ["database", "answers", "workers", "providers", "process"]
    assert report.status == "look"  # nobody writes answers here


async def test_a_stranger_and_a_member_are_refused_in_json(client: Browser, alice: Browser) -> None:
    for browser, status, code in ((client, 401, "not_signed_in"), (alice, 403, "forbidden")):
        answer = await browser.get("/api/health", headers={"accept": "*/*"})
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert "stored" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_other_methods_are_refused(olive: Browser, method: str) -> None:
    assert (await olive.request(method, "/api/health")).status_code == 405


async def test_the_token_opens_it_and_nothing_else_does(watched: Litestar) -> None:
    async with Browser(watched) as browser:
        assert (await healthy(browser, headers=BEARER)).status_code == 200
        for wrong in (
            b"",
            b"Bearer ",
            b"Bearer %bx" % TOKEN.encode(),
            b"Basic %b" % TOKEN.encode(),
            b"Bearer \xff\xfe",
        ):
            assert (await browser.get("/api/health", headers=[(b"authorization", wrong)])).status_code == 401


async def test_without_a_token_set_no_bearer_opens_it(client: Browser) -> None:
    for wrong in ("Bearer", "Bearer ", "Bearer x"):
        assert (await client.get("/api/health", headers={"authorization": wrong})).status_code == 401


async def test_a_database_that_hangs_is_called_down_within_two_seconds_and_found_again(
    database: str, postgres: EmbeddedPostgres
) -> None:
    name = database.partition("?")[0].rsplit("/", 1)[1]
    socket = f"{postmaster.socket_folder(postgres.folder)}/.s.PGSQL.5432"
    async with Relay(to_socket(socket)) as relay:
        await close_pool()
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}"
        made = create_app(msgspec.structs.replace(current(), metrics_token=TOKEN), database_url=url, with_worker=False)
        async with _in_one_task(made), Browser(made) as browser:
            assert (await healthy(browser, headers=BEARER)).status_code == 200
            relay.flowing.clear()
            for _ in range(3):
                async with awake() as clock:
                    answers = await asyncio.gather(*(browser.get("/api/health", headers=BEARER) for _ in range(20)))
                assert clock.seconds < 1.5 * PATIENCE_SECONDS
                assert {answer.status_code for answer in answers} == {503}
            report = report_of(answers[0].content)
            assert (report.status, report.facts.stored, report.facts.error) == ("down", None, "TimeoutError")
            assert report.sections[0].lines[0].advice
            async with awake() as clock:
                answer = await browser.get("/api/health", headers={"cookie": f"parley={'x' * 43}"})
            assert (answer.status_code, clock.seconds < 1.5 * PATIENCE_SECONDS) == (503, True)
            relay.flowing.set()
            assert (await healthy(browser, headers=BEARER)).status_code == 200
        await open_pool(database, size=12)


async def test_a_database_that_refuses_is_down_at_once(database: str) -> None:
    await close_pool()
    await open_pool(database, size=2)
    await fetch("SELECT 1")
    await fetch("ALTER TABLE migration RENAME TO away")
    try:
        async with awake() as clock:
            health = await gather()
    finally:
        await fetch("ALTER TABLE away RENAME TO migration")
    assert (health.stored, health.error) == (None, "UndefinedTableError")
    assert clock.seconds < PATIENCE_SECONDS / 2


async def test_it_asks_two_statements(database: str) -> None:
    asked: list[Any] = []
    connections = [holder._con for holder in pool()._holders if holder._con is not None]
    for connection in connections:
        connection.add_query_logger(asked.append)
    await gather(patience_seconds=60)
    for connection in connections:
        connection.remove_query_logger(asked.append)
    assert len(asked) == 2
