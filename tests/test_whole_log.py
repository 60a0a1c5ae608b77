"""A whole run, read from its first line to its last: what people wrote and what opens doors is in none of them."""

import contextlib
import json
import pathlib
import re
import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from tests.conftest import StartProgram
from tests.e2e.model_server import ModelServer
from tests.faults.logs import check_logs
from tests.people import csrf_of
from tests.programs import ROOT
from tests.scripted import OPENAI, Close, Send, chunk, whole
from tests.watching import SECONDS, until

PASSWORD = "correct horse battery"
KEY = "plain-secret-of-Olive-0815"
EMAIL = "olive.nightingale@example.org"
WORDS = {
    "question": "Where does the harbourmaster hide his brass spyglass",
    "answer": "Underneath the loose floorboard by the pantry",
    "thought": "He surely would not tell anybody of the pantry",
    "title": "Spyglass and floorboard",
    "system prompt": "Speak like a disgraced lighthouse keeper",
    "draft": "What I typed and never dared to send",
    "refusal": "The server quotes the spyglass question back at you",
    "new title": "Renamed to something rather embarrassing",
    "name": "Olive Nightingale-Featherstone",
    "path": "no-such-page-but-a-secret-in-its-address",
}


@contextlib.asynccontextmanager
async def browser(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base_url, follow_redirects=True, timeout=SECONDS) as client:
        yield client


async def submit(client: httpx.AsyncClient, path: str, of: str = "/", **fields: str) -> httpx.Response:
    """A form of the page `of`, sent to `path`."""
    token = csrf_of((await client.get(of)).text)
    return await client.post(path, data={**fields, "_csrf": token})


async def ended(client: httpx.AsyncClient, page: str) -> None:
    """The newest answer of the thread has come to its end."""

    async def has_ended() -> bool:
        """The page is asked, as by a reload."""
        return 'data-status="running"' not in (await client.get(page)).text

    await until("the end of the newest answer", has_ended)


async def test_a_whole_run_leaves_nobodys_words_and_no_key_in_the_log(server: StartProgram, database_url: str) -> None:
    program = await server(database_url=database_url, environment={"PARLEY_LOG_LEVEL": "debug"})
    async with (
        ModelServer(key=KEY) as models,
        browser(program.base_url) as olive,
        browser(program.base_url) as stranger,
    ):
        token = program.owner_link.rpartition("=")[2]
        account = {"name": WORDS["name"], "email": EMAIL, "password": PASSWORD, "token": token}
        assert (await submit(olive, "/first-run", "/first-run", **account)).status_code == 200
        for guess in (PASSWORD + " not", "completely wrong guess"):
            await submit(stranger, "/sign-in", "/sign-in", email=EMAIL, password=guess)
        connected = {
            "kind": "openai",
            "base_url": models.url_for(OPENAI),
            "name": "Harbour",
            "key": KEY,
            "allows_private": "true",
        }
        assert (await submit(olive, "/providers", **connected)).status_code == 200
        nobody = connected | {"base_url": "http://olive:hunter2hunter2@127.0.0.1:9/v1?secret=hunter3hunter3"}
        await submit(olive, "/providers", **nobody)
        invitation = await submit(olive, "/invitations", email="")
        found = re.search(r"/invitations/([\w-]{43})", invitation.text)
        assert found is not None
        connection = await asyncpg.connect(database_url)
        await connection.execute("UPDATE session SET confirmed_at = NULL")
        await connection.close()
        for guess in ("completely wrong guess", PASSWORD):
            await submit(olive, "/providers/test", **nobody, confirm_password=guess)

        model = await _model(database_url)
        models.title = WORDS["title"]
        models.say(WORDS["answer"], thoughts=[WORDS["thought"]])
        begun = await submit(
            olive, "/threads", text=WORDS["question"], model=model, request_id=str(uuid.uuid4()),
            system_prompt=WORDS["system prompt"],
        )  # fmt: skip
        page = str(begun.url).partition("#")[0]
        await ended(olive, page)
        for steps in (
            whole(OPENAI.error_body(WORDS["refusal"]), 400),
            (OPENAI.head(), Send(chunk(OPENAI.text(WORDS["answer"]))), Close()),
            (OPENAI.head(), Send(chunk(b'data: {"choices": "' + WORDS["refusal"].encode() + b'"}\n\n')), Close()),
        ):
            models.script(*steps)
            asked = {"text": WORDS["question"] + "?", "model": model, "request_id": str(uuid.uuid4())}
            await submit(olive, f"{page}/messages", page, **asked)
            await ended(olive, page)
        await submit(olive, f"{page}?_method=PATCH", title=WORDS["new title"])
        await submit(olive, f"{page}/draft?_method=PUT", text=WORDS["draft"])
        await submit(olive, f"{page}/messages", text=WORDS["question"] * 5_000, model=model, request_id="none")
        await submit(olive, "/threads", text=WORDS["question"] * 100_000)
        await olive.get(f"/{WORDS['path']}?{WORDS['path']}")
        tokens = [cookie.value or "" for cookie in (*olive.cookies.jar, *stranger.cookies.jar)]
        await submit(olive, "/sign-out")
        await submit(olive, "/sign-in", "/sign-in", email=EMAIL, password=PASSWORD)
        assert len(models.asked) == 4
    program.stop()
    key = (program.data / "secret.key").read_text().strip()
    secrets = [PASSWORD, "wrong guess", KEY, EMAIL, "hunter2", "hunter3", key, found[1], *tokens]
    check_logs([program.log_path], secrets, WORDS.values())
    for event in ("signed_in", "sign_in_failed", "generation_finished", "request_answered", "catalog_changed"):
        assert f'"event":"{event}"' in program.text()
    check_loggers(program.text())


def check_loggers(printed: str) -> None:
    """Each event carries the name of the module that logs it."""
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len({event["logger"] for event in found}) > 5
    for event in found:
        module = ROOT / (event["logger"].replace(".", "/") + ".py")
        assert f'"{event["event"]}"' in module.read_text(), event


@pytest.mark.parametrize(
    "line", ["plain", '{"event": "x", "detail": "a plain word"}', '{"event": "request_failed"}'], ids=range(3)
)
def test_a_log_that_holds_one_of_them_or_something_unforeseen_is_found_out(tmp_path: pathlib.Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f'Parley\n{{"event": "request_answered"}}\n{line}\n')
    with pytest.raises(AssertionError):
        check_logs([log], ["plain"], ["a long question"])


async def _model(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    try:
        return str(await connection.fetchval("SELECT id FROM model WHERE name = 'lantern-7b'"))
    finally:
        await connection.close()
