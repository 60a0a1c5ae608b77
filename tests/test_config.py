"""`parley config`: the same checks as on the pages, from a terminal."""

import pathlib

import pytest

from app.settings import FIELDS
from tests.clusters import run_sql
from tests.conftest import StartProgram
from tests.test_cli import Ended, parley


async def config(*arguments: str, url: str, data: pathlib.Path, stdin: str = "", **environment: str) -> Ended:
    return await parley("config", *arguments, data=data, stdin=stdin, DATABASE_URL=url, **environment)


async def test_every_setting_is_listed_with_its_source_and_no_secret(database_url: str, tmp_path: pathlib.Path) -> None:
    environment = {"PARLEY_SESSION_DAYS": "14", "PARLEY_METRICS_TOKEN": "a-token-of-monitoring"}
    await config("set", "instance_name", "The Reading Room", url=database_url, data=tmp_path)
    ended = await config("list", url=database_url, data=tmp_path, **environment)
    lines = {line.split()[0]: line for line in ended.out.splitlines()}
    assert list(lines) == list(FIELDS)
    assert lines["session_days"].split()[1:] == ["14", "environment"]
    assert lines["instance_name"].split()[1:] == ["The", "Reading", "Room", "database"]
    assert lines["max_generations"].split()[1:] == ["400", "default"]
    assert lines["metrics_token"].split("  ")[-1] == "environment"
    assert "a-token-of-monitoring" not in ended.out
    assert database_url not in ended.out


async def test_one_is_set_explained_and_taken_back(database_url: str, tmp_path: pathlib.Path) -> None:
    said = await config("set", "session_days", "20", url=database_url, data=tmp_path)
    assert (said.code, said.out) == (0, "session_days is 20 (database).\n")
    assert (await config("get", "SESSION_DAYS", url=database_url, data=tmp_path)).out == "20\n"
    explained = (await config("explain", "PARLEY_SESSION_DAYS", url=database_url, data=tmp_path)).out
    assert "A sign-in ends after this many days unused." in explained
    assert "database, set by the command line at 20" in explained
    assert "  default  30\n" in explained
    said = await config("unset", "session_days", url=database_url, data=tmp_path)
    assert said.out == "session_days is 30 (default).\n"
    assert await run_sql(database_url, "SELECT 1 FROM setting") == []


async def test_a_secret_comes_by_standard_input_and_is_sealed(database_url: str, tmp_path: pathlib.Path) -> None:
    said = await config("set", "hub_token", "-", url=database_url, data=tmp_path, stdin="a key of the hub\n")
    assert said.out == "hub_token is (set, not shown) (database).\n"
    (row,) = await run_sql(database_url, "SELECT value FROM setting")
    assert "a key of the hub" not in row["value"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("set", "session_days", "many"), 2, "session_days: A whole number from 1 to 3,650."),
        (("set", "session_days", ""), 2, "session_days cannot be empty: `parley config unset session_days` takes"),
        (("set", "idle_timeout_seconds", "3000"), 2, "idle_timeout_seconds: The wait within an answer cannot be"),
        (("set", "default_model", "nobody/none"), 2, "default_model: There is no such model"),
        (("set", "no_such_thing", "1"), 2, "There is no setting 'no_such_thing': `parley config list` shows"),
        (("get", "no_such_thing"), 2, "There is no setting 'no_such_thing'"),
        (("set", "port", "9000"), 1, "port: Read once, at the start: set the environment variable PARLEY_PORT"),
        (("set", "max_generations", "5"), 1, "max_generations: Set by the environment variable PARLEY_MAX_GENERATIONS"),
        (("unset", "max_generations"), 1, "max_generations: Set by the environment variable"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence_and_stores_nothing(
    database_url: str, tmp_path: pathlib.Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    ended = await config(*arguments, url=database_url, data=tmp_path, PARLEY_MAX_GENERATIONS="9")
    assert ended.code == code
    assert ended.sentence.startswith(sentence)
    assert await run_sql(database_url, "SELECT 1 FROM setting") == []


async def test_before_there_is_a_database_the_defaults_are_shown_and_none_is_made(tmp_path: pathlib.Path) -> None:
    ended = await parley("config", "get", "max_generations", data=tmp_path / "fresh")
    assert (ended.code, ended.out) == (0, "400\n")
    assert not (tmp_path / "fresh").exists()


async def test_with_the_embedded_database_it_works_beside_a_server_and_alone(server: StartProgram) -> None:
    running = await server(embedded=True)
    said = await parley("config", "set", "instance_name", "Beside", data=running.data)
    assert said.out == "instance_name is Beside (database).\n"
    running.stop()
    alone = await parley("config", "get", "instance_name", data=running.data)
    assert alone.out == "Beside\n"


async def test_another_hub_is_told_to_lack_the_token(database_url: str, tmp_path: pathlib.Path) -> None:
    await config("set", "hub_token", "-", url=database_url, data=tmp_path, stdin="hf_secret")
    said = await config("set", "hub_url", "https://mirror.example", url=database_url, data=tmp_path)
    assert said.out == (
        "hub_url is https://mirror.example (database).\n"
        "hub_token is ignored: It is for https://huggingface.co and is not sent elsewhere. Enter it again.\n"
    )
    explained = (await config("explain", "hub_token", url=database_url, data=tmp_path)).out
    assert "  ignored  the stored value cannot be used: It is for https://huggingface.co" in explained
    said = await config("unset", "hub_url", url=database_url, data=tmp_path)
    assert said.out == "hub_url is https://huggingface.co (default).\n"
    assert "(set, not shown)" in (await config("get", "hub_token", url=database_url, data=tmp_path)).out


async def test_a_token_of_the_environment_holds_the_hub_of_the_environment(
    database_url: str, tmp_path: pathlib.Path
) -> None:
    environment = {"PARLEY_HUB_TOKEN": "hf_secret"}
    said = await config("set", "hub_url", "https://mirror.example", url=database_url, data=tmp_path, **environment)
    sentence = "PARLEY_HUB_TOKEN is for https://huggingface.co alone: set PARLEY_HUB_URL beside it, or take it away."
    assert (said.code, said.sentence) == (2, f"hub_url: {sentence}")
    await config("set", "hub_url", "https://mirror.example", url=database_url, data=tmp_path)
    shown = await config("get", "hub_url", url=database_url, data=tmp_path, **environment)
    assert shown.out == "https://huggingface.co\n"
    own = environment | {"PARLEY_HUB_URL": "https://mirror.example"}
    assert (await config("get", "hub_url", url=database_url, data=tmp_path, **own)).out == "https://mirror.example\n"
