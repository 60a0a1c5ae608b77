"""A form that waited for the password is sent once: Back, reload and a second click do nothing twice."""

import asyncio

from app.database import fetch
from tests.controllers.test_confirmation import asked_form, grow_old
from tests.people import PASSWORD, Browser

AGAIN = "Enter it again to do it now."


async def count() -> int:
    return len(await fetch("SELECT 1 FROM invitation"))


async def test_a_form_that_was_done_is_asked_for_again(olive: Browser) -> None:
    await grow_old(olive)
    fields = asked_form(await olive.post("/invitations", data={"email": ""}))[1] | {"confirm_password": PASSWORD}
    assert (await olive.post("/invitations", data=fields)).status_code == 303
    again = await olive.post("/invitations", data=fields)
    assert (again.status_code, await count()) == (422, 1)
    assert AGAIN in again.text
    assert "more than ten minutes ago" not in again.text
    meant = asked_form(again)[1] | {"confirm_password": PASSWORD}
    assert (await olive.post("/invitations", data=meant)).status_code == 303
    assert await count() == 2


async def test_of_two_clicks_one_counts(olive: Browser) -> None:
    await grow_old(olive)
    fields = asked_form(await olive.post("/invitations", data={"email": ""}))[1] | {"confirm_password": PASSWORD}
    answers = await asyncio.gather(*(olive.post("/invitations", data=fields) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [303, 422, 422]
    assert await count() == 1


async def test_of_two_tabs_the_second_is_asked_once_more_and_loses_nothing(olive: Browser) -> None:
    await grow_old(olive)
    first, second = [asked_form(await olive.post("/invitations", data={"email": f"{n}@example.org"}))[1] for n in "ab"]
    password = {"confirm_password": PASSWORD}
    assert (await olive.post("/invitations", data=first | password)).status_code == 303
    asked = await olive.post("/invitations", data=second | password)
    assert asked.status_code == 422
    assert (await olive.post("/invitations", data=asked_form(asked)[1] | password)).status_code == 303
    assert [row["email"] for row in await fetch("SELECT email FROM invitation ORDER BY email")] == [
        "a@example.org",
        "b@example.org",
    ]


async def test_passwords_that_come_with_their_forms_do_not_disturb_each_other(olive: Browser) -> None:
    await grow_old(olive)
    form = {"email": "", "confirm_password": PASSWORD}
    answers = await asyncio.gather(*(olive.post("/invitations", data=form) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [303, 303]
