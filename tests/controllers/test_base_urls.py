"""A base URL that no model server should be called at: a sentence beside the field, and nothing stored."""

import socket

import pytest

from app.database import fetch
from tests.accounts import accounts
from tests.authorities import Authority
from tests.people import Browser
from tests.scripted import ScriptedServer

HTMX = {"hx-request": "true"}


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("harbour", "An address begins with http"),
        ("ftp://harbour.example/v1", "An address begins with http"),
        ("http://", "An address begins with http"),
        ("http://harbour.example:99999/v1", "This is not an address"),
        ("http://harbour.example:0/v1", "This is not an address"),
        ("http://har%2ebour.example/v1", "This is not an address"),
        ("http://harbour.example/v1?key=1", "no ? and no #"),
        ("http://har bour.example/v1", "no spaces"),
        ("http://127.0.0.1:9/v1", "in a private network"),
        ("http://[::1]:9/v1", "in a private network"),
        ("http://localhost:9/v1", "in a private network"),
        ("http://169.254.169.254/latest", "where clouds keep their own secrets"),
    ],
)
async def test_what_is_no_address_of_a_model_server_is_refused(olive: Browser, url: str, sentence: str) -> None:
    form = {"kind": "openai", "name": "Harbour", "base_url": url, "key": ""}
    answer = await olive.post("/providers", data=form)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert 'id="error-base_url"' in answer.text
    tested = await olive.post("/providers/test", data=form, headers=HTMX)
    assert sentence in tested.text
    assert await fetch("SELECT 1 FROM provider WHERE kind = 'openai'") == []


async def test_metadata_is_refused_even_where_private_addresses_are_allowed(olive: Browser) -> None:
    form = {"kind": "openai", "base_url": "http://169.254.169.254/v1", "allows_private": "true"}
    answer = await olive.post("/providers", data=form)
    assert (answer.status_code, "where clouds keep" in answer.text) == (422, True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "LOCALHOST", "127.0.0.1.", "localhost.", "127.1", "0x7f000001", "127.9.9.9", "0.0.0.0", "[::]", "[::1]",
        "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]", socket.gethostname(),
    ],
)  # fmt: skip
async def test_our_own_address_is_refused_however_it_is_written(olive: Browser, host: str) -> None:
    port = olive.base_url.port
    for own in (f"http://{host}:{port}/v1", f"http://{host}:{port}"):
        form = {"kind": "openai", "base_url": own, "allows_private": "true"}
        answer = await olive.post("/providers", data=form)
        assert (answer.status_code, "own address" in answer.text) == (422, True), own
    assert await fetch("SELECT 1 FROM provider WHERE kind = 'openai'") == []


async def test_another_machine_or_another_port_is_not_our_own(olive: Browser) -> None:
    for other in (f"http://203.0.113.7:{olive.base_url.port}/v1", "http://0.0.0.0:9/v1"):
        form = {"kind": "openai", "base_url": other, "allows_private": "true"}
        assert "own address" not in (await olive.post("/providers/test", data=form, headers=HTMX)).text


@pytest.mark.parametrize("key", ["sk-one\nX-Other: two", "sk-ö", "a\tb"])
async def test_a_key_that_would_break_a_header_is_refused(olive: Browser, key: str) -> None:
    form = {"kind": "openai", "base_url": "https://harbour.example/v1", "key": key}
    answer = await olive.post("/providers", data=form)
    assert answer.status_code == 422
    assert 'id="error-key"' in answer.text
    assert await fetch("SELECT 1 FROM provider WHERE kind = 'openai'") == []


async def test_a_change_is_checked_like_a_new_one(olive: Browser) -> None:
    form = {"kind": "openai", "name": "Harbour", "base_url": "http://127.0.0.1:9/v1", "allows_private": "true"}
    assert (await olive.post("/providers", data=form)).status_code == 303
    (row,) = await fetch("SELECT id, allows_private FROM provider WHERE kind = 'openai'")
    assert row["allows_private"] is True
    change = {"name": "Harbour", "base_url": "http://10.0.0.1/v1", "key": ""}
    answer = await olive.patch(f"/providers/{row['id']}", data=change)
    assert (answer.status_code, "in a private network" in answer.text) == (422, True)
    (row,) = await accounts("WHERE kind = 'openai'")
    assert (row["base_url"], row["allows_private"]) == ("http://127.0.0.1:9/v1", True)


async def test_http_at_a_port_for_https_is_answered_with_https(olive: Browser) -> None:
    """Its certificate is not trusted here, so the form cannot try it out for the person: the sentence must say it."""
    async with ScriptedServer(tls=Authority().server_context()) as server:
        url = f"{server.url}/v1"
        form = {
            "kind": "openai",
            "name": "Harbour",
            "base_url": url.replace("https:", "http:"),
            "allows_private": "true",
        }
        tested = await olive.post("/providers/test", data=form, headers=HTMX)
        assert f"Did you mean {url}?" in tested.text
        tested = await olive.post("/providers/test", data=form | {"base_url": url}, headers=HTMX)
        assert "put the path of its certificate file in PARLEY_CA_FILE" in tested.text
