"""Who may use a model: enforced wherever a model can be named, not in the picker alone."""

import json
import uuid

import pytest

from app.chat.claim import claim_generation
from app.database import fetch, new_id
from tests.controllers.threads import add_model, converse
from tests.people import Browser


async def question(browser: Browser, model: uuid.UUID, thread: uuid.UUID | None = None) -> int:
    """The status of sending a question to a model."""
    form = {"text": "Hello?", "model": str(model), "request_id": str(new_id())}
    path = f"/threads/{thread}/messages" if thread else "/threads"
    return (await browser.post(path, data=form)).status_code


async def allow(olive: Browser, model: uuid.UUID, who: str, *people: Browser) -> None:
    form = {"who": who, "users": [str(person.user.id) for person in people]}
    assert (await olive.put(f"/models/{model}/audience", data=form)).status_code == 303


async def test_everybody_then_the_owner_then_one_person(olive: Browser, alice: Browser, bob: Browser) -> None:
    _provider, model = await add_model("secret-sauce")
    assert await question(alice, model) == 303
    await allow(olive, model, "owner")
    assert (await question(alice, model), await question(olive, model)) == (422, 303)
    assert "secret-sauce" not in (await alice.get("/")).text
    assert "secret-sauce" not in (await alice.get("/catalog", headers={"hx-request": "true"})).text
    await allow(olive, model, "chosen", alice)
    assert (await question(alice, model), await question(bob, model)) == (303, 422)
    await allow(olive, model, "everybody")
    assert await question(bob, model) == 303


async def test_no_way_leads_around_it(olive: Browser, alice: Browser) -> None:
    known = await converse(alice.user)
    _provider, model = await add_model("secret-sauce")
    await allow(olive, model, "owner")
    assert await question(alice, model, known.thread) == 422
    again = await alice.post(f"/messages/{known.answer}/generation", data={"model": str(model)})
    assert again.status_code == 422
    assert (await alice.post(f"/models/{model}/load")).status_code == 404
    assert (await alice.get(f"/models/{model}")).status_code == 404
    assert [row["count"] for row in await fetch("SELECT count(*) FROM generation WHERE state <> 'ended'")] == [0]
    await fetch("UPDATE message SET model = $2, status = 'interrupted' WHERE id = $1", known.answer, model)
    assert (await alice.post(f"/messages/{known.answer}/continuation")).status_code == 303
    assert await fetch("SELECT model FROM message WHERE id = $1", known.answer) == [(known.model,)]  # another goes on


async def test_a_fallback_is_not_used_for_who_may_not_use_it(olive: Browser, alice: Browser) -> None:
    known = await converse(alice.user)
    _provider, model = await add_model("secret-sauce")
    await fetch("UPDATE model SET fallbacks = $2 WHERE id = $1", known.model, json.dumps([str(model)]))
    await allow(olive, model, "owner")
    assert await question(alice, known.model, known.thread) == 303
    await fetch("INSERT INTO worker (id, name, is_alive, started_at, seen_at) VALUES (7, 'w', true, now(), now())")
    (generation,) = await fetch("SELECT id FROM generation WHERE state = 'queued'")
    claim = await claim_generation(generation["id"], 7)
    assert claim is not None
    assert [candidate["model_name"] for candidate in claim.candidates] == ["quiet-model"]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"who": "chosen"}, "users"),
        ({"who": "chosen", "users": str(uuid.uuid4())}, "users"),
        ({"who": "nobody"}, "who"),
        ({}, "who"),
    ],
)
async def test_a_mistake_is_said_and_nothing_is_stored(olive: Browser, form: dict[str, str], field: str) -> None:
    _provider, model = await add_model()
    for headers in ({}, {"hx-request": "true"}):
        answer = await olive.put(f"/models/{model}/audience", data=form, headers=headers)
        assert answer.status_code == 422
        assert f'id="error-{field}"' in answer.text
    assert [row["allowed_users"] for row in await fetch("SELECT allowed_users FROM model")] == [None]
