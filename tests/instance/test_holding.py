"""What is stored holds in every process: at its start, after a change anywhere, and after a time of not listening."""

import asyncio
import contextlib
import pathlib

import httpx
import pytest
from litestar import Litestar

from app.database import fetch, transaction
from app.instance import changing, holding
from app.settings import FIELDS, current, effective
from app.tables.setting import Setting
from tests.clusters import run_sql
from tests.conftest import StartProgram
from tests.programs import free_port
from tests.test_cli import parley
from tests.watching import PROGRAM_SECONDS, SECONDS, until

TOKEN = "a-token-of-monitoring"


async def until_it_listens(url: str) -> None:
    """And has taken what was stored before."""
    await until("a reader that listens", lambda: run_sql(url, _LISTENS))
    await asyncio.sleep(0.3)


_LISTENS = """
SELECT 1 FROM pg_stat_activity
WHERE application_name = 'parley live reader' AND datname = current_database() AND query LIKE 'LISTEN%parley_news%'
"""


async def save(**texts: str) -> None:
    change = await changing.check_texts(texts)
    assert change.faults == {}
    await changing.save(change, by=None)


async def test_what_was_stored_is_taken_at_the_start(database: str) -> None:
    await Setting.change(chosen={"session_days": 20, "hub_token": "a key"}, taken_back=[], by=None)
    assert current().session_days == 30
    await holding.take()
    assert (current().session_days, current().hub_token) == (20, "a key")
    assert effective().sources["session_days"] == "database"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("session_days", '"for ever"', "A whole number from 1 to 3,650."),
        ("session_days", "0", "A whole number from 1 to 3,650."),
        ("session_days", "null", "Please fill this in."),
        ("default_temperature", "null", "Please fill this in."),
        ("a_setting_of_tomorrow", "1", "no such setting"),
        ("port", "9000", "no such setting"),
        ("hub_token", '"not sealed"', "sealed with another key"),
        ("default_theme", '"sepia"', "Choose one of what is offered."),
    ],
)
async def test_a_row_that_cannot_be_used_is_ignored(database: str, name: str, value: str, reason: str) -> None:
    await fetch("INSERT INTO setting (name, value, changed_at) VALUES ($1, $2, now())", name, value)
    await save(max_turns_per_minute="7")
    assert reason in effective().ignored[name]
    assert current().max_turns_per_minute == 7
    if name in FIELDS:
        assert getattr(current(), name) == FIELDS[name].default


async def test_a_change_by_another_process_holds_here_a_moment_later(app: Litestar, database: str) -> None:
    await until_it_listens(database)
    await run_sql(
        database,
        "WITH changed AS (INSERT INTO setting (name, value, changed_at) VALUES ('session_days', '20', now()) RETURNING 1)"
        ' SELECT pg_notify(\'parley_news\', \'{"key": "settings", "event": "settings"}\') FROM changed',
    )
    await until("the stored value", lambda: current().session_days == 20)


async def test_what_was_said_while_nobody_listened_is_found_out(app: Litestar, database: str) -> None:
    await until_it_listens(database)
    # Changed without a word, as if the word had been lost with the connection that ends now.
    for days in (20, 21, 22):  # a slow machine may just be taking what was stored before it listened
        await run_sql(
            database,
            f"INSERT INTO setting (name, value, changed_at) VALUES ('session_days', '{days}', now())"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        await asyncio.sleep(0.3)
        if current().session_days != days:
            break
    assert current().session_days != days
    await run_sql(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'parley live reader' AND datname = current_database()",
    )
    await until("the stored value", lambda: current().session_days == days)


async def test_a_change_that_is_rolled_back_is_not_told(app: Litestar, database: str) -> None:
    with contextlib.suppress(RuntimeError):
        async with transaction():
            await Setting.change(chosen={"session_days": 20}, taken_back=[], by=None)
            raise RuntimeError
    await asyncio.sleep(0.3)
    assert current().session_days == 30
    assert await Setting.list_all() == []


async def test_a_web_process_and_a_worker_follow_the_command_line(
    program: StartProgram, server: StartProgram, database_url: str, tmp_path: pathlib.Path
) -> None:
    port = free_port()
    key = {"PARLEY_SECRET_KEY": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}
    web = await server("--no-worker", database_url=database_url, environment=key)
    environment = key | {"PARLEY_WORKER_PORT": str(port)}
    await program("worker", database_url=database_url, environment=environment, wait_for="worker is ready")
    addresses = (web.base_url, f"http://127.0.0.1:{port}")

    def statuses() -> list[int]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return [httpx.get(f"{address}/metrics", headers=headers, timeout=SECONDS).status_code for address in addresses]

    async def until_all_say(status: int) -> None:
        async def do_they() -> bool:
            return await asyncio.to_thread(statuses) == [status, status]

        await until(f"the answer {status} of both", do_they, PROGRAM_SECONDS)

    await until_all_say(404)
    said = await parley("config", "set", "metrics_token", TOKEN, data=tmp_path, DATABASE_URL=database_url, **key)
    assert (said.code, said.out) == (0, "metrics_token is (set, not shown) (database).\n")
    await until_all_say(200)
    assert (await parley("config", "unset", "metrics_token", data=tmp_path, DATABASE_URL=database_url, **key)).code == 0
    await until_all_say(404)
