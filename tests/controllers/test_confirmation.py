"""Sensitive changes ask for the password again: which routes do, how they ask, and that nothing happens before."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar

from app.controllers import ROUTES
from app.controllers.confirmation import Confirmed
from app.database import fetch, fetch_row, new_id
from app.secrets import seal
from app.settings import FIELDS, settings
from app.tables.provider import open_address
from tests.controllers.guesses import keep_waiting
from tests.controllers.test_every_route import is_owners, routes
from tests.people import PASSWORD, Browser, csrf_of
from tests.scripted import ScriptedServer

KEY = "sk-harbour-1234"
PASSPHRASE = "a long passphrase"

#: The one list of what takes the password again.
SENSITIVE = {
    ("POST", "/providers"),
    ("POST", "/providers/test"),
    ("PATCH", "/providers/{provider_id}"),
    ("DELETE", "/providers/{provider_id}"),
    ("PUT", "/settings/{group}"),
    ("POST", "/settings/file"),
    ("PUT", "/settings/file"),
    ("POST", "/invitations"),
    ("PATCH", "/users/{user_id}"),
}

#: What else the owner alone may change, and why the password is not asked for: it gives nobody access and moves no secret.
HARMLESS = {
    ("POST", "/providers/{provider_id}/refresh"),
    ("POST", "/providers/{provider_id}/models"),
    ("DELETE", "/invitations/{key}"),
    ("POST", "/settings/{group}/faults"),
    ("POST", "/pulls"),
    ("DELETE", "/pulls/{task_id}"),
    ("DELETE", "/models/{model_id}"),
    ("DELETE", "/models/{model_id}/load"),
    *(
        (method, f"/models/{{model_id}}/{part}")
        for method in ("PUT", "DELETE")
        for part in ("facts", "hidden", "default")
    ),
    *(("PUT", f"/models/{{model_id}}/{part}") for part in ("audience", "engine", "fallbacks")),
}


class Case:
    """A change of the owner: what is sent, and whether it was done."""

    def __init__(self, method: str, path: str, form: Mapping[str, str], done: str, **files: bytes) -> None:
        self.method, self.path, self.form, self.done, self.files = method, path, form, done, files

    async def send(self, browser: Browser, **options: Any) -> httpx.Response:
        files = {name: ("settings.json", content) for name, content in self.files.items()} or None
        return await browser.request(self.method, self.path, data={**self.form}, files=files, **options)

    async def is_done(self, answer: httpx.Response) -> bool:
        if not self.done:
            return answer.status_code == 200 and "attachment" in answer.headers.get("content-disposition", "")
        return await fetch_row(self.done) is not None


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as started:
        yield started


@pytest.fixture
async def cases(olive: Browser, alice: Browser, server: ScriptedServer) -> dict[str, Case]:
    provider = new_id()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, allows_private, error, created_at)"
        " VALUES ($1, 'openai', 'Quay', 'https://quay.example.org/v1', $2, false, '', now())",
        provider, seal(KEY),
    )  # fmt: skip
    new = {"kind": "openai", "name": "Harbour", "base_url": server.url + "/v1", "key": KEY, "allows_private": "true"}
    change = {"name": "Pier", "base_url": "https://quay.example.org/v1"}
    file = msgspec.json.encode(
        {
            "format": "parley-settings",
            "version": 1,
            "parley": "0.1.0",
            "made_at": "2026-11-25T08:00:00Z",
            "settings": {"public_url": "https://x.example.org"},
        }
    )
    invited = "SELECT 1 FROM invitation"
    return {
        "connect": Case("POST", "/providers", new, "SELECT 1 FROM provider WHERE name = 'Harbour'"),
        "change-provider": Case(
            "PATCH", f"/providers/{provider}", change, "SELECT 1 FROM provider WHERE name = 'Pier'"
        ),
        "disconnect": Case(
            "DELETE",
            f"/providers/{provider}",
            {},
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM provider WHERE name = 'Quay')",
        ),
        "settings": Case(
            "PUT",
            "/settings/general",
            {"instance_name": "", "public_url": "https://x.example.org"},
            "SELECT 1 FROM setting WHERE name = 'public_url'",
        ),
        "export": Case("POST", "/settings/file", {"new_passphrase": PASSPHRASE}, ""),
        "import": Case("PUT", "/settings/file", {}, "SELECT 1 FROM setting WHERE name = 'public_url'", file=file),
        "invite": Case("POST", "/invitations", {"email": "guest@example.org"}, invited),
        "users": Case(
            "PATCH",
            f"/users/{alice.user.id}",
            {"is_active": "false"},
            "SELECT 1 FROM users WHERE name = 'Alice' AND NOT is_active",
        ),
    }


NAMES = ["connect", "change-provider", "disconnect", "settings", "export", "import", "invite", "users"]


async def grow_old(browser: Browser, minutes: int = 11) -> None:
    """The password was given so many minutes ago, in each of the person's sessions."""
    await fetch(
        'UPDATE session SET confirmed_at = now() - make_interval(mins => $2) WHERE "user" = $1',
        browser.user.id,
        minutes,
    )


def asked_form(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where the page that asks sends its form, and the hidden fields."""
    action = re.search(r'<form method="post" action="([^"]*)"[^>]* data-confirms', answer.text)
    sealed = re.search(r'name="confirm_form" value="([^"]*)"', answer.text)
    assert action, answer.text
    assert sealed
    return action[1].replace("&amp;", "&"), {"confirm_form": sealed[1]}


async def confirm(browser: Browser, case: Case, answer: httpx.Response, password: str = PASSWORD) -> httpx.Response:
    action, fields = asked_form(answer)
    return await browser.request(case.method, action, data={**fields, "confirm_password": password})


def test_every_change_of_the_owner_asks_for_the_password_or_is_known_to_be_harmless() -> None:
    asking = {
        (str(method), re.sub(r":\w+}", "}", path))
        for handler in ROUTES
        if any(isinstance(guard, Confirmed) for guard in handler.guards or ())
        for path in handler.paths
        for method in handler.http_methods
        if method not in ("OPTIONS", "HEAD")
    }
    assert asking == SENSITIVE
    owners = {route for route in routes() if is_owners(*route) and route[0] in ("POST", "PUT", "PATCH", "DELETE")}
    of_guests = {("POST", "/invitations/{key}"), ("POST", "/models/{model_id}/load")}
    assert owners - of_guests == SENSITIVE | HARMLESS


def test_every_setting_that_is_secret_or_decides_whom_to_trust_is_sensitive() -> None:
    sensitive = {name for name, field in FIELDS.items() if field.is_sensitive}
    assert {name for name, field in FIELDS.items() if field.is_secret} <= sensitive
    assert sensitive >= {"public_url", "hub_url", "hub_token", "metrics_token", "trusted_proxies", "ca_file"}
    assert not sensitive & {"instance_name", "default_model", "max_message_chars", "default_theme"}


@pytest.mark.parametrize("name", NAMES)
async def test_who_signed_in_a_moment_ago_is_not_asked(olive: Browser, cases: dict[str, Case], name: str) -> None:
    answer = await cases[name].send(olive)
    assert answer.status_code in (200, 303), answer.text
    assert await cases[name].is_done(answer)


@pytest.mark.parametrize("name", NAMES)
async def test_after_ten_minutes_the_password_is_asked_for_and_then_it_is_done_at_once(
    olive: Browser, cases: dict[str, Case], name: str
) -> None:
    case = cases[name]
    await grow_old(olive)
    asked = await case.send(olive)
    assert asked.status_code == 403
    assert "Confirm it’s you" in asked.text
    assert 'autocomplete="current-password"' in asked.text
    assert not await case.is_done(asked)
    for secret in (KEY, PASSPHRASE, "x.example.org"):
        assert secret not in asked.text
    wrong = await confirm(olive, case, asked, "not this one")
    assert wrong.status_code == 422
    assert "Wrong password." in wrong.text
    assert not await case.is_done(wrong)
    done = await confirm(olive, case, wrong)
    assert done.status_code in (200, 303), done.text
    assert await case.is_done(done)
    assert (await olive.post("/invitations", data={"email": ""})).status_code == 303, "ten minutes begin"


async def test_nine_minutes_are_not_ten(olive: Browser) -> None:
    await grow_old(olive, 9)
    assert (await olive.post("/invitations", data={"email": ""})).status_code == 303
    await fetch("UPDATE session SET confirmed_at = NULL")
    assert (await olive.post("/invitations", data={"email": ""})).status_code == 403


async def test_a_key_arrives_as_it_was_typed(olive: Browser, cases: dict[str, Case]) -> None:
    await grow_old(olive)
    await confirm(olive, cases["connect"], await cases["connect"].send(olive))
    row = await fetch_row("SELECT * FROM provider WHERE name = 'Harbour'")
    assert row is not None
    assert (open_address(row).key, row["allows_private"]) == (KEY, True)


async def test_a_test_of_a_server_asks_too_because_a_key_of_the_environment_may_go_along(
    olive: Browser, cases: dict[str, Case], server: ScriptedServer
) -> None:
    await grow_old(olive)
    test = Case("POST", "/providers/test", cases["connect"].form, "")
    asked = await test.send(olive)
    assert asked.status_code == 403
    assert server.requests == []
    found = await confirm(olive, test, asked)
    assert found.status_code == 200
    assert server.requests != []


async def test_what_is_harmless_is_never_asked_for(olive: Browser, cases: dict[str, Case]) -> None:
    await grow_old(olive)
    assert (await olive.post("/settings/file", data={"new_passphrase": ""})).status_code == 200
    named = {"instance_name": "The Reading Room", "public_url": settings.public_url}
    assert (await olive.put("/settings/general", data=named)).status_code == 303
    assert (await olive.put("/settings/general", data={"public_url": "no address"})).status_code == 422
    for path in ("/providers", "/users", "/settings/general", "/settings/file", "/profile"):
        assert (await olive.get(path)).status_code == 200


@pytest.mark.parametrize("name", ["metrics_token", "hub_token"])
async def test_a_secret_setting_asks_when_it_is_set_and_when_it_is_forgotten(olive: Browser, name: str) -> None:
    group = FIELDS[name].group
    await grow_old(olive)
    for form in ({name: "a-token-of-monitoring"}, {"taken_back": name}):
        case = Case("PUT", f"/settings/{group}", form, "")
        asked = await case.send(olive)
        assert asked.status_code == 403
        assert (await confirm(olive, case, asked)).status_code == 303
        await grow_old(olive)
    assert await fetch("SELECT 1 FROM setting") == []


async def test_another_session_s_password_does_not_count(app: Litestar, olive: Browser) -> None:
    await grow_old(olive)
    async with Browser(app) as phone:
        await phone.sign_in_as(olive.user)
        assert (await phone.post("/invitations", data={"email": ""})).status_code == 303
        asked = await olive.post("/invitations", data={"email": ""})
        assert asked.status_code == 403
        fields = asked_form(asked)[1] | {"confirm_password": PASSWORD}
        await grow_old(olive)
        assert (await phone.post("/invitations", data=fields)).status_code == 400, "the form is of the other session"
        assert (await phone.post("/invitations", data={"email": ""})).status_code == 403


async def test_a_new_password_is_a_password_given_now_and_ends_what_was_asked_before(olive: Browser) -> None:
    await grow_old(olive)
    asked = await olive.post("/invitations", data={"email": ""})
    change = {"current_password": PASSWORD, "password": "a lamp for every quay"}
    assert (await olive.put("/profile/password", data=change)).status_code == 303
    fields = asked_form(asked)[1] | {"confirm_password": change["password"]}
    assert (await olive.post("/invitations", data=fields)).status_code == 400, "that session has ended"
    assert (await olive.post("/invitations", data={"email": ""})).status_code == 303
    await grow_old(olive)
    case = Case("POST", "/invitations", {"email": ""}, "")
    assert (await confirm(olive, case, await case.send(olive))).status_code == 422, "the old password"


async def test_a_session_that_ended_meanwhile_confirms_nothing(olive: Browser, cases: dict[str, Case]) -> None:
    await grow_old(olive)
    asked = await cases["invite"].send(olive)
    action, fields = asked_form(asked)
    await olive.csrf()
    await fetch("DELETE FROM session")
    answer = await olive.post(action, data={**fields, "confirm_password": PASSWORD})
    assert answer.headers["location"].startswith("/sign-in")
    assert not await cases["invite"].is_done(answer)


async def test_guesses_are_slowed_down_as_at_sign_in(olive: Browser, cases: dict[str, Case]) -> None:
    await grow_old(olive)
    answer = await cases["invite"].send(olive)
    for _ in range(5):
        answer = await confirm(olive, cases["invite"], answer, "not this one")
        assert answer.status_code == 422
    await keep_waiting()
    answer = await confirm(olive, cases["invite"], answer)
    assert answer.status_code == 429
    seconds = int(answer.headers["retry-after"])
    assert seconds >= 1
    assert f"There were too many wrong passwords. Try again in {seconds} second" in answer.text
    assert "sign in" not in answer.text
    assert not await cases["invite"].is_done(answer)
    await fetch("DELETE FROM sign_in_attempt")
    assert await cases["invite"].is_done(await confirm(olive, cases["invite"], answer))


async def test_the_form_is_for_its_own_address_alone_and_cannot_be_tampered_with(
    olive: Browser, alice: Browser, cases: dict[str, Case]
) -> None:
    await grow_old(olive)
    sealed = asked_form(await cases["users"].send(olive))[1]["confirm_form"]
    forged = [
        sealed[:-8] + "AAAAAAA=",
        seal("parley-flash\nsaved"),
        seal("bm90IGEgZm9ybQ=="),
        "x",
        "\N{LATIN SMALL LETTER E WITH ACUTE}" * 3,
    ]
    for given in forged:
        fields = {"confirm_form": given, "confirm_password": PASSWORD}
        answer = await olive.patch(cases["users"].path, data=fields)
        assert answer.status_code == 400
        assert "cannot be continued" in answer.text
    fields = {"confirm_form": sealed, "confirm_password": PASSWORD}
    assert (await olive.post("/invitations", data=fields)).status_code == 400
    assert (await olive.patch(f"/users/{olive.user.id}", data=fields)).status_code == 400
    assert (await olive.patch(cases["users"].path, data=fields | {"is_active": "true"})).status_code == 400
    assert (await olive.patch(cases["users"].path, data={"confirm_password": [PASSWORD, "x"]})).status_code == 400
    assert await fetch("SELECT 1 FROM session WHERE confirmed_at > now() - interval '10 minutes' AND \"user\" = $1",
                       olive.user.id) == []  # fmt: skip
    assert (await olive.patch(cases["users"].path, data=fields)).status_code == 303


async def test_a_confirmation_is_no_way_around_the_token_of_forms(olive: Browser, cases: dict[str, Case]) -> None:
    await grow_old(olive)
    action, fields = asked_form(await cases["invite"].send(olive))
    given = {**fields, "confirm_password": PASSWORD}
    for csrf in (None, "x" * 32):
        answer = await olive.request("POST", action, data=given, csrf=csrf)
        assert answer.status_code == 403
        assert "drawn for another sign-in" in answer.text
    foreign = await olive.post(action, data=given, headers={"origin": "https://evil.example.org"})
    assert foreign.status_code == 403
    assert not await cases["invite"].is_done(foreign)
    assert (await olive.post("/invitations", data={"email": ""})).status_code == 403


async def test_members_are_refused_and_not_asked(bob: Browser, olive: Browser) -> None:
    await grow_old(bob)
    answer = await bob.post("/invitations", data={"email": "", "confirm_password": PASSWORD})
    assert answer.status_code == 403
    assert "Only the owner" in answer.text


async def test_routes_that_do_not_ask_know_no_such_fields(olive: Browser) -> None:
    form = {"name": "Olive", "theme": "system", "send_key": "enter", "speech": "all", "confirm_password": PASSWORD}
    assert (await olive.put("/profile", data=form)).status_code == 400


async def test_the_page_leads_back_and_holds_a_token_and_its_own_form(olive: Browser, cases: dict[str, Case]) -> None:
    await grow_old(olive)
    referer = {"referer": "http://127.0.0.1:8000/users?x=1"}
    asked = await cases["invite"].send(olive, headers=referer)
    assert '<a class="button" href="/users?x=1" data-close>Cancel</a>' in asked.text
    assert "<strong>Make an invitation for guest@example.org</strong>" in asked.text
    assert csrf_of(asked.text)
    again = await confirm(olive, cases["invite"], asked, "not this one")
    assert 'href="/users?x=1" data-close' in again.text


@pytest.mark.parametrize("name", NAMES)
async def test_the_page_leads_on_where_a_file_is_downloaded(olive: Browser, cases: dict[str, Case], name: str) -> None:
    await grow_old(olive)
    asked = await cases[name].send(olive)
    done = await confirm(olive, cases[name], asked)
    is_download = "attachment" in done.headers.get("content-disposition", "")
    assert ("Back to the settings" in asked.text) == is_download


async def test_htmx_is_given_a_dialog_that_puts_the_answer_where_it_belongs(
    olive: Browser, cases: dict[str, Case]
) -> None:
    await grow_old(olive)
    hypertext = {"hx-request": "true", "hx-request-type": "partial"}
    target = {**hypertext, "hx-target": "div#settings-form"}
    asked = await cases["settings"].send(olive, headers=target)
    assert asked.status_code == 403
    assert asked.text.startswith('<hx-partial hx-target="#dialog"')
    assert 'hx-target="#settings-form" hx-swap="outerHTML"' in asked.text
    assert "<html" not in asked.text
    action, fields = asked_form(asked)
    done = await olive.put(action, data={**fields, "confirm_password": PASSWORD}, headers=target)
    assert done.status_code == 200
    assert '<div id="settings-form">' in done.text
    await grow_old(olive)
    test = Case("POST", "/providers/test", cases["connect"].form, "")
    for place in ("button", 'div#x" onclick="', "form#"):
        asked = await test.send(olive, headers={**hypertext, "hx-target": place})
        assert 'hx-swap="none"' in asked.text
        assert "onclick" not in asked.text


async def test_programs_are_told_in_json(olive: Browser) -> None:
    await grow_old(olive)
    json = {"accept": "application/json"}
    answer = await olive.post("/invitations", data={"email": ""}, headers=json)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "password_needed")
    answer = await olive.post("/invitations", data={"email": "", "confirm_password": "no"}, headers=json)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "confirm_password")
    answer = await olive.post("/invitations", data={"email": "", "confirm_password": PASSWORD}, headers=json)
    assert answer.status_code == 303


async def test_where_a_file_is_imported_the_password_is_asked_for_beforehand(
    olive: Browser, cases: dict[str, Case]
) -> None:
    assert 'name="confirm_password"' not in (await olive.get("/settings/file")).text
    await grow_old(olive)
    assert (await olive.get("/settings/file")).text.count('name="confirm_password"') == 2
    case = cases["import"]
    case.form = {"confirm_password": PASSWORD, "text": ""}
    assert await case.is_done(await case.send(olive))


async def test_a_file_of_megabytes_waits_for_the_password(olive: Browser) -> None:
    await grow_old(olive)
    prompt = "Answer as the keeper of a lighthouse would, in few words. " * 34_000
    case = Case("PUT", "/settings/file", {"text": ""}, "", file=f'{{"x": "{prompt}"}}'.encode())
    asked = await case.send(olive)
    assert asked.status_code == 403
    answer = await confirm(olive, case, asked)
    assert answer.status_code == 422, "it came whole: the import says what is wrong with it"
    assert "data-confirms" not in answer.text
