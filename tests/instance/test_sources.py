"""One value, however it arrives: environment, command line, page, `parley config`, file and database say the same."""

import pathlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from litestar import Litestar

from app.database import fetch
from app.errors import Invalid
from app.instance import changing, consistency, holding
from app.instance.file import File, Secrets
from app.instance.importing import check_file
from app.settings import (
    FIELDS,
    BadSetting,
    current,
    effective,
    environment_name,
    read,
    resolve,
    take_options,
    take_stored,
)
from app.tables.setting import Setting
from tests.conftest import StartProgram
from tests.people import Browser
from tests.test_cli import parley

#: setting → (what is typed, the same as JSON, what is said about it).
ALONE: dict[str, tuple[str, Any, str]] = {
    "session_days": ("0", 0, "A whole number from 1 to 3,650."),
    "default_temperature": ("nan", "nan", "A number from 0 to 2."),
    "default_repeat_penalty": ("0", 0, "A number more than 0 to 10."),
    "max_message_chars": ("many", "many", "A whole number from 1 to 10,000,000."),
    "default_theme": ("sepia", "sepia", "Choose one of what is offered."),
    "instance_name": ("x" * 61, "x" * 61, "At most 60 characters, and this has 61."),
}
#: The same of rules that a type cannot say.
TOGETHER: dict[str, tuple[str, Any, str]] = {
    "hub_url": ("ftp://hub", "ftp://hub", "An address begins with http:// or https:// and names a host."),
    "public_url": ("https://a/b", "https://a/b", "Only the address itself, without a path."),
    "starter_model": ("small", "small", "Write hf:organisation/repository/file.gguf, an address that ends in .gguf,"),
    "idle_timeout_seconds": ("3000", 3000, "The wait within an answer cannot be longer than the total time for one."),
    "generation_deadline_seconds": ("5", 5, "The wait for the beginning of an answer cannot be longer than the total"),
}
CASES = ALONE | TOGETHER


async def no_address(_url: str, _allows_private: bool) -> str:
    return ""


@pytest.mark.parametrize("name", CASES)
def test_the_environment_is_refused_in_one_sentence(name: str) -> None:
    text, _, sentence = CASES[name]
    with pytest.raises(BadSetting) as caught:
        consistency.check_given(resolve({environment_name(name): text}, {}))
    assert str(caught.value).startswith(f"{environment_name(name)}=")
    assert f" cannot be used: {sentence}" in str(caught.value)


@pytest.mark.parametrize("name", CASES)
async def test_a_page_and_the_command_line_say_the_same(name: str, database: str) -> None:
    text, _, sentence = CASES[name]
    assert (await changing.check_texts({name: text})).faults[name].startswith(sentence)


@pytest.mark.parametrize("name", CASES)
async def test_a_file_is_refused_with_the_same(name: str, database: str) -> None:
    _, value, sentence = CASES[name]
    file = File(made_at=datetime.now(UTC), settings={name: value})
    with pytest.raises(Invalid) as caught:
        await check_file(file, Secrets(), no_address)
    assert sentence.rstrip(".") in caught.value.sentence


@pytest.mark.parametrize("name", CASES)
async def test_a_stored_value_is_ignored_with_the_same(name: str, database: str) -> None:
    _, value, sentence = CASES[name]
    stored = msgspec.json.encode(value).decode()
    await fetch("INSERT INTO setting (name, value, changed_at) VALUES ($1, $2, now())", name, stored)
    await holding.take()
    assert effective().ignored[name].startswith(sentence)
    assert getattr(current(), name) == FIELDS[name].default
    assert effective().sources[name] == "default"


async def test_what_was_stored_gives_way_to_an_environment_that_it_does_not_go_with(database: str) -> None:
    held = resolve({"PARLEY_GENERATION_DEADLINE_SECONDS": "150"}, {})
    consistency.check_given(held)
    stored = {"idle_timeout_seconds": 200.0, "session_days": 3, "first_token_timeout_seconds": 140.0}
    kept, ignored = consistency.usable(stored, held)
    assert (sorted(kept), list(ignored)) == (["first_token_timeout_seconds", "session_days"], ["idle_timeout_seconds"])


def test_the_command_line_wins_and_is_named() -> None:
    held = resolve({"PARLEY_PORT": "9000", "PARLEY_HOST": "0.0.0.0"}, {}, options={"port": "8080"})
    assert (held.values.port, held.sources["port"]) == (8080, "command line")
    assert (held.values.host, held.sources["host"]) == ("0.0.0.0", "environment")
    assert (held.is_locked("port"), held.is_locked("host"), held.is_locked("demo")) == (True, True, False)
    with pytest.raises(BadSetting, match=r"^--port '70000' cannot be used: A whole number from 0 to 65,535\.$"):
        resolve({"PARLEY_PORT": "http"}, {}, options={"port": "70000"})


def test_a_secret_that_cannot_be_used_is_not_quoted() -> None:
    with pytest.raises(BadSetting) as caught:
        consistency.check_given(resolve({"DATABASE_URL": "mysql://olive:hunter2@db/parley"}, {}))
    assert "hunter2" not in str(caught.value)
    assert "DATABASE_URL=… cannot be used: This is not the address of a Postgres" in str(caught.value)


async def test_the_page_says_that_the_command_line_set_it(app: Litestar, olive: Browser) -> None:
    take_options({"port": "8080"})
    try:
        shown = (await olive.get("/settings/advanced")).text
        assert '<span class="tag">command line</span>' in shown
        assert "Set on the command line with --port; change it there and restart." in shown
    finally:
        take_options({})
        take_stored({})


async def test_the_program_says_where_its_port_came_from(server: StartProgram, tmp_path: pathlib.Path) -> None:
    refused = await parley("serve", "--port", "70000", data=tmp_path)
    assert (refused.code, refused.sentence) == (2, "--port '70000' cannot be used: A whole number from 0 to 65,535.")
    explained = await parley("config", "explain", "port", data=tmp_path, PARLEY_PORT="9000")
    assert "  source   environment\n" in explained.out
    assert "  option   --port of `parley serve`, which wins over the variable\n" in explained.out
    started = await parley("migrate", data=tmp_path, PARLEY_HUB_URL="ftp://hub")
    assert started.sentence.startswith("PARLEY_HUB_URL='ftp://hub' cannot be used: An address begins with http://")


def test_every_default_keeps_every_rule() -> None:
    assert list(consistency.broken(read({}))) == []


async def test_a_stored_secret_of_another_key_is_said_to_be(database: str) -> None:
    await fetch("INSERT INTO setting (name, value, changed_at) VALUES ('hub_token', '\"x\"', now())")
    (row,) = await Setting.list_all()
    assert row.fault == "It was sealed with another key."
