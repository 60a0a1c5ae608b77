"""Invitations: one link, one person, seven days."""

import asyncio
import html
import re
import uuid

from litestar import Litestar

from app.database import fetch, fetch_row
from app.secrets import seal
from tests.people import PASSWORD, Browser, add_user

CAROL = {"name": "Carol", "email": "Carol@Example.org", "password": PASSWORD}
_LINK = re.compile(r"http://127\.0\.0\.1:8000(/invitations/[A-Za-z0-9_-]{43})")


async def invite(olive: Browser, email: str = "") -> str:
    """The path of a new invitation's link."""
    answer = await olive.post("/invitations", data={"email": email})
    assert (answer.status_code, answer.headers["location"]) == (303, "/users#invitations")
    found = _LINK.search(html.unescape((await olive.get("/users")).text))
    assert found is not None
    return found[1]


async def test_an_invited_person_gets_in(olive: Browser, client: Browser) -> None:
    link = await invite(olive, "carol@example.org")
    page = await client.get(link)
    assert 'value="carol@example.org"' in page.text
    answer = await client.post(link, data=CAROL)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await client.get("/profile")).status_code == 200
    assert (await client.get("/users")).status_code == 403
    row = await fetch_row("SELECT i.used_at, u.email, u.is_owner FROM invitation i JOIN users u ON u.id = i.used_by")
    assert row is not None
    assert (row["email"], row["is_owner"]) == ("carol@example.org", False)
    assert "carol@example.org" in (await olive.get("/users")).text


async def test_the_link_is_shown_once_and_stored_nowhere(olive: Browser) -> None:
    link = await invite(olive)
    token = link.rpartition("/")[2]
    assert token not in (await olive.get("/users")).text
    assert token not in str(await fetch("SELECT * FROM invitation"))


async def test_loading_the_page_again_makes_no_second_invitation(olive: Browser) -> None:
    await invite(olive)
    for _ in range(2):
        assert "/invitations/" + "A" not in (await olive.get("/users")).text
    assert len(await fetch("SELECT 1 FROM invitation")) == 1


async def test_a_link_is_kept_sealed_and_for_who_made_it(olive: Browser) -> None:
    answer = await olive.post("/invitations", data={"email": ""})
    sealed = next(cookie.value for cookie in olive.cookies.jar if cookie.name == "parley-invitation")
    assert sealed is not None
    assert "invitations" not in sealed
    assert "HttpOnly" in next(header for header in answer.headers.get_list("set-cookie") if "invitation" in header)
    async with Browser(olive.app) as otto:
        await otto.sign_in_as(await add_user("Otto", is_owner=True))
        for value in (sealed, "forged", seal("parley-flash-name\nx"), ""):
            otto.cookies.set("parley-invitation", value, domain="127.0.0.1", path="/")
            page = await otto.get("/users")
            assert page.status_code == 200
            assert 'id="invitation-url"' not in page.text
    assert 'id="invitation-url"' in (await olive.get("/users")).text


async def test_who_has_an_account_is_not_invited_again(olive: Browser, client: Browser) -> None:
    first = await invite(olive, "carol@example.org")
    await invite(olive, "Carol@example.org")
    await invite(olive, "dora@example.org")
    await client.post(first, data=CAROL)
    rows = await fetch("SELECT email FROM invitation WHERE used_at IS NULL")
    assert [row["email"] for row in rows] == ["dora@example.org"]
    answer = await olive.post("/invitations", data={"email": "CAROL@example.org"})
    assert answer.status_code == 422
    assert "Somebody with this address has an account already." in answer.text


async def test_a_link_used_twice_at_once_lets_one_in(app: Litestar, olive: Browser) -> None:
    link = await invite(olive)
    browsers = [Browser(app) for _ in range(8)]
    for browser in browsers:
        await browser.csrf()
    answers = await asyncio.gather(
        *[browser.post(link, data={**CAROL, "email": f"c{n}@example.org"}) for n, browser in enumerate(browsers)]
    )
    assert sorted(answer.status_code for answer in answers) == [303, *[404] * 7]
    assert len(await fetch("SELECT 1 FROM users WHERE NOT is_owner")) == 1
    for browser in browsers:
        await browser.aclose()


async def test_a_used_expired_revoked_or_invented_link_says_why(olive: Browser, client: Browser) -> None:
    used, expired, revoked = [await invite(olive) for _ in range(3)]
    await client.post(used, data=CAROL)
    await client.post("/sign-out")
    ids = [row["id"] for row in await fetch("SELECT id FROM invitation ORDER BY created_at, id")]
    await fetch("UPDATE invitation SET expires_at = now() - interval '1 second' WHERE id = $1", ids[1])
    assert (await olive.post(f"/invitations/{ids[2]}?_method=DELETE")).headers["location"] == "/users"
    for link in (used, expired, revoked, "/invitations/" + "A" * 43, "/invitations/x"):
        for answer in (await client.get(link), await client.post(link, data=CAROL | {"email": "d@example.org"})):
            assert answer.status_code == 404
            assert "This invitation is not valid" in answer.text
    assert len(await fetch("SELECT 1 FROM users")) == 2


async def test_an_address_in_use_is_said_and_the_link_still_works(olive: Browser, client: Browser) -> None:
    link = await invite(olive)
    answer = await client.post(link, data={**CAROL, "email": "OLIVE@example.org"})
    assert answer.status_code == 422
    assert "Somebody uses this address already." in answer.text
    assert 'value="Carol"' in answer.text
    assert PASSWORD not in answer.text
    assert (await client.post(link, data=CAROL)).status_code == 303


async def test_what_is_wrong_is_said_beside_it(olive: Browser, client: Browser) -> None:
    link = await invite(olive)
    answer = await client.post(link, data={"name": "", "email": "x", "password": "short"})
    assert answer.status_code == 422
    for sentence in ("Please fill this in.", "This is not an email address.", "At least 10 characters."):
        assert sentence in answer.text
    answer = await client.post(link, data={**CAROL, "password": "carol@example.org"})
    assert "Choose something else than the email address." in answer.text
    assert (await client.post(link, data={**CAROL, "is_owner": "true"})).status_code == 400
    answer = await olive.post("/invitations", data={"email": "no address"})
    assert answer.status_code == 422
    assert "This is not an email address." in answer.text


async def test_accepting_in_a_browser_that_is_signed_in_changes_who_is(olive: Browser, alice: Browser) -> None:
    link = await invite(olive)
    assert "Alice" not in (await alice.get(link)).text
    assert (await alice.post(link, data=CAROL)).status_code == 303
    assert "Carol" in (await alice.get("/profile")).text
    assert await fetch('SELECT 1 FROM session WHERE "user" = $1', alice.user.id) == []


async def test_only_the_owner_invites_and_revokes(olive: Browser, bob: Browser, client: Browser) -> None:
    await invite(olive)
    invitation_id = (await fetch("SELECT id FROM invitation"))[0]["id"]
    assert (await bob.post("/invitations", data={"email": ""})).status_code == 403
    assert (await bob.delete(f"/invitations/{invitation_id}")).status_code == 403
    assert (await client.post("/invitations", data={"email": ""})).headers["location"] == "/sign-in"
    assert (await client.delete(f"/invitations/{invitation_id}")).headers["location"] == "/sign-in"
    assert len(await fetch("SELECT 1 FROM invitation")) == 1


async def test_invitations_that_do_not_exist_are_not_found(olive: Browser) -> None:
    for key in (uuid.uuid4(), "not-an-id"):
        assert (await olive.delete(f"/invitations/{key}")).status_code == 404


async def test_wrong_methods_are_refused(olive: Browser) -> None:
    assert (await olive.get("/invitations")).status_code == 405
    assert (await olive.put(await invite(olive), data=CAROL)).status_code == 405
