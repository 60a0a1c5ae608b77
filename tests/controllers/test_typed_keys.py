"""A key that was typed beside a wrong address: the proposal takes it along, sealed, and never connects without it."""

import html
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from app.secrets import seal, unseal
from tests.accounts import accounts
from tests.authorities import Authority
from tests.controllers.test_proposals import proposed
from tests.controllers.test_providers import HTMX, beside, connected, form_of
from tests.people import Browser
from tests.scripted import ScriptedServer

KEY = "sk-lantern"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


def sealed_in(answer: httpx.Response) -> str:
    found = re.search(r'<input type="hidden" name="typed_key" value="([^"]*)"', answer.text)
    return html.unescape(found[1]) if found else ""


def accepted(answer: httpx.Response) -> dict[str, str]:
    """What the button sends beside the fields; a browser has forgotten the key."""
    return {"key": "", "proposal": proposed(answer), "typed_key": sealed_in(answer)}


@pytest.mark.parametrize("path", ["/providers", "/providers/test"])
async def test_a_proposal_takes_the_key_along(olive: Browser, server: ScriptedServer, path: str) -> None:
    form = form_of(f"{server.url}/v1/chat/completions", key=KEY)
    answer = await olive.post(path, data=form)
    assert (KEY in answer.text, "includes the key you typed" in answer.text) == (False, True)
    assert (await olive.post("/providers", data=form | accepted(answer))).status_code == 303
    (row,) = await accounts("WHERE kind = 'openai'")
    assert (row["base_url"], row["key"], row["key_origin"]) == (f"{server.url}/v1", KEY, server.url)


async def test_a_key_that_is_typed_again_is_taken_instead(olive: Browser, server: ScriptedServer) -> None:
    form = form_of(f"{server.url}/v1/chat/completions", key=KEY)
    answer = await olive.post("/providers", data=form)
    await olive.post("/providers", data=form | accepted(answer) | {"key": "sk-other"})
    assert (await accounts("WHERE kind = 'openai'"))[0]["key"] == "sk-other"


async def test_without_a_proposal_it_is_not_used(olive: Browser, server: ScriptedServer) -> None:
    form = form_of(f"{server.url}/v1/chat/completions", key=KEY)
    answer = await olive.post("/providers", data=form)
    typed = form_of(f"{server.url}/v1") | {"typed_key": sealed_in(answer)}
    assert (await olive.post("/providers", data=typed)).status_code == 303
    assert (await accounts("WHERE kind = 'openai'"))[0]["key"] == ""


async def test_a_proposal_of_another_origin_asks_for_the_key_again(olive: Browser) -> None:
    async with ScriptedServer(tls=Authority().server_context()) as server:
        form = form_of(f"http://{server.url.removeprefix('https://')}/of-ann/v1", key=KEY)
        answer = await olive.post("/providers", data=form)
        assert "includes the key you typed" not in answer.text
        asked = await olive.post("/providers", data=form | accepted(answer))
        said = beside(asked, "key")
        assert (asked.status_code, f"is not sent to {server.url}." in said) == (422, True)
        assert f'value="{server.url}/of-ann/v1"' in asked.text, "the address is filled in"
        assert re.search(r'<input id="key"[^>]*\bautofocus\b', asked.text)
        assert await accounts("WHERE kind = 'openai'") == []


@pytest.mark.parametrize("foreign", ["nonsense", "session", "purpose"])
async def test_what_was_sealed_elsewhere_connects_nothing(olive: Browser, server: ScriptedServer, foreign: str) -> None:
    form = form_of(f"{server.url}/v1/chat/completions", key=KEY)
    answer = await olive.post("/providers", data=form)
    purpose, origin, key = unseal(sealed_in(answer)).split("\n")
    assert (origin, key) == (server.url, KEY)
    texts = {"session": f"typed key \n{origin}\n{key}", "purpose": f"login {origin}\n{key}\n{purpose}"}
    sealed = seal(texts[foreign]) if foreign in texts else foreign
    asked = await olive.post("/providers", data=form | accepted(answer) | {"typed_key": sealed})
    assert (asked.status_code, bool(beside(asked, "key"))) == (422, True)
    assert await accounts("WHERE kind = 'openai'") == []


async def test_a_change_takes_it_along_too(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, f"{server.url}/v1", key="sk-before")
    change = {"name": "Pier", "base_url": f"{server.url}/v1/models", "key": KEY, "allows_private": "true"}
    answer = await olive.patch(f"/providers/{provider}", data=change)
    assert "includes the key you typed" in answer.text
    assert (await olive.patch(f"/providers/{provider}", data=change | accepted(answer))).status_code == 303
    assert (await accounts("WHERE kind = 'openai'"))[0]["key"] == KEY


async def test_where_the_page_still_holds_the_key_nothing_is_sealed(olive: Browser, server: ScriptedServer) -> None:
    form = form_of(f"{server.url}/v1/chat/completions", key=KEY)
    answer = await olive.post("/providers/test", data=form, headers=HTMX)
    assert (bool(proposed(answer)), sealed_in(answer)) == (True, "")


async def test_a_test_says_that_a_key_that_came_along_is_not_kept(olive: Browser, server: ScriptedServer) -> None:
    form = form_of(f"{server.url}/v1/chat/completions", key=KEY)
    answer = await olive.post("/providers/test", data=form)
    tested = await olive.post("/providers/test", data=form | accepted(answer), headers=HTMX)
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert "The key was used for this test and is not kept." in tested.text
