"""Addresses and secrets that an older version stored: sealed and bound at the start, once, and used before that too."""

import asyncio
import pathlib

from app.database import fetch, new_id
from app.instance import changing, holding
from app.instance.sealing import bind_settings, seal_addresses
from app.secrets import open_keyring, seal, unseal
from app.settings import current, effective
from app.tables.provider import open_address, seal_base_url, seal_key, shown_address
from app.tables.setting import Setting
from tests.accounts import accounts
from tests.canary import CANARY

URL = "https://gate.example/team-4711/v1"


async def add_old(url: str = URL, key_sealed: str | None = None) -> None:
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at)"
        " VALUES ($1, 'openai', 'Harbour', $2, $3, '', now())",
        new_id(), url, seal(CANARY) if key_sealed is None else key_sealed,
    )  # fmt: skip


async def test_an_old_row_works_as_it_is(database: str) -> None:
    await add_old()
    (row,) = await fetch("SELECT * FROM provider")
    address = open_address(row)
    assert (address.base_url, address.key, address.key_origin) == (URL, CANARY, "https://gate.example")
    assert shown_address(row) == "https://gate.example/•••/v1"


async def test_what_is_in_the_clear_is_sealed_at_the_start_by_one_of_several_processes(database: str) -> None:
    await add_old()
    await asyncio.gather(*(seal_addresses() for _process in range(4)))
    (row,) = await fetch("SELECT * FROM provider")
    assert row["base_url"] == ""
    assert "team-4711" not in str(tuple(row))
    assert unseal(row["base_url_sealed"]) == URL
    assert unseal(row["key_sealed"]) == f"https://gate.example\n{CANARY}"
    assert shown_address(row) == "https://gate.example/•••/v1"
    await seal_addresses()
    assert await fetch("SELECT * FROM provider") == [row]


async def test_a_row_without_an_address_or_a_key_stays_so(database: str) -> None:
    await add_old("", "")
    await add_old("http://127.0.0.1:11434", "")
    await seal_addresses()
    assert [(row["base_url"], row["key"], row["key_sealed"]) for row in await accounts()] == [
        ("", "", ""),
        ("http://127.0.0.1:11434", "", ""),
    ]


async def test_a_key_of_another_secret_key_keeps_what_it_is(database: str, tmp_path: pathlib.Path) -> None:
    foreign = open_keyring("", tmp_path / "elsewhere").seal(CANARY)
    await add_old(key_sealed=foreign)
    await seal_addresses()
    (row,) = await fetch("SELECT * FROM provider")
    assert (row["key_sealed"], unseal(row["base_url_sealed"])) == (foreign, URL)


async def test_what_an_older_version_writes_later_counts_and_moves_no_key(database: str) -> None:
    """An older process knows only `base_url`: it changes the address and leaves the key, which stays where it was."""
    await add_old()
    await seal_addresses()
    await fetch("UPDATE provider SET base_url = 'https://other.example/v1'")
    for _before, _after in ("ab", "cd"):
        (row,) = await accounts()
        assert (row["base_url"], row["key"], row["key_origin"]) == (
            "https://other.example/v1", CANARY, "https://gate.example",
        )  # fmt: skip
        await seal_addresses()


async def test_a_key_cannot_be_given_another_origin_from_outside(database: str) -> None:
    sealed, shown = seal_base_url("https://evil.test/v1")
    await add_old()
    await seal_addresses()
    await fetch("UPDATE provider SET base_url_sealed = $1, shown_url = $2", sealed, shown)
    (row,) = await accounts()
    assert (row["base_url"], row["key_origin"]) == ("https://evil.test/v1", "https://gate.example")
    assert seal_key("", "https://gate.example") == ""


async def test_a_hub_that_is_changed_before_the_next_start_leaves_the_old_token_behind(database: str) -> None:
    """As `parley config` does, which starts nothing."""
    await fetch(
        "INSERT INTO setting (name, value, changed_at) VALUES ('hub_token', to_jsonb($1::text), now())", seal(CANARY)
    )
    await holding.take()
    await changing.save(await changing.check_texts({"hub_url": "https://evil.test"}), by=None)
    await bind_settings()
    await holding.take()
    assert (current().hub_url, current().hub_token) == ("https://evil.test", "")
    assert "https://huggingface.co" in effective().ignored["hub_token"]


async def test_a_hub_token_of_an_older_version_is_bound_to_the_hub_that_it_was_used_at(database: str) -> None:
    await Setting.change(chosen={"hub_url": "https://mirror.example"}, taken_back=[], by=None)
    await fetch(
        "INSERT INTO setting (name, value, changed_at) VALUES ('hub_token', to_jsonb($1::text), now())", seal(CANARY)
    )
    await holding.take()
    assert current().hub_token == CANARY
    await asyncio.gather(*(bind_settings() for _process in range(3)))
    rows = {row.name: row for row in await Setting.list_all()}
    assert (rows["hub_token"].value, rows["hub_token"].origin) == (CANARY, "https://mirror.example")
    await Setting.change(chosen={"hub_url": "https://evil.test"}, taken_back=[], by=None)
    await holding.take()
    assert (current().hub_url, current().hub_token) == ("https://evil.test", "")
    assert (
        effective().ignored["hub_token"]
        == "It is for https://mirror.example and is not sent elsewhere. Enter it again."
    )
    await Setting.change(chosen={"hub_url": "https://mirror.example/"}, taken_back=[], by=None)
    await holding.take()
    assert (current().hub_token, dict(effective().ignored)) == (CANARY, {})
