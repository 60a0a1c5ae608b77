"""A model server is asked before it is stored: what only another address or key can mend stands beside that field."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from app.database import fetch
from app.providers import PROVIDERS
from tests.accounts import accounts
from tests.people import Browser
from tests.scripted import ANTHROPIC, DEEPAI, GEMINI, OPENAI, Dialect, ScriptedServer
from tests.scripted.steps import Script, Sleep, whole

HTMX = {"hx-request": "true"}

#: What a server answers, the field that is wrong then, and what is said.
REFUSED: dict[str, tuple[Script, str, str]] = {
    "a redirect": (whole(b"", 302, Location="/elsewhere"), "base_url", "redirect, which is never followed"),
    "a web page": (whole(b"<html><title>Hi</title>", 200, "text/html"), "base_url", "a web page instead of an answer"),
    "something else in JSON": (whole(b'{"hello": 1}'), "base_url", "did not answer with a list of models"),
    "no such path": (whole(b"404 page not found", 404, "text/plain"), "base_url", "has nothing at this address"),
    "another key, please": (whole(OPENAI.error_body("who are you"), 401), "key", "did not accept the key: who are you"),
}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


def form_of(url: str, **fields: str) -> dict[str, str]:
    return {"kind": "openai", "name": "Harbour", "base_url": url, "key": "", "allows_private": "true", **fields}


def beside(answer: httpx.Response, field: str) -> str:
    """The sentence beside the field called so; '' if there is none."""
    found = re.search(rf'<p class="error" id="error-{field}">.*?</svg>(.*?)</p>', answer.text, re.DOTALL)
    return found[1].strip() if found else ""


async def connected(olive: Browser, url: str, **fields: str) -> uuid.UUID:
    answer = await olive.post("/providers", data=form_of(url, **fields))
    assert answer.status_code == 303, answer.text
    (row,) = await fetch("SELECT id FROM provider WHERE kind <> 'llamacpp'")
    found: uuid.UUID = row["id"]
    return found


@pytest.mark.parametrize("what", REFUSED)
async def test_a_server_that_is_none_is_not_stored(olive: Browser, server: ScriptedServer, what: str) -> None:
    server.answers["/v1/models"], field, sentence = REFUSED[what]
    if what == "no such path":  # where questions are taken, a list may be missing
        server.answers["/v1/chat/completions"] = server.answers["/v1/models"]
    form = form_of(server.url_for(OPENAI), key="sk-lantern")
    answer = await olive.post("/providers", data=form)
    assert (answer.status_code, sentence in beside(answer, field)) == (422, True)
    assert f'value="{form["base_url"]}"' in answer.text
    assert "sk-lantern" not in answer.text
    tested = await olive.post("/providers/test", data=form, headers=HTMX)
    assert (tested.status_code, sentence in beside(tested, field)) == (200, True)
    assert await fetch("SELECT 1 FROM provider WHERE kind = 'openai'") == []


@pytest.mark.parametrize("what", REFUSED)
async def test_a_change_to_a_server_that_is_none_is_not_stored(
    olive: Browser, server: ScriptedServer, what: str
) -> None:
    provider = await connected(olive, server.url_for(OPENAI), key="sk-lantern")
    server.answers["/v9/models"], field, sentence = REFUSED[what]
    change = {"name": "Pier", "base_url": f"{server.url}/v9", "key": "", "allows_private": "true"}
    answer = await olive.patch(f"/providers/{provider}", data=change)
    assert (answer.status_code, sentence in beside(answer, f"{field}-{provider}")) == (422, True)
    (row,) = await accounts("WHERE id = $1", provider)
    assert (row["name"], row["base_url"], row["state"]) == ("Harbour", server.url_for(OPENAI), "ok")


async def test_a_key_is_checked_and_trimmed_in_a_change_as_in_a_new_one(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI), key=" sk-one ")
    change = {"name": "Harbour", "base_url": server.url_for(OPENAI), "allows_private": "true"}
    for wrong in ("sk-a\nX: y", "sk-ö", "a\tb", "sk a"):
        answer = await olive.patch(f"/providers/{provider}", data=change | {"key": wrong})
        assert (answer.status_code, "no spaces, line breaks" in beside(answer, f"key-{provider}")) == (422, True)
    (row,) = await accounts("WHERE id = $1", provider)
    assert row["key"] == "sk-one"
    assert (await olive.patch(f"/providers/{provider}", data=change | {"key": " sk-two\n"})).status_code == 303
    (row,) = await accounts("WHERE id = $1", provider)
    assert row["key"] == "sk-two"
    assert server.requests[-1].headers["authorization"] == "Bearer sk-two"


async def test_a_server_that_is_only_away_is_stored_and_asked_once(olive: Browser, server: ScriptedServer) -> None:
    server.answers["/v1/models"] = whole(OPENAI.error_body("loading"), 503)
    provider = await connected(olive, server.url_for(OPENAI))
    (row,) = await fetch("SELECT state, error FROM provider WHERE id = $1", provider)
    assert (row["state"], "loading" in row["error"]) == ("stale", True)
    assert len(server.requests) == 1
    change = {"name": "Pier", "base_url": "http://127.0.0.1:9/v1", "key": "", "allows_private": "true"}
    assert (await olive.patch(f"/providers/{provider}", data=change)).status_code == 303
    (row,) = await fetch("SELECT name, error FROM provider WHERE id = $1", provider)
    assert (row["name"], "Is it running?" in row["error"]) == ("Pier", True)


async def test_a_name_can_be_changed_while_the_key_is_refused(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI), key="sk-lantern")
    server.answers["/v1/models"] = whole(OPENAI.error_body("expired"), 401)
    change = {"name": "Pier", "base_url": server.url_for(OPENAI), "key": "", "allows_private": "true"}
    assert (await olive.patch(f"/providers/{provider}", data=change)).status_code == 303
    (row,) = await fetch("SELECT name, state FROM provider WHERE id = $1", provider)
    assert tuple(row) == ("Pier", "stale")


@pytest.mark.parametrize("name", ["two\nlines", "two\u2028lines", "turned \u202edrawkcab", "\u2066isolated"])
async def test_a_name_is_one_line_that_reads_as_it_is_written(
    olive: Browser, server: ScriptedServer, name: str
) -> None:
    answer = await olive.post("/providers", data=form_of(server.url_for(OPENAI), name=name))
    assert (answer.status_code, bool(beside(answer, "name"))) == (422, True)
    provider = await connected(olive, server.url_for(OPENAI))
    change = {"name": name, "base_url": server.url_for(OPENAI), "key": "", "allows_private": "true"}
    answer = await olive.patch(f"/providers/{provider}", data=change)
    assert (answer.status_code, bool(beside(answer, f"name-{provider}"))) == (422, True)


@pytest.mark.parametrize(
    ("kind", "dialect", "usual"),
    [
        ("openai", OPENAI, "https://api.openai.com/v1"),
        ("anthropic", ANTHROPIC, "https://api.anthropic.com"),
        ("gemini", GEMINI, "https://generativelanguage.googleapis.com/v1beta"),
        ("deepai", DEEPAI, "https://api.deepai.org/api"),
    ],
    ids=["openai", "anthropic", "gemini", "deepai"],
)
async def test_without_an_address_the_service_itself_is_meant(
    olive: Browser, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, kind: str, dialect: Dialect, usual: str
) -> None:
    assert PROVIDERS[kind].usual_url == usual
    monkeypatch.setattr(PROVIDERS[kind], "usual_url", server.url_for(dialect))
    provider = await connected(olive, "", kind=kind, key="sk-lantern")
    change = {"name": "Mine", "base_url": "", "key": "", "allows_private": "true"}
    assert (await olive.patch(f"/providers/{provider}", data=change)).status_code == 303
    (row,) = await accounts("WHERE id = $1", provider)
    assert (row["name"], row["base_url"], row["state"]) == ("Mine", server.url_for(dialect), "ok")
    assert "Leave it empty for OpenAI (https://api.openai.com/v1)" in (await olive.get("/providers")).text


NOT_KEPT = "Type it again to connect."


async def test_a_page_that_lost_the_key_says_so(olive: Browser, server: ScriptedServer) -> None:
    """Without scripts the form comes back with an empty field: Connect would connect without the key."""
    form = form_of(server.url_for(OPENAI), key="sk-lantern")
    answer = await olive.post("/providers/test", data=form)
    assert "1 model" in answer.text
    assert f"The key was used for this test and is not kept. {NOT_KEPT}" in answer.text
    assert "sk-lantern" not in answer.text
    assert NOT_KEPT not in (await olive.post("/providers/test", data=form, headers=HTMX)).text
    for silent in (await olive.post("/providers/test", data=form | {"key": ""}), await olive.get("/providers")):
        assert (silent.status_code, NOT_KEPT in silent.text) == (200, False)


@pytest.mark.parametrize("address", ["/providers", "/providers/test"])
@pytest.mark.parametrize("fault", [{"base_url": "harbour"}, {"key": "sk a"}, {"name": "two\nlines"}], ids=str)
async def test_a_form_with_a_fault_says_that_it_lost_the_key(
    olive: Browser, server: ScriptedServer, address: str, fault: dict[str, str]
) -> None:
    answer = await olive.post(address, data=form_of(server.url_for(OPENAI), key="sk-lantern") | fault)
    assert beside(answer, next(iter(fault)))
    assert f"The key that you typed is not kept. {NOT_KEPT}" in answer.text
    answer = await olive.post(address, data=form_of("harbour"))
    assert (bool(beside(answer, "base_url")), NOT_KEPT in answer.text) == (True, False)


async def test_a_change_with_a_fault_says_that_it_lost_the_key(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, server.url_for(OPENAI), key="sk-one")
    change = {"name": "Harbour", "base_url": "harbour", "key": "sk-two"}
    answer = await olive.patch(f"/providers/{provider}", data=change)
    assert (answer.status_code, "is not kept. Type it again." in answer.text) == (422, True)
    answer = await olive.patch(f"/providers/{provider}", data=change | {"key": ""})
    assert (answer.status_code, "is not kept" in answer.text) == (422, False)


TWIN = "Harbour is connected to this address already."


async def test_a_server_is_connected_once_for_each_key(olive: Browser, server: ScriptedServer) -> None:
    url = server.url_for(OPENAI)
    await connected(olive, url, key="sk-one")
    asked = len(server.requests)
    for address in ("/providers", "/providers/test"):
        again = form_of(url.replace("http:", "HTTP:") + "/", name="Pier", key=" sk-one ")
        assert beside(await olive.post(address, data=again), "base_url") == TWIN
    assert len(server.requests) == asked
    for other in ({"key": "sk-two"}, {"key": ""}, {"kind": "anthropic", "key": "sk-one"}):
        assert (await olive.post("/providers", data=form_of(url, name="Pier", **other))).status_code == 303, other


async def test_of_two_clicks_one_connects(olive: Browser, server: ScriptedServer) -> None:
    server.answers["/v1/models"] = (Sleep(0.3), *whole(b'{"data": []}'))
    answers = await asyncio.gather(*(olive.post("/providers", data=form_of(server.url_for(OPENAI))) for _click in "ab"))
    assert sorted(answer.status_code for answer in answers) == [303, 422]
    assert TWIN in answers[0].text + answers[1].text
    assert len(await fetch("SELECT 1 FROM provider WHERE kind = 'openai'")) == 1


async def test_a_change_makes_no_twin(olive: Browser, server: ScriptedServer) -> None:
    url = server.url_for(OPENAI)
    await connected(olive, url, key="sk-one")
    assert (await olive.post("/providers", data=form_of(url, name="Pier", key="sk-two"))).status_code == 303
    (row,) = await fetch("SELECT id FROM provider WHERE name = 'Pier'")
    change = {"name": "Quay", "base_url": url, "key": "sk-one", "allows_private": "true"}
    answer = await olive.patch(f"/providers/{row['id']}", data=change)
    assert (answer.status_code, beside(answer, f"base_url-{row['id']}")) == (422, TWIN)
    for key in ("", "sk-two", "sk-three"):
        assert (await olive.patch(f"/providers/{row['id']}", data=change | {"key": key})).status_code == 303
    elsewhere = {"kind": "openai", "name": "Far", "base_url": f"{server.url}/v9", "key": "sk-one"}
    server.answers["/v9/models"] = whole(b'{"data": []}')
    assert (await olive.post("/providers", data=elsewhere | {"allows_private": "true"})).status_code == 303
    (row,) = await fetch("SELECT id FROM provider WHERE name = 'Far'")
    answer = await olive.patch(f"/providers/{row['id']}", data=change | {"key": ""})
    assert (answer.status_code, beside(answer, f"base_url-{row['id']}")) == (422, TWIN)


async def test_a_key_that_cannot_be_read_any_more_is_no_twin(olive: Browser, server: ScriptedServer) -> None:
    url = server.url_for(OPENAI)
    provider = await connected(olive, url, key="sk-one")
    await fetch("UPDATE provider SET key_sealed = 'sealed by somebody else' WHERE id = $1", provider)
    assert (await olive.post("/providers", data=form_of(url, key="sk-one"))).status_code == 303


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "dialog"])
async def test_who_disconnects_sees_from_where(olive: Browser, server: ScriptedServer, headers: dict[str, str]) -> None:
    provider = await connected(olive, server.url_for(OPENAI))
    answer = await olive.get(f"/providers/{provider}/disconnection", headers=headers)
    assert f'<p class="address">{server.url_for(OPENAI)}</p>' in answer.text
