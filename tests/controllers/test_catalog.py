"""The picker of open composers: what can be chosen now, and since when something cannot."""

import uuid

from app.database import fetch
from tests.controllers.threads import add_model, converse
from tests.people import Browser

PARTIAL = {"hx-request": "true", "hx-request-type": "partial"}


async def test_what_is_chosen_stays_chosen_and_can_be_sent_to_though_it_is_down(alice: Browser) -> None:
    first, one = await add_model("first")
    second, two = await add_model("second")
    await fetch(
        "UPDATE provider SET state = 'down', down_since = '2026-11-21T07:20:00Z' WHERE id = ANY($1)", [first, second]
    )
    answer = await alice.get(f"/catalog?model={one}&in_thread={uuid.uuid4()}", headers=PARTIAL)
    assert answer.status_code == 200
    options = [line for line in answer.text.splitlines() if "<option" in line and ("first" in line or "second" in line)]
    chosen = next(line for line in options if str(one) in line)
    other = next(line for line in options if str(two) in line)
    assert " selected" in chosen
    assert " disabled" not in chosen
    assert " disabled" in other
    for line in (chosen, other):
        assert 'data-since="2026-11-21T07:20:00Z"' in line
    assert ">first · down<" in chosen, "in the bar it must be short"
    assert "down since 2026-11-21 07:20 UTC" in other
    assert "data-none" in answer.text


async def test_one_that_is_down_can_be_picked_where_another_answers_in_its_place(alice: Browser) -> None:
    (first, one), (second, two) = await add_model("first"), await add_model("second")
    await fetch("UPDATE model SET fallbacks = jsonb_build_array($2::text) WHERE id = $1", one, str(two))
    await fetch("UPDATE provider SET state = 'down', down_since = now() WHERE id = $1", first)

    async def option() -> str:
        answer = await alice.get(f"/catalog?model={two}", headers=PARTIAL)
        return next(line for line in answer.text.splitlines() if f'value="{one}"' in line)

    found = await option()
    assert " disabled" not in found
    assert "data-down" in found
    assert "first · down, another one answers<" in found
    assert "another model answers in its place" in found
    await fetch("UPDATE model SET allowed_users = '[]' WHERE id = $1", two)
    assert " disabled" in await option(), "nobody answers whom Alice may not ask"
    await fetch("UPDATE model SET allowed_users = NULL")
    for state in ("down", "failing"):
        await fetch("UPDATE provider SET state = $2, down_since = now() WHERE id = $1", second, state)
        assert " disabled" in await option(), state


async def test_the_picker_of_a_page_and_of_a_refresh_are_the_same(alice: Browser) -> None:
    known = await converse(alice.user)
    page = (await alice.get(f"/threads/{known.thread}")).text
    part = (await alice.get(f"/catalog?model={known.model}&in_thread={known.thread}", headers=PARTIAL)).text
    select = part[part.index("<select") : part.index("</select>")]
    assert [line.strip() for line in select.splitlines()] == [
        line.strip() for line in page[page.index('<select id="model"') : page.index("</select>")].splitlines()
    ]


async def test_a_model_that_is_gone_is_not_chosen(alice: Browser) -> None:
    await add_model()
    answer = await alice.get(f"/catalog?model={uuid.uuid4()}", headers=PARTIAL)
    assert answer.status_code == 200
    assert "data-none" not in answer.text


async def test_it_is_no_page_of_its_own(alice: Browser) -> None:
    answer = await alice.get("/catalog")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await alice.get("/catalog?model=x", headers=PARTIAL)).status_code == 400
