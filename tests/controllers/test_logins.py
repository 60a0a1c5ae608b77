"""User and password in a base URL: used, kept sealed as a key is, and never shown, logged or sent to another host."""

import base64
import html
import json
import re
from collections.abc import AsyncIterator

import pytest
import structlog

from app.controllers.logins import given_login, kept_login, moved_login
from app.providers.credentials import is_basic, secrets_in, split_credentials
from tests.accounts import accounts
from tests.controllers.test_proposals import proposed, speak_only
from tests.controllers.test_providers import HTMX, beside, connected, form_of
from tests.controllers.test_settings_file import PASSPHRASE, bring, empty, export
from tests.people import Browser
from tests.scripted import ANTHROPIC, GEMINI, OLLAMA, OPENAI, Dialect, ScriptedServer
from tests.scripted.steps import whole

PASSWORD = "tide-and-lantern"
BASIC = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


def with_login(url: str, login: str = f"me:{PASSWORD}") -> str:
    return url.replace("//", f"//{login}@")


@pytest.mark.parametrize(
    ("url", "bare", "login"),
    [
        ("http://me:word@a/v1", "http://a/v1", "me:word"),
        ("https://me:word@a:1/v1?x#y", "https://a:1/v1?x#y", "me:word"),
        ("http://me@a/v1", "http://a/v1", "me:"),
        ("http://:word@a/v1", "http://a/v1", ":word"),
        ("http://m%40e:w%3Ao%2Frd@a/v1", "http://a/v1", "m@e:w:o/rd"),
        ("http://me:w@rd@a/v1", "http://a/v1", "me:w@rd"),
        ("http://me:w/o#r?d@a/v1", "http://a/v1", "me:w/o#r?d"),
        ("me:word@a/v1", "a/v1", "me:word"),
        ("//me:word@a/v1", "//a/v1", "me:word"),
        ("http://me:wörd@a/v1", "http://a/v1", "me:wörd"),
        ("http://a/v1", "http://a/v1", ""),
        ("http://@a/v1", "http://a/v1", ""),
        ("http://:@a/v1", "http://a/v1", ""),
        ("http://a/@cf/v1", "http://a/@cf/v1", ""),
        ("http://a:8080/x@y", "http://a:8080/x@y", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_user_and_password_are_taken_out_of_a_url(url: str, bare: str, login: str) -> None:
    found, key = split_credentials(url)
    assert found == bare
    assert key == (f"Basic {base64.b64encode(login.encode()).decode()}" if login else "")
    assert is_basic(key) is bool(login)


def test_a_password_by_itself_is_a_secret_too() -> None:
    assert PASSWORD in secrets_in(BASIC)
    assert secrets_in("sk-lantern") == ["sk-lantern"]
    assert secrets_in("Basic %") == ["%", ""]


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI, OLLAMA], ids=lambda dialect: dialect.kind)
async def test_they_are_sent_as_basic_credentials_and_never_shown(
    olive: Browser, server: ScriptedServer, dialect: Dialect
) -> None:
    url = server.url_for(dialect)
    with structlog.testing.capture_logs() as logs:
        provider = await connected(olive, with_login(url), kind=dialect.kind)
        await olive.post(f"/providers/{provider}/refresh")
    assert {asked.headers.get("authorization") for asked in server.requests} == {BASIC}
    (row,) = await accounts("WHERE id = $1", provider)
    assert (row["base_url"], row["key"], row["state"]) == (url, BASIC, "ok")
    for address in ("/providers", f"/providers/{provider}/disconnection", "/models", "/status", "/api/health"):
        shown = (await olive.get(address)).text
        assert (PASSWORD in shown, BASIC[6:] in shown) == (False, False), address
    assert PASSWORD not in str(logs)
    assert BASIC[6:] not in str(logs)


async def test_a_server_that_repeats_them_is_not_repeated(olive: Browser, server: ScriptedServer) -> None:
    server.answers["/v1/models"] = whole(OPENAI.error_body(f"no {BASIC} of {PASSWORD} here"), 401)
    answer = await olive.post("/providers", data=form_of(with_login(server.url_for(OPENAI))))
    assert "did not accept the key" in beside(answer, "key")
    assert (PASSWORD in answer.text, BASIC[6:] in answer.text) == (False, False)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "partial"])
async def test_a_form_that_comes_back_keeps_them_unreadable(
    olive: Browser, server: ScriptedServer, headers: dict[str, str]
) -> None:
    form = form_of(with_login(server.url_for(OPENAI)))
    tested = await olive.post("/providers/test", data=form, headers=headers)
    assert "1 model" in tested.text
    assert (PASSWORD in tested.text, BASIC[6:] in tested.text) == (False, False)
    assert f'value="{server.url_for(OPENAI)}"' in tested.text
    assert "The user name and password that you entered are kept encrypted" in tested.text
    again = form | {"base_url": server.url_for(OPENAI), "login": login_in(tested.text)}
    assert (await olive.post("/providers", data=again)).status_code == 303
    assert server.requests[-1].headers["authorization"] == BASIC
    (row,) = await accounts("WHERE kind = 'openai'")
    assert row["key"] == BASIC


def login_in(text: str) -> str:
    found = re.search(r'<input type="hidden" name="login" value="([^"]*)"', text)
    assert found is not None
    return html.unescape(found[1])


async def test_a_proposal_keeps_them(olive: Browser, server: ScriptedServer) -> None:
    speak_only(server, OPENAI)
    answer = await olive.post("/providers", data=form_of(with_login(server.url)))
    assert proposed(answer) == f"openai {server.url}/v1"
    assert PASSWORD not in answer.text
    assert {asked.headers.get("authorization") for asked in server.requests} == {BASIC}
    taken = form_of(server.url, proposal=proposed(answer), login=login_in(answer.text))
    assert (await olive.post("/providers", data=taken)).status_code == 303
    (row,) = await accounts("WHERE kind = 'openai'")
    assert (row["base_url"], row["key"]) == (f"{server.url}/v1", BASIC)


async def test_they_are_for_one_origin_alone(olive: Browser, server: ScriptedServer) -> None:
    typed = "https://harbour.example/v1"
    login = kept_login(BASIC, typed)
    for same in ("https://Harbour.example.:443/v9", "harbour.example/v1"):
        assert given_login(login, same) == BASIC
    for other in (
        "https://harbour.example:8443",
        "http://harbour.example/v1",
        "https://harbour.example.evil/v1",
        "",
        "http://[::1",
    ):
        assert given_login(login, other) == ""
    assert given_login("nonsense", typed) == ""
    assert given_login("", typed) == ""
    for accepted in ("https://harbour.example/v2", "http://harbour.example/v1"):
        assert moved_login(login, typed, accepted) == BASIC
    for accepted in ("https://harbour.example:8443/v1", "https://elsewhere.example/v1", ""):
        assert moved_login(login, typed, accepted) == ""
    assert moved_login(login, "https://elsewhere.example/v1", "https://elsewhere.example/v1") == ""
    await connected(olive, server.url_for(OPENAI), login=login)
    assert "authorization" not in server.requests[-1].headers


@pytest.mark.parametrize("url", ["http://me:{}@", "ftp://me:{}@a/v1", "http://me:{}@a:99999/v1", "http://me:{}@a b/v1"])
async def test_an_address_that_is_none_does_not_show_them_either(olive: Browser, url: str) -> None:
    for name in ("Harbour", "two\nlines"):
        answer = await olive.post("/providers", data=form_of(url.format(PASSWORD), name=name))
        assert (answer.status_code, PASSWORD in answer.text) == (422, False)


async def test_a_key_beside_them_is_refused(olive: Browser, server: ScriptedServer) -> None:
    answer = await olive.post("/providers", data=form_of(with_login(server.url_for(OPENAI)), key="sk-lantern"))
    assert "Enter either those or a key, not both." in beside(answer, "key")
    answer = await olive.post("/providers", data=form_of(server.url_for(OPENAI), key=BASIC))
    assert "no spaces" in beside(answer, "key"), "nobody types a key that is taken for a login"


async def test_a_change_takes_them_and_keeps_them(olive: Browser, server: ScriptedServer) -> None:
    url = server.url_for(OPENAI)
    provider = await connected(olive, url, key="sk-lantern")
    change = {"name": "Pier", "base_url": with_login(url), "key": "", "allows_private": "true"}
    wrong = await olive.patch(f"/providers/{provider}", data=change | {"name": ""})
    assert (wrong.status_code, PASSWORD in wrong.text) == (422, False)
    again = change | {"base_url": url, "login": login_in(wrong.text)}
    assert (await olive.patch(f"/providers/{provider}", data=again)).status_code == 303
    assert server.requests[-1].headers["authorization"] == BASIC
    assert (await olive.patch(f"/providers/{provider}", data=change | {"base_url": url})).status_code == 303
    assert server.requests[-1].headers["authorization"] == BASIC
    assert (
        await olive.patch(f"/providers/{provider}", data=change | {"base_url": url, "key": "sk-2"})
    ).status_code == 303
    assert server.requests[-1].headers["authorization"] == "Bearer sk-2"


async def test_the_file_of_settings_has_them_sealed_or_not_at_all(olive: Browser, server: ScriptedServer) -> None:
    await connected(olive, with_login(server.url_for(OPENAI)))
    without, sealed = await export(olive), await export(olive, PASSPHRASE)
    for file in (without, sealed):
        assert (PASSWORD in file.text, BASIC[6:] in file.text) == (False, False)
    await empty()
    assert "Provider Harbour" in (await bring(olive, sealed.content, passphrase=PASSPHRASE)).text
    (row,) = await accounts("WHERE name = 'Harbour'")
    assert row["key"] == BASIC
    file = json.loads(without.content)
    file["providers"][0]["base_url"] = with_login(server.url_for(OPENAI))
    refused = await bring(olive, json.dumps(file))
    assert (refused.status_code, PASSWORD in refused.text) == (422, False)


@pytest.mark.parametrize(
    ("variable", "kind", "path"), [("OLLAMA_HOST", "ollama", ""), ("OPENAI_BASE_URL", "openai", "/v1")]
)
async def test_those_of_the_environment_are_used_and_not_shown(
    olive: Browser, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, variable: str, kind: str, path: str
) -> None:
    monkeypatch.setenv(variable, with_login(server.url + path))
    page = (await olive.get("/providers")).text
    assert (PASSWORD in page, f"with the key from {variable}" in page) == (False, True)
    form = {"kind": kind, "name": "Found", "base_url": server.url + path, "source": variable, "allows_private": "true"}
    assert (await olive.post("/providers", data=form)).status_code == 303
    assert server.requests[-1].headers["authorization"] == BASIC
    (row,) = await accounts("WHERE name = 'Found'")
    assert (row["base_url"], row["key"]) == (server.url + path, BASIC)
