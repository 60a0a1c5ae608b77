"""The file of settings: there and back again, with its secrets and without, and every file that is not taken."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.database import fetch, fetch_row, new_id
from app.instance.file import MOST_BYTES
from app.secrets import seal
from app.settings import current, take_stored
from app.settings.held import _environments
from app.tables.setting import Setting
from tests.accounts import accounts
from tests.controllers.threads import add_model
from tests.people import Browser

PASSPHRASE = "a long passphrase"
KEY = "sk-harbour-1234"
TOKEN = "a-token-of-monitoring"


async def furnish(owner: Browser) -> None:
    """An instance with something of everything."""
    chosen = {"instance_name": "The Reading Room", "default_temperature": 0.4, "metrics_token": TOKEN}
    await Setting.change(chosen=chosen, taken_back=[], by=owner.user.id)
    _provider, model = await add_model()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, allows_private, error, created_at)"
        " VALUES ($1, 'openai', 'Harbour', 'https://harbour.example.org/v1', $2, false, '', now())",
        new_id(), seal(KEY),
    )  # fmt: skip
    await fetch(
        'INSERT INTO preset (id, "user", name, is_shared, model, system_prompt, options, created_at, updated_at)'
        " SELECT gen_random_uuid(), $1, n, n = 'Poet', $2, 'Rhyme.', '{\"temperature\": 1.5}', now(), now()"
        " FROM unnest(ARRAY['Poet', 'Mine alone']) AS n",
        owner.user.id, model,
    )  # fmt: skip
    await fetch(
        'INSERT INTO slash_prompt (id, "user", name, description, text, is_shared, created_at, updated_at)'
        " SELECT gen_random_uuid(), $1, n, '', 'Sum up {{what}}.', n = 'sum', now(), now()"
        " FROM unnest(ARRAY['sum', 'mine']) AS n",
        owner.user.id,
    )


async def export(owner: Browser, passphrase: str = "") -> httpx.Response:
    return await owner.post("/settings/file", data={"new_passphrase": passphrase})


async def bring(owner: Browser, content: bytes | str, **fields: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else content.encode()
    return await owner.put("/settings/file", data=fields, files={"file": ("settings.json", body)})


async def empty() -> None:
    for table in ("setting", "preset", "slash_prompt", "model", "provider"):
        await fetch(f"DELETE FROM {table}")
    take_stored({})


async def everything() -> dict[str, Any]:
    """What a refused file must not have changed."""
    return {
        table: [tuple(row) for row in await fetch(f"SELECT * FROM {table} ORDER BY 1")]
        for table in ("setting", "preset", "slash_prompt", "provider")
    }


def bare(**more: Any) -> dict[str, Any]:
    return {"format": "parley-settings", "version": 1, "parley": "0.1.0", "made_at": "2026-11-25T08:00:00Z"} | more


async def test_without_a_passphrase_everything_but_the_secrets_goes_there_and_back(olive: Browser) -> None:
    await furnish(olive)
    answer = await export(olive)
    assert answer.headers["content-disposition"].startswith('attachment; filename="parley-settings-20')
    kept = {cookie.partition("=")[0]: cookie for cookie in answer.headers.get_list("set-cookie")}
    assert kept["parley-downloaded"] == "parley-downloaded=1; Path=/; Max-Age=60; SameSite=Lax", "scripts see it"
    assert "HttpOnly" in kept["parley-flash"]
    assert answer.headers["cache-control"] == "no-store"
    file = answer.json()
    assert file["settings"] == {"default_temperature": 0.4, "instance_name": "The Reading Room"}
    assert [provider["name"] for provider in file["providers"]] == ["Nobody", "Harbour"]
    assert file["presets"] == [
        {"name": "Poet", "model": {"provider": "Nobody", "name": "quiet-model"}, "system_prompt": "Rhyme.",
         "options": {"temperature": 1.5}}
    ]  # fmt: skip
    assert [prompt["name"] for prompt in file["slash_prompts"]] == ["sum"]
    assert file["secrets"] is None
    assert TOKEN not in answer.text
    assert KEY not in answer.text
    await empty()
    file["providers"][0]["allows_private"] = True
    page = (await bring(olive, json.dumps(file))).text
    assert "The file was taken in." in page
    for line in ("Name of this instance", "Temperature", "Provider Harbour", "Preset Poet", "/sum"):
        assert f"<li>{line}</li>" in page
    assert "<li>The model of the preset Poet: it is not here.</li>" in page
    assert (current().instance_name, current().default_temperature) == ("The Reading Room", 0.4)
    provider = await fetch_row("SELECT * FROM provider WHERE name = 'Harbour'")
    assert provider is not None
    assert (provider["key_sealed"], provider["allows_private"]) == ("", False)
    again = (await export(olive)).json()
    assert again["settings"] == file["settings"]
    assert again["slash_prompts"] == file["slash_prompts"]
    assert again["presets"][0]["options"] == {"temperature": 1.5}


async def test_with_a_passphrase_the_secrets_go_along_encrypted(olive: Browser) -> None:
    await furnish(olive)
    answer = await export(olive, PASSPHRASE)
    assert TOKEN not in answer.text
    assert KEY not in answer.text
    assert PASSPHRASE not in answer.text
    await empty()
    page = (await bring(olive, answer.content, passphrase=PASSPHRASE)).text
    assert "Token for metrics" in page
    assert PASSPHRASE not in page
    assert current().metrics_token == TOKEN
    (row,) = await accounts("WHERE name = 'Harbour'")
    assert (row["key"], row["key_origin"]) == (KEY, "https://harbour.example.org")


async def test_secrets_stay_closed_where_no_passphrase_is_given(olive: Browser) -> None:
    await furnish(olive)
    file = (await export(olive, PASSPHRASE)).text
    await empty()
    page = (await bring(olive, file)).text
    assert "<li>The secrets: no passphrase was given.</li>" in page
    assert current().metrics_token == ""


async def test_the_same_file_again_changes_nothing_but_what_is_not_there(olive: Browser) -> None:
    await furnish(olive)
    file = (await export(olive)).json() | {"presets": [], "slash_prompts": []}
    before = await everything()
    assert "Everything in it was here already." in (await bring(olive, json.dumps(file))).text
    assert await everything() == before


async def test_a_key_is_not_given_to_another_address(olive: Browser) -> None:
    await furnish(olive)
    provider = {"kind": "openai", "name": "Harbour", "base_url": "https://elsewhere.example.org/v1"}
    await bring(olive, json.dumps(bare(providers=[provider])))
    assert [(row["base_url"], row["key"]) for row in await accounts("WHERE name = 'Harbour'")] == [
        ("https://harbour.example.org/v1", KEY),
        ("https://elsewhere.example.org/v1", ""),
    ]


async def test_pasted_text_is_as_good_as_a_file(olive: Browser) -> None:
    text = json.dumps(bare(settings={"session_days": 20}))
    answer = await olive.put("/settings/file", data={"text": text})
    assert answer.status_code == 200
    assert current().session_days == 20
    wrong = await olive.put("/settings/file", data={"text": text[:-3]})
    assert wrong.status_code == 422
    assert 'id="error-text"' in wrong.text


async def test_what_is_the_owners_own_is_not_written_over(olive: Browser) -> None:
    await furnish(olive)
    prompts = [{"name": "mine", "text": "Other"}, {"name": "sum", "text": "Other"}]
    page = (await bring(olive, json.dumps(bare(slash_prompts=prompts)))).text
    assert "<li>/mine: you have one of that name, which is not shared.</li>" in page
    rows = await fetch("SELECT name, text FROM slash_prompt ORDER BY name")
    assert [tuple(row) for row in rows] == [("mine", "Sum up {{what}}."), ("sum", "Other")]


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PARLEY_SESSION_DAYS", "14")
    _environments.clear()
    take_stored({})
    yield
    monkeypatch.undo()
    _environments.clear()
    take_stored({})


async def test_what_the_environment_locks_is_left_out_and_said_to_be(locked: None, olive: Browser) -> None:
    page = (await bring(olive, json.dumps(bare(settings={"session_days": 20, "max_turns_per_minute": 7})))).text
    assert "Days that a sign-in lasts unused: Set by the environment variable PARLEY_SESSION_DAYS" in page
    assert (current().session_days, current().max_turns_per_minute) == (14, 7)
    assert [row.name for row in await Setting.list_all()] == ["max_turns_per_minute"]


GOOD = bare(settings={"session_days": 20})
BAD = {
    "empty": (b"", "it is not JSON"),
    "not JSON": (b"settings: yes", "it is not JSON"),
    "cut off": (json.dumps(GOOD).encode()[:-5], "it is not JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "it is not JSON"),
    "deep": (b"[" * 100_000, "not a file of Parley"),
    "another thing": (b'{"name": "package"}', "not a file of Parley"),
    "a list": (b"[]", "not a file of Parley"),
    "a newer one": (json.dumps(bare(version=3, wonders=[])).encode(), "A newer Parley made this file (format 3"),
    "an odd version": (json.dumps(bare(version=0)).encode(), "not allowed there"),
    "too large": (b" " * (MOST_BYTES + 1), "too large"),
    "an unknown field": (json.dumps(bare(users=[])).encode(), "does not belong there"),
    "an unknown setting": (json.dumps(bare(settings={"session_days": 20, "x": 1})).encode(), "no setting x"),
    "of the start": (json.dumps(bare(settings={"session_days": 20, "port": 1})).encode(), "Port: Read once"),
    "a wrong value": (json.dumps(bare(settings={"session_days": 0})).encode(), "A whole number from 1 to 3,650"),
    "a wrong type": (json.dumps(bare(settings={"session_days": "20"})).encode(), "A whole number from 1 to 3,650"),
    "an empty one": (json.dumps(bare(settings={"instance_name": ""})).encode(), "Please fill this in"),
    "together": (
        json.dumps(bare(settings={"session_days": 20, "idle_timeout_seconds": 3000})).encode(),
        "cannot be longer than the total time",
    ),
    "a secret in the clear": (json.dumps(bare(settings={"hub_token": "x"})).encode(), "in the clear"),
    "a private provider": (
        json.dumps(
            bare(
                settings={"session_days": 20},
                providers=[{"kind": "openai", "name": "Cellar", "base_url": "http://127.0.0.1:9/v1"}],
            )
        ).encode(),
        "Cellar: This address is on this machine",
    ),
    "metadata": (
        json.dumps(
            bare(providers=[{"kind": "openai", "name": "Cloud", "base_url": "http://169.254.169.254/", "allows_private": True}])
        ).encode(),
        "never called",
    ),
    "a builtin kind": (
        json.dumps(bare(providers=[{"kind": "llamacpp", "name": "Own", "base_url": "http://x"}])).encode(),
        "of a kind that this version does not connect",
    ),
    "an option": (
        json.dumps(bare(presets=[{"name": "P", "options": {"temperature": 9}}])).encode(),
        "presets[0].options.temperature",
    ),
    "a name": (json.dumps(bare(slash_prompts=[{"name": "a/b", "text": "x"}])).encode(), "slash_prompts[0].name"),
    "a slash-prompt": (json.dumps(bare(slash_prompts=[{"name": "a", "text": "{{open"}])).encode(), "/a: "),
    "a NUL": (json.dumps(bare(slash_prompts=[{"name": "a", "text": "x\0"}])).encode(), "slash_prompts[0].text"),
    "costly secrets": (
        json.dumps(bare(secrets={"salt": "a" * 24, "text": "", "cost": 2**30})).encode(),
        "secrets.cost",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_of_a_bad_file_nothing_is_stored_and_one_sentence_says_why(olive: Browser, name: str) -> None:
    await furnish(olive)
    before = await everything()
    content, reason = BAD[name]
    answer = await bring(olive, content)
    assert answer.status_code == 422
    shown = answer.text.partition('id="error-file"')[2].partition("</p>")[0]
    assert reason in shown
    assert await everything() == before


async def test_a_wrong_passphrase_and_tampered_secrets_are_one_sentence_beside_it(olive: Browser) -> None:
    await furnish(olive)
    file = (await export(olive, PASSPHRASE)).json()
    before = await everything()
    tampered = file | {"secrets": file["secrets"] | {"text": file["secrets"]["text"][:-8] + "AAAAAAA="}}
    salted = file | {"secrets": file["secrets"] | {"salt": "not base64 at all…"}}
    for content, passphrase in ((file, "another passphrase"), (tampered, PASSPHRASE), (salted, PASSPHRASE)):
        answer = await bring(olive, json.dumps(content), passphrase=passphrase)
        assert answer.status_code == 422
        assert "This passphrase does not open the secrets of the file." in answer.text
        assert 'id="error-passphrase"' in answer.text
    assert await everything() == before


async def test_forms_say_what_they_want(olive: Browser) -> None:
    assert "Choose a file, or paste its text below." in (await olive.put("/settings/file", data={})).text
    both = await bring(olive, json.dumps(GOOD), text=json.dumps(GOOD))
    assert "not both" in both.text
    short = await export(olive, "short")
    assert (short.status_code, "At least 10 characters." in short.text) == (422, True)
    assert (await bring(olive, json.dumps(GOOD), more="x")).status_code == 400
    files = {"file": ("a", b"{}"), "second": ("b", b"{}")}
    assert (await olive.put("/settings/file", data={}, files=files)).status_code == 400
    assert await Setting.list_all() == []
