"""No way to change an address brings a stored key to the new one: forms, proposals, files, the environment, the hub."""

import json
import re
import uuid
from collections.abc import AsyncIterator

import pytest

from app.controllers.provider_form import SOURCES
from app.database import fetch, fetch_row
from app.instance import holding
from app.instance.file import Secrets, seal_secrets
from app.providers import PROVIDERS
from app.settings import current
from app.tables.setting import Setting
from tests.accounts import accounts
from tests.canary import BASIC, CANARY, leaks
from tests.controllers.test_proposals import lists
from tests.controllers.test_providers import HTMX, beside, connected, form_of
from tests.controllers.test_settings_file import PASSPHRASE, bare, bring, empty, export
from tests.file_server import FileServer
from tests.people import Browser
from tests.scripted import DEEPAI, DIALECTS, OLLAMA, OPENAI, Dialect, ScriptedServer
from tests.scripted.steps import whole

EVERY = (*DIALECTS, DEEPAI)
every_kind = pytest.mark.parametrize("dialect", EVERY, ids=[dialect.kind for dialect in EVERY])


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """Whose key it is."""
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[ScriptedServer]:
    """Where the key must not arrive."""
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


async def with_canary(olive: Browser, server: ScriptedServer, dialect: Dialect) -> uuid.UUID:
    provider = await connected(olive, server.url_for(dialect), kind=dialect.kind, key=CANARY)
    assert leaks(server.requests)
    return provider


def change_to(url: str, **fields: str) -> dict[str, str]:
    return {"name": "Harbour", "base_url": url, "key": "", "allows_private": "true", **fields}


def keyless_in(text: str) -> str:
    found = re.search(r'<button name="keyless" value="([^"]*)"', text)
    return found[1] if found else ""


@every_kind
async def test_a_changed_origin_asks_for_the_key_and_then_forgets_it(
    olive: Browser, server: ScriptedServer, other: ScriptedServer, dialect: Dialect
) -> None:
    provider = await with_canary(olive, server, dialect)
    page = (await olive.get("/providers")).text
    assert "The stored key is not sent there: enter the key for it." in page
    change = change_to(other.url_for(dialect))
    asked = await olive.patch(f"/providers/{provider}", data=change)
    said = beside(asked, f"key-{provider}")
    assert (asked.status_code, server.url in said, other.url in said) == (422, True, True)
    assert (other.requests, (await accounts("WHERE id = $1", provider))[0]["key"]) == ([], CANARY)
    again = await olive.patch(f"/providers/{provider}", data=change)
    assert (again.status_code, (await accounts("WHERE id = $1", provider))[0]["key"]) == (422, CANARY), (
        "Save deletes none"
    )
    form = asked.text.partition(f'action="/providers/{provider}?_method=PATCH"')[2].partition("</form>")[0]
    assert re.findall(r"<button[^>]*>([^<]*)", form) == ["Save", "Save without a key"], "Enter takes the first"
    assert 'type="hidden" name="keyless"' not in form
    agreed = change | {"keyless": keyless_in(asked.text)}
    assert (await olive.patch(f"/providers/{provider}", data=agreed)).status_code == 303
    (row,) = await accounts("WHERE id = $1", provider)
    assert (row["base_url"], row["key"], row["key_sealed"]) == (other.url_for(dialect), "", "")
    await olive.post(f"/providers/{provider}/refresh")
    assert other.requests
    assert leaks(other.requests) == []


@every_kind
async def test_the_key_for_the_new_origin_is_taken_with_the_change(
    olive: Browser, server: ScriptedServer, other: ScriptedServer, dialect: Dialect
) -> None:
    provider = await with_canary(olive, server, dialect)
    change = change_to(other.url_for(dialect), key="sk-of-the-other")
    assert (await olive.patch(f"/providers/{provider}", data=change)).status_code == 303
    (row,) = await accounts("WHERE id = $1", provider)
    assert (row["key"], row["key_origin"]) == ("sk-of-the-other", other.url)
    assert leaks(other.requests) == []


async def test_another_path_at_the_same_origin_keeps_the_key(olive: Browser, server: ScriptedServer) -> None:
    provider = await with_canary(olive, server, OPENAI)
    server.answers["/gate-4711/v1/models"] = whole(b'{"data": []}')
    moved = change_to(server.url.replace("http:", "HTTP:") + "/gate-4711/v1")
    assert (await olive.patch(f"/providers/{provider}", data=moved)).status_code == 303
    assert leaks(server.requests[-1:])
    (row,) = await accounts("WHERE id = $1", provider)
    assert (row["key"], row["shown_url"]) == (CANARY, f"{server.url}/•••/v1")


@pytest.mark.parametrize(
    "other_url", ["https://127.0.0.1:{port}/v1", "http://localhost:{port}/v1", "http://127.0.0.1:9/v1"]
)
async def test_scheme_host_and_port_each_make_another_origin(
    olive: Browser, server: ScriptedServer, other_url: str
) -> None:
    provider = await with_canary(olive, server, OPENAI)
    before = len(server.requests)
    changed = change_to(other_url.format(port=server.url.rpartition(":")[2]))
    asked = await olive.patch(f"/providers/{provider}", data=changed)
    assert (asked.status_code, "is not sent to" in beside(asked, f"key-{provider}")) == (422, True)
    assert len(server.requests) == before


async def test_what_was_agreed_for_one_origin_does_not_hold_for_another(
    olive: Browser, server: ScriptedServer, other: ScriptedServer
) -> None:
    provider = await with_canary(olive, server, OPENAI)
    agreed = change_to(other.url_for(OPENAI), keyless="http://127.0.0.1:9")
    assert (await olive.patch(f"/providers/{provider}", data=agreed)).status_code == 422
    other.answers["/v1/models"] = whole(OPENAI.error_body("who are you"), 401)
    typed = change_to(other.url_for(OPENAI), keyless=other.url, key="sk-wrong")
    refused = await olive.patch(f"/providers/{provider}", data=typed)
    assert (refused.status_code, keyless_in(refused.text)) == (422, ""), "the key that was typed is lost: ask again"
    assert (await accounts("WHERE id = $1", provider))[0]["key"] == CANARY


async def test_a_proposal_takes_no_stored_key_elsewhere(
    olive: Browser, server: ScriptedServer, other: ScriptedServer
) -> None:
    provider = await with_canary(olive, server, OPENAI)
    forged = change_to(server.url_for(OPENAI), proposal=f"openai {other.url}/v1")
    assert (await olive.patch(f"/providers/{provider}", data=forged)).status_code == 422
    for typed in (f"{other.url}/v1/chat/completions", other.url.removeprefix("http://"), other.url):
        answer = await olive.patch(f"/providers/{provider}", data=change_to(typed))
        assert answer.status_code == 422
    assert leaks(other.requests) == []


@every_kind
async def test_a_new_form_sends_its_key_to_what_was_typed(
    olive: Browser, server: ScriptedServer, other: ScriptedServer, dialect: Dialect
) -> None:
    """Nothing answers as it should, so every guess is tried: all of them at the typed origin, or without the key."""
    server.answers[dialect.listing_path] = whole(b"", 302, Location=f"{other.url}/v1/models")
    form = form_of(server.url_for(dialect), kind=dialect.kind, key=CANARY)
    for headers in ({}, HTMX):
        await olive.post("/providers/test", data=form, headers=headers)
    assert leaks(server.requests)
    assert other.requests == []


async def test_a_login_of_another_origin_is_not_taken(
    olive: Browser, server: ScriptedServer, other: ScriptedServer
) -> None:
    typed = server.url_for(OPENAI).replace("//", f"//me:{CANARY}@")
    tested = await olive.post("/providers/test", data=form_of(typed))
    login = re.search(r'name="login" value="([^"]*)"', tested.text)
    assert login
    moved = form_of(other.url_for(OPENAI), login=login[1])
    await olive.post("/providers/test", data=moved)
    await olive.post("/providers/test", data=moved | {"proposal": f"openai {other.url}/v1"})
    await olive.post("/providers", data=form_of(typed) | {"proposal": f"openai {other.url}/v1"})
    assert other.requests
    assert BASIC[6:] in str([asked.headers for asked in server.requests])


@pytest.mark.parametrize("source", SOURCES)
async def test_a_key_of_the_environment_is_for_its_own_address_alone(
    olive: Browser, other: ScriptedServer, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    is_address = source == "OLLAMA_HOST" or source.endswith("_BASE_URL")
    monkeypatch.setenv(source, f"http://me:{CANARY}@127.0.0.1:9" if is_address else CANARY)
    for kind, provider in PROVIDERS.items():
        if provider.is_builtin:
            continue
        form = form_of(other.url, kind=kind, source=source)
        for address in ("/providers/test", "/providers"):
            answer = await olive.post(address, data=form)
            assert f"{source} is used at " in beside(answer, "base_url"), (kind, address)
    assert other.requests == []
    assert await accounts("WHERE kind <> 'llamacpp'") == []


@pytest.mark.parametrize("service", ["openai", "anthropic"])
async def test_a_key_of_the_environment_goes_with_the_address_beside_it(
    olive: Browser, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    dialect = next(dialect for dialect in DIALECTS if dialect.kind == service)
    variable = service.upper()
    monkeypatch.setenv(f"{variable}_API_KEY", CANARY)
    monkeypatch.setenv(f"{variable}_BASE_URL", server.url_for(dialect))
    vendor = form_of(PROVIDERS[service].usual_url, kind=service, source=f"{variable}_API_KEY")
    assert "is used at" in beside(await olive.post("/providers", data=vendor), "base_url")
    own = form_of(server.url_for(dialect), kind=service, source=f"{variable}_API_KEY")
    assert (await olive.post("/providers", data=own)).status_code == 303
    (row,) = await accounts("WHERE kind = $1", service)
    assert (row["key"], row["key_origin"]) == (CANARY, server.url)


async def test_the_hidden_part_of_an_address_of_the_environment_is_not_on_the_page(
    olive: Browser, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/gate-4711/v1/models"] = lists(OPENAI)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/gate-4711/v1")
    page = (await olive.get("/providers")).text
    assert ("gate-4711" in page, f"{server.url}/•••/v1" in page) == (False, True)
    form = form_of(f"{server.url}/•••/v1", name="Gate", source="OPENAI_BASE_URL")
    assert (await olive.post("/providers", data=form)).status_code == 303
    (row,) = await accounts("WHERE name = 'Gate'")
    assert (row["base_url"], row["key"], row["state"]) == (f"{server.url}/gate-4711/v1", "", "ok")
    for address in ("/providers", f"/providers/{row['id']}/disconnection", "/models", "/status", "/api/health"):
        assert "gate-4711" not in (await olive.get(address)).text, address
    kept = change_to(f"{server.url}/•••/v1") | {"name": "Gate Two"}
    assert (await olive.patch(f"/providers/{row['id']}", data=kept)).status_code == 303
    (row,) = await accounts("WHERE name = 'Gate Two'")
    assert row["base_url"] == f"{server.url}/gate-4711/v1"
    cut = change_to(f"{server.url}/•••/v2") | {"name": "Gate"}
    answer = await olive.patch(f"/providers/{row['id']}", data=cut)
    assert "Enter the whole address." in beside(answer, f"base_url-{row['id']}")


async def test_a_file_with_a_changed_address_is_refused_with_its_secrets(
    olive: Browser, server: ScriptedServer, other: ScriptedServer
) -> None:
    await with_canary(olive, server, OPENAI)
    file = (await export(olive, PASSPHRASE)).json()
    assert CANARY not in json.dumps(file)
    await empty()
    (provider,) = file["providers"]
    tampered = file | {"providers": [provider | {"base_url": other.url_for(OPENAI)}]}
    refused = await bring(olive, json.dumps(tampered), passphrase=PASSPHRASE)
    assert (refused.status_code, "its secrets do not belong to its providers" in refused.text) == (422, True)
    moved = provider | {"base_url": f"{server.url}/elsewhere/v1"}
    assert (await bring(olive, json.dumps(file | {"providers": [moved]}), passphrase=PASSPHRASE)).status_code == 200
    (row,) = await accounts("WHERE kind = 'openai'")
    assert (row["base_url"], row["key"], row["key_origin"]) == (server.url_for(OPENAI), CANARY, server.url)
    assert other.requests == []


async def test_a_key_in_a_file_of_an_older_version_is_left_out_and_said_to_be(
    olive: Browser, other: ScriptedServer
) -> None:
    secrets = await seal_secrets(Secrets(settings={"hub_token": CANARY}, keys=[CANARY]), PASSPHRASE)
    provider = {"kind": "openai", "name": "Harbour", "base_url": other.url_for(OPENAI), "allows_private": True}
    sealed = {"salt": secrets.salt, "text": secrets.text, "cost": secrets.cost}
    answer = await bring(olive, json.dumps(bare(providers=[provider], secrets=sealed)), passphrase=PASSPHRASE)
    assert "The key of Harbour: an older version made this file" in answer.text
    assert answer.text.count("an older version made this file") == 2
    (row,) = await accounts("WHERE kind = 'openai'")
    assert (row["key_sealed"], current().hub_token) == ("", "")
    await olive.post(f"/providers/{row['id']}/refresh")
    assert other.requests
    assert leaks(other.requests) == []


async def test_a_file_merges_into_what_is_here_without_moving_a_key(
    olive: Browser, server: ScriptedServer, other: ScriptedServer
) -> None:
    provider = await with_canary(olive, server, OPENAI)
    entry = {"kind": "openai", "name": "Harbour", "base_url": other.url_for(OPENAI), "allows_private": True}
    assert (await bring(olive, json.dumps(bare(providers=[entry])))).status_code == 200
    by_url = {row["base_url"]: row["key"] for row in await accounts("WHERE kind = 'openai'")}
    assert by_url == {server.url_for(OPENAI): CANARY, other.url_for(OPENAI): ""}
    for row in await accounts("WHERE kind = 'openai'"):
        await olive.post(f"/providers/{row['id']}/refresh")
    assert other.requests
    assert leaks(other.requests) == []
    assert provider


async def test_a_file_without_secrets_has_no_hidden_part_of_an_address(olive: Browser, server: ScriptedServer) -> None:
    server.answers["/gate-4711/v1/models"] = whole(b'{"data": []}')
    await connected(olive, f"{server.url}/gate-4711/v1", key=CANARY)
    without, sealed = (await export(olive)).json(), (await export(olive, PASSPHRASE)).json()
    for file in (without, sealed):
        assert "gate-4711" not in json.dumps(file)
        assert (file["version"], file["providers"][0]["base_url"], file["providers"][0]["hides_path"]) == (
            2,
            server.url,
            True,
        )
    assert "Everything in it was here already." in (await bring(olive, json.dumps(without))).text
    assert len(await accounts("WHERE kind = 'openai'")) == 1, "it is known by its origin"
    await empty()
    assert "Complete it under Model servers." in (await bring(olive, json.dumps(without))).text
    assert [row["base_url"] for row in await accounts("WHERE kind = 'openai'")] == [server.url]
    await empty()
    await bring(olive, json.dumps(sealed), passphrase=PASSPHRASE)
    (row,) = await accounts("WHERE kind = 'openai'")
    assert (row["base_url"], row["key"]) == (f"{server.url}/gate-4711/v1", CANARY)


@pytest.mark.parametrize("columns", ["base_url = $1", "base_url_sealed = $2, shown_url = $1"])
@every_kind
async def test_an_address_that_was_changed_in_the_database_gets_no_key(
    olive: Browser, server: ScriptedServer, other: ScriptedServer, dialect: Dialect, columns: str
) -> None:
    from app.tables.provider import seal_base_url

    provider = await with_canary(olive, server, dialect)
    sealed, shown = seal_base_url(other.url_for(dialect))
    values = (shown, sealed) if "$2" in columns else (other.url_for(dialect),)
    await fetch(f"UPDATE provider SET {columns}", *values)
    await olive.post(f"/providers/{provider}/refresh")
    row = await fetch_row("SELECT state, error FROM provider WHERE id = $1", provider)
    assert row is not None
    assert f"is for {server.url} and was not sent to {other.url}" in row["error"]
    same = await olive.patch(f"/providers/{provider}", data=change_to(other.url_for(dialect)))
    assert (same.status_code, "is not sent to" in beside(same, f"key-{provider}")) == (422, True)
    assert other.requests == []


@pytest.fixture
async def hubs() -> AsyncIterator[tuple[FileServer, FileServer]]:
    """The hub that the token is for, and another one."""
    async with FileServer(files={"x.gguf": b"GGUF"}) as hub, FileServer(files={"x.gguf": b"GGUF"}) as new:
        yield hub, new


async def pull_from_hub(olive: Browser) -> str:
    (row,) = await fetch("SELECT id FROM provider WHERE kind = 'llamacpp'")
    form = {"provider": str(row["id"]), "source": "hf:org/repo/x.gguf", "allows_private": "true"}
    return (await olive.post("/pulls", data=form)).text


async def set_models(olive: Browser, **fields: str) -> str:
    answer = await olive.put("/settings/models", data=fields, headers=HTMX)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_the_token_of_the_hub_stays_with_its_hub(olive: Browser, hubs: tuple[FileServer, FileServer]) -> None:
    hub, new = hubs
    await set_models(olive, hub_url=hub.base_url, hub_token=CANARY)
    await pull_from_hub(olive)
    assert leaks(hub.requests)
    page = await set_models(olive, hub_url=new.base_url)
    assert f"It is for {hub.base_url} and is not sent elsewhere. Enter it again." in page
    assert 'id="taken-back-hub_token"' in page
    await pull_from_hub(olive)
    assert new.requests
    assert leaks(new.requests) == []
    await set_models(olive, hub_url=new.base_url, hub_token="another")
    await pull_from_hub(olive)
    assert new.requests[-1].headers["authorization"] == "Bearer another"
    await set_models(olive, hub_url=new.base_url, hub_token=CANARY)
    assert current().hub_token == CANARY, "typed again, it is for this hub"
    await set_models(olive, hub_url=hub.base_url)
    await set_models(olive, hub_url=hub.base_url, taken_back="hub_token")
    assert [row.name for row in await Setting.list_all()] == ["hub_url"], "one that is ignored can be deleted"


async def test_a_redirect_of_the_hub_takes_no_token_along(olive: Browser, hubs: tuple[FileServer, FileServer]) -> None:
    hub, new = hubs
    hub.redirects["/org/repo/resolve/main/x.gguf"] = new.url("x.gguf")
    await set_models(olive, hub_url=hub.base_url, hub_token=CANARY)
    await pull_from_hub(olive)
    assert leaks(hub.requests)
    assert new.requests
    assert leaks(new.requests) == []


async def test_a_file_brings_the_token_for_its_own_hub_alone(
    olive: Browser, hubs: tuple[FileServer, FileServer]
) -> None:
    hub, new = hubs
    await set_models(olive, hub_url=hub.base_url, hub_token=CANARY)
    file = (await export(olive, PASSPHRASE)).json()
    assert file["settings"]["hub_url"] == hub.base_url
    for changed in ({"hub_url": new.base_url}, {}):
        await fetch("DELETE FROM setting")
        await Setting.change(chosen={"hub_url": new.base_url}, taken_back=[], by=None)
        await holding.take()
        taken = await bring(olive, json.dumps(file | {"settings": changed}), passphrase=PASSPHRASE)
        assert taken.status_code == 200
        assert (current().hub_url, current().hub_token) == (new.base_url, "")
        await pull_from_hub(olive)
    assert new.requests
    assert leaks(new.requests) == []
    assert "Hub" in taken.text or "hub" in taken.text
    await bring(olive, json.dumps(file), passphrase=PASSPHRASE)
    assert (current().hub_url, current().hub_token) == (hub.base_url, CANARY)


async def test_the_list_on_this_machine_asks_ollama_with_its_own_login_alone(
    olive: Browser, server: ScriptedServer, other: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/api/tags"] = whole(b"", 307, Location=f"{other.url}/api/tags")
    monkeypatch.setenv("OLLAMA_HOST", server.url_for(OLLAMA).replace("//", f"//me:{CANARY}@"))
    page = (await olive.get("/providers")).text
    assert CANARY not in page
    assert leaks(server.requests)
    assert other.requests == []
