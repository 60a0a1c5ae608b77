"""A whole run of the real program: a minute after a thread is deleted, nothing of it is in any table or file."""

import asyncio
import pathlib
import uuid

import asyncpg

from app.embedded import EmbeddedPostgres
from tests.conftest import StartProgram
from tests.dump import dump
from tests.e2e.model_server import ModelServer
from tests.scripted import OPENAI, whole
from tests.test_whole_log import EMAIL, KEY, PASSWORD, WORDS, browser, ended, submit
from tests.watching import PROGRAM_SECONDS, until

NOT_OF_THE_THREAD = ("name", "path")


async def test_a_minute_after_its_deletion_nothing_of_a_thread_is_left(
    server: StartProgram, tmp_path: pathlib.Path
) -> None:
    log = tmp_path / "parley.log"
    program = await server(embedded=True, environment={"PARLEY_LOG_LEVEL": "debug", "PARLEY_LOG_FILE": str(log)})
    url = EmbeddedPostgres(program.data).url
    words = [word for name, word in WORDS.items() if name not in NOT_OF_THE_THREAD]
    async with ModelServer(key=KEY) as models, browser(program.base_url) as olive:
        token = program.owner_link.rpartition("=")[2]
        account = {"name": WORDS["name"], "email": EMAIL, "password": PASSWORD, "token": token}
        await submit(olive, "/first-run", "/first-run", **account)
        connected = {"kind": "openai", "base_url": models.url_for(OPENAI), "name": "Harbour", "key": KEY}
        await submit(olive, "/providers", **connected, allows_private="true")
        model = await value(url, "SELECT id::text FROM model WHERE name = 'lantern-7b'")
        models.title = WORDS["title"]
        models.say(WORDS["answer"], thoughts=[WORDS["thought"]])
        begun = await submit(
            olive, "/threads", text=WORDS["question"], model=model, request_id=str(uuid.uuid4()),
            system_prompt=WORDS["system prompt"],
        )  # fmt: skip
        page = str(begun.url).partition("#")[0]
        await ended(olive, page)
        await until_found(url, WORDS["title"])
        models.script(*whole(OPENAI.error_body(WORDS["refusal"]), 400))
        again = {"text": WORDS["question"] + "?", "model": model, "request_id": str(uuid.uuid4())}
        await submit(olive, f"{page}/messages", page, **again)
        await ended(olive, page)
        await submit(olive, f"{page}?_method=PATCH", page, title=WORDS["new title"])
        await submit(olive, f"{page}/draft?_method=PUT", page, text=WORDS["draft"])
        ids = [row["id"] for row in await rows(url, _IDS)]
        held = await dump(url)
        assert [word for word in (*words, *ids) if word not in held and word != WORDS["title"]] == []
        await submit(olive, f"{page}?_method=DELETE", f"{page}/deletion")

        async def is_gone() -> bool:
            await asyncio.sleep(1)
            held = await dump(url)
            return not [word for word in (*words, *ids) if word in held]

        await until("an end of everything of the thread", is_gone, 240)  # a minute on an idle machine
    assert program.stop() == 0
    for path in (log, program.log_path, *files_of(program.data)):
        text = path.read_text(errors="replace")
        assert [word for word in words if word in text] == [], path


def files_of(data: pathlib.Path) -> list[pathlib.Path]:
    """What Parley itself wrote there; what Postgres keeps of deleted rows until its next vacuum is Postgres' own."""
    return [path for path in data.rglob("*") if path.is_file() and data / "postgres" not in path.parents]


async def until_found(url: str, word: str) -> None:
    async def is_found() -> bool:
        return word in await dump(url)

    await until(f"{word!r} in the database", is_found, PROGRAM_SECONDS)


async def rows(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def value(url: str, statement: str) -> str:
    return str((await rows(url, statement))[0][0])


_IDS = "SELECT id::text FROM thread UNION SELECT id::text FROM message UNION SELECT id::text FROM generation"
