"""The page where one signs in: why one is there, and where the focus goes."""

import re

import pytest
from litestar import Litestar

from app.secrets import seal
from app.tables.session import Session
from app.tables.user import User
from tests.people import PASSWORD, Browser, add_user

RIGHT = {"email": "olive@example.org", "password": PASSWORD}


@pytest.fixture
async def owner(app: Litestar) -> User:
    return await add_user("Olive", is_owner=True)


async def test_who_was_signed_in_is_told_why_they_are_asked_again(client: Browser, owner: User) -> None:
    member = await add_user("Mallory")
    await client.post("/sign-in", data={"email": "mallory@example.org", "password": PASSWORD})
    await Session.end_all(member.id)
    page = await client.get("/profile", follow_redirects=True)
    assert "You were signed out: this sign-in is over, or was ended somewhere else." in page.text
    assert "What you wrote is kept." not in page.text
    assert "What you wrote is kept." in (await client.get("/", follow_redirects=True)).text
    await User.set_active(member.id, False)
    assert "Your account was deactivated." in (await client.get("/sign-in")).text


async def test_who_signed_out_or_never_was_here_is_told_nothing(client: Browser, owner: User) -> None:
    never = await client.get("/sign-in")
    client.cookies.set("parley-person", seal("parley-flash-name\nx"), domain="127.0.0.1", path="/")
    forged = await client.get("/sign-in")
    await client.post("/sign-in", data=RIGHT)
    await client.post("/sign-out")
    left = await client.get("/sign-in")
    for page in (never, forged, left):
        assert page.status_code == 200
        assert "You were signed out" not in page.text
        assert "deactivated" not in page.text


async def test_the_focus_goes_to_the_field_that_is_wrong(client: Browser, owner: User) -> None:
    assert _focused((await client.get("/sign-in")).text) == ["email"]
    wrong_password = await client.post("/sign-in", data={"email": "olive@example.org", "password": "not it at all"})
    assert _focused(wrong_password.text) == ["password"]
    no_password = await client.post("/sign-in", data={"email": "olive@example.org", "password": ""})
    assert _focused(no_password.text) == ["password"]
    nothing = await client.post("/sign-in", data={"email": "", "password": ""})
    assert _focused(nothing.text) == ["email"]


def _focused(page: str) -> list[str]:
    return re.findall(r'<input id="(\w+)"[^>]* autofocus', page)
