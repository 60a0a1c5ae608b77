"""The people of the instance: the owner lets in and keeps out, nobody else does."""

import asyncio
import uuid

import pytest

from app.database import fetch, fetch_row
from app.secrets import seal
from tests.people import Browser, add_user
from tests.watching import news_of, within


async def test_the_owner_sees_everybody(olive: Browser, alice: Browser, bob: Browser) -> None:
    page = await olive.get("/users")
    assert page.status_code == 200
    for email in ("olive@example.org", "alice@example.org", "bob@example.org"):
        assert email in page.text


async def test_a_deactivated_person_is_signed_out_and_their_pages_are_told(
    database: str, olive: Browser, alice: Browser
) -> None:
    async with news_of(database) as news:
        answer = await olive.post(f"/users/{alice.user.id}?_method=PATCH", data={"is_active": "false"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/users")
        signed_out = {"key": f"user:{alice.user.id}", "event": "signed_out"}
        async with within(f"{signed_out} is told"):
            while await news.get() != signed_out:
                pass
    assert (await alice.get("/profile")).status_code == 303
    assert "Alice is signed out everywhere and cannot sign in any more." in (await olive.get("/users")).text
    answer = await olive.patch(f"/users/{alice.user.id}", data={"is_active": "true"})
    assert answer.status_code == 303
    assert "Alice can sign in again." in (await olive.get("/users")).text
    assert (await alice.get("/profile")).status_code == 303
    await alice.sign_in_as(alice.user)
    assert (await alice.get("/profile")).status_code == 200


async def test_keeping_somebody_out_is_asked_first(olive: Browser, alice: Browser) -> None:
    path = f"/users/{alice.user.id}/deactivation"
    assert path in (await olive.get("/users")).text
    page = await olive.get(path)
    assert "Deactivate Alice?" in page.text
    assert f'action="/users/{alice.user.id}?_method=PATCH"' in page.text
    assert "<html" not in (await olive.get(path, headers={"hx-request": "true"})).text
    assert (await alice.get("/profile")).status_code == 200
    assert (await olive.get(f"/users/{uuid.uuid4()}/deactivation")).status_code == 404


async def test_nobody_can_put_a_name_into_a_notice(olive: Browser) -> None:
    olive.cookies.set("parley-flash", "deactivated", domain="127.0.0.1", path="/")
    for name in ("Mallory", seal("parley-invitation\nMallory"), ""):
        olive.cookies.set("parley-flash-name", name, domain="127.0.0.1", path="/")
        page = await olive.get("/users")
        assert page.status_code == 200
        assert "is signed out everywhere" not in page.text


async def test_a_session_of_a_deactivated_person_is_worth_nothing(alice: Browser) -> None:
    await fetch("UPDATE users SET is_active = false WHERE id = $1", alice.user.id)
    assert (await alice.get("/profile")).status_code == 303


async def test_the_owner_cannot_keep_themself_out(olive: Browser) -> None:
    answer = await olive.patch(f"/users/{olive.user.id}", data={"is_active": "false"})
    assert answer.status_code == 409
    assert "You cannot deactivate yourself." in answer.text
    assert (await olive.get("/users")).status_code == 200


async def test_two_owners_cannot_keep_each_other_out(olive: Browser) -> None:
    second = await add_user("Otto", is_owner=True)
    async with Browser(olive.app) as otto:
        await otto.sign_in_as(second)
        await asyncio.gather(olive.csrf(), otto.csrf())
        await asyncio.gather(
            olive.patch(f"/users/{second.id}", data={"is_active": "false"}),
            otto.patch(f"/users/{olive.user.id}", data={"is_active": "false"}),
        )
    row = await fetch_row("SELECT count(*) AS number FROM users WHERE is_owner AND is_active")
    assert row is not None
    assert row["number"] == 1


@pytest.mark.parametrize("data", [{}, {"is_active": "maybe"}, {"is_active": ""}])
async def test_a_change_that_says_nothing_is_invalid(olive: Browser, alice: Browser, data: dict[str, str]) -> None:
    answer = await olive.patch(f"/users/{alice.user.id}", data=data)
    assert answer.status_code == 422


async def test_other_columns_cannot_be_changed(olive: Browser, alice: Browser) -> None:
    answer = await olive.patch(f"/users/{alice.user.id}", data={"is_active": "true", "is_owner": "true"})
    assert answer.status_code == 400


async def test_people_who_do_not_exist_are_not_found(olive: Browser) -> None:
    for value in ("true", "false"):
        answer = await olive.patch(f"/users/{uuid.uuid4()}", data={"is_active": value})
        assert answer.status_code == 404
    assert (await olive.patch("/users/1", data={"is_active": "true"})).status_code == 404


async def test_members_and_strangers_see_nobody(client: Browser, alice: Browser, bob: Browser) -> None:
    answer = await bob.get("/users")
    assert answer.status_code == 403
    assert "Only the owner" in answer.text
    assert "alice@example.org" not in answer.text
    assert (await bob.patch(f"/users/{alice.user.id}", data={"is_active": "false"})).status_code == 403
    assert (await client.get("/users")).headers["location"] == "/sign-in?next=/users"
    answer = await client.patch(f"/users/{alice.user.id}", data={"is_active": "false"})
    assert answer.headers["location"] == "/sign-in"
    assert (await alice.get("/profile")).status_code == 200


async def test_wrong_methods_are_refused(olive: Browser, alice: Browser) -> None:
    assert (await olive.delete(f"/users/{alice.user.id}")).status_code == 405
    assert (await olive.post("/users")).status_code == 405
