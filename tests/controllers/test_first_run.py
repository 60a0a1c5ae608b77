"""The first visit: one owner, made by who may."""

import asyncio

import pytest
from litestar import Litestar

from app.controllers.first_run import first_run_token
from app.database import fetch, fetch_row
from tests.controllers.guesses import keep_waiting
from tests.controllers.threads import add_model
from tests.people import PASSWORD, Browser, add_user, csrf_of

TOKEN = first_run_token()
OWNER = {"name": "Olive", "email": "Olive@Example.org", "password": PASSWORD, "token": TOKEN}


async def test_every_page_leads_to_the_first_run_until_there_is_an_owner(client: Browser) -> None:
    for path in ("/", "/profile", "/users", "/providers", "/sign-in", "/threads", "/sign-in?next=/profile"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/first-run"), path
    partial = await client.get("/profile", headers={"hx-request": "true"})
    assert partial.headers["hx-redirect"] == "/first-run"


async def test_the_owner_is_made_signed_in_and_led_to_the_models(client: Browser) -> None:
    page = await client.get("/first-run")
    answer = await client.request("POST", "/first-run", data={**OWNER, "_csrf": csrf_of(page.text)}, csrf=None)
    assert (answer.status_code, answer.headers["location"]) == (303, "/providers")
    row = await fetch_row("SELECT * FROM users")
    assert row is not None
    assert (row["name"], row["email"], row["is_owner"], row["is_active"]) == ("Olive", "olive@example.org", True, True)
    assert row["password_hash"].startswith("$argon2id$")
    assert (await client.get("/users")).status_code == 200


async def test_the_owner_of_an_instance_with_a_model_is_led_to_an_empty_thread(client: Browser) -> None:
    _provider, model = await add_model()
    await client.csrf()
    answer = await client.post("/first-run", data=OWNER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert f'value="{model}"' in (await client.get("/")).text


async def test_twenty_first_visitors_make_one_owner(app: Litestar) -> None:
    browsers = [Browser(app) for _ in range(20)]
    for browser in browsers:
        await browser.csrf()

    async def race(number: int) -> tuple[int, str]:
        answer = await browsers[number].post("/first-run", data={**OWNER, "email": f"owner{number}@example.org"})
        return answer.status_code, answer.headers["location"]

    answers = await asyncio.gather(*[race(number) for number in range(20)])
    assert sorted(answers) == [(303, "/providers"), *[(303, "/sign-in")] * 19]
    assert len(await fetch("SELECT 1 FROM users")) == 1
    assert len(await fetch("SELECT 1 FROM session")) == 1
    for browser in browsers:
        await browser.aclose()


async def test_the_first_run_is_over_when_there_is_an_owner(client: Browser) -> None:
    await client.csrf()
    await add_user("Olive", is_owner=True)
    assert (await client.get("/first-run")).headers["location"] == "/"
    answer = await client.post("/first-run", data={**OWNER, "email": "second@example.org"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert len(await fetch("SELECT 1 FROM users")) == 1


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "192.0.2.7"])
@pytest.mark.parametrize("header", ["", "x-forwarded-for", "via"])
async def test_wherever_the_first_visitor_comes_from_the_console_s_token_is_needed(
    app: Litestar, peer: str, header: str
) -> None:
    headers = {header: "192.0.2.7"} if header else {}
    async with Browser(app, peer=peer, headers=headers) as browser:
        assert 'id="token"' in (await browser.get("/first-run")).text
        for token in ("", "AAAA-AAAA-AAAA-AAAA", TOKEN[:-1], TOKEN + "A"):
            answer = await browser.post("/first-run", data={**OWNER, "token": token})
            assert answer.status_code == 422
            assert "not the token that the console shows" in answer.text
            assert 'id="token"' in answer.text
        assert await fetch("SELECT 1 FROM users") == []
        typed = TOKEN.lower().replace("-", " ")
        assert (await browser.post("/first-run", data={**OWNER, "token": typed})).status_code == 303
    assert len(await fetch("SELECT 1 FROM users WHERE is_owner")) == 1


async def test_the_link_brings_the_token_and_the_address_loses_it(client: Browser) -> None:
    led = await client.get("/first-run", params={"token": TOKEN})
    assert (led.status_code, led.headers["location"]) == (303, "/first-run")
    assert TOKEN not in led.headers["set-cookie"]
    page = await client.get("/first-run")
    assert f'<input type="hidden" name="token" value="{TOKEN}">' in page.text
    assert 'id="token"' not in page.text, "three fields are left"
    failed = await client.post("/first-run", data={**OWNER, "password": "short"})
    assert f'<input type="hidden" name="token" value="{TOKEN}">' in failed.text
    assert (await client.post("/first-run", data=OWNER)).status_code == 303
    assert "parley-first-run" not in client.cookies


async def test_the_page_does_not_tell_whether_a_token_is_right(client: Browser) -> None:
    await client.get("/first-run", params={"token": "AAAA-AAAA-AAAA-AAAA"})
    assert 'id="token"' not in (await client.get("/first-run")).text
    await client.get("/first-run", params={"token": "<b>" + "x" * 5_000})
    page = await client.get("/first-run")
    assert 'id="token"' in page.text
    assert "<b>" not in page.text


async def test_guesses_at_the_token_are_slowed_down(client: Browser) -> None:
    for _ in range(5):
        assert (await client.post("/first-run", data={**OWNER, "token": "AAAA"})).status_code == 422
    await keep_waiting()
    answer = await client.post("/first-run", data={**OWNER, "token": "AAAA"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    await fetch("UPDATE sign_in_attempt SET failed_at = now() - interval '5 minutes'")
    assert (await client.post("/first-run", data={**OWNER, "token": "AAAA"})).status_code == 422
    assert await fetch("SELECT 1 FROM users") == []


async def test_no_stranger_s_guesses_keep_out_who_has_the_token(app: Litestar, client: Browser) -> None:
    """Behind a proxy that is not trusted yet all of them come from one address."""
    async with Browser(app) as stranger:
        for _ in range(5):
            await stranger.post("/first-run", data={**OWNER, "token": "AAAA"})
        await keep_waiting()
        assert (await stranger.post("/first-run", data={**OWNER, "token": "AAAA"})).status_code == 429
    assert (await client.post("/first-run", data=OWNER)).status_code == 303


def test_the_token_is_long_and_always_the_same() -> None:
    assert len(TOKEN.replace("-", "")) == 16
    assert first_run_token() == TOKEN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "  "}, "Please fill this in."),
        ({"name": "n" * 101}, "At most 100 characters, and this has 101."),
        ({"name": "a\x1bb"}, "This cannot be used here."),
        ({"name": "a\u202eb"}, "This cannot be used here."),
        ({"email": "olive"}, "This is not an email address."),
        ({"email": "a b@example.org"}, "This is not an email address."),
        ({"email": "a@" + "b" * 260}, "At most 254 characters"),
        ({"password": "short"}, "At least 10 characters."),
        ({"password": "p" * 1_001}, "At most 1,000 characters"),
        ({"password": "aaaaaaaaaaaa"}, "Use more different characters."),
        ({"password": "olive@example.org"}, "Choose something else than the email address."),
        ({"password": "OLIVE@example.org"}, "Choose something else than the email address."),
        ({"password": ""}, "Please fill this in."),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    client: Browser, change: dict[str, str], sentence: str
) -> None:
    sent = OWNER | change
    answer = await client.post("/first-run", data=sent)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert sent["password"] not in answer.text.replace("olive@example.org", "") or not change.get("password")
    for field in ("name", "email"):
        if field not in change:
            assert f'value="{OWNER[field]}"' in answer.text
    assert await fetch("SELECT 1 FROM users") == []


async def test_a_password_is_the_same_however_its_letters_are_composed(client: Browser) -> None:
    composed, decomposed = "P\u00e4ssw\u00f6rter 1", "Pa\u0308sswo\u0308rter 1"
    assert (await client.post("/first-run", data={**OWNER, "password": decomposed})).status_code == 303
    await client.post("/sign-out")
    answer = await client.post("/sign-in", data={"email": OWNER["email"], "password": composed})
    assert answer.status_code == 303


async def test_nul_characters_are_taken_out(client: Browser) -> None:
    assert (await client.post("/first-run", data={**OWNER, "name": "Ol\0ive"})).status_code == 303
    row = await fetch_row("SELECT name FROM users")
    assert row is not None
    assert row["name"] == "Olive"
