"""A thread whose model was hidden, removed or closed to a person: what its page says, and which model answers there."""

import re
import uuid

import pytest

from app.database import fetch, fetch_row
from tests.controllers.test_facts import text_of
from tests.controllers.threads import Conversation, add_model, converse
from tests.people import Browser


@pytest.fixture
async def known(alice: Browser) -> Conversation:
    """A thread of Alice's with quiet-model."""
    return await converse(alice.user)


async def hide(model: uuid.UUID) -> None:
    await fetch("UPDATE model SET is_hidden = true WHERE id = $1", model)


async def page_of(browser: Browser, known: Conversation) -> str:
    return (await browser.get(f"/threads/{known.thread}")).text


async def last_answer(known: Conversation) -> str:
    row = await fetch_row("SELECT model_label FROM message WHERE thread = $1 ORDER BY id DESC LIMIT 1", known.thread)
    assert row is not None
    return str(row["model_label"])


async def test_trying_again_without_scripts_asks_the_model_that_the_composer_shows(
    alice: Browser, known: Conversation
) -> None:
    await add_model("anchor")
    _provider, preferred = await add_model("lantern")
    await hide(known.model)
    await fetch("UPDATE users SET default_model = $2 WHERE id = $1", alice.user.id, preferred)
    assert re.search(rf'<option value="{preferred}"[^>]* selected', await page_of(alice, known))
    assert (await alice.post(f"/messages/{known.answer}/generation")).status_code == 303
    assert await last_answer(known) == "lantern"


@pytest.mark.parametrize(
    "statement", ["UPDATE model SET gone_at = now() WHERE id = $1", "DELETE FROM model WHERE id = $1"]
)
async def test_another_model_goes_on_where_the_own_one_is_gone(
    alice: Browser, known: Conversation, statement: str
) -> None:
    _provider, other = await add_model("lantern")
    await fetch("UPDATE message SET status = 'stopped' WHERE id = $1", known.answer)
    await fetch(statement, known.model)
    assert (await alice.post(f"/messages/{known.answer}/continuation")).status_code == 303
    row = await fetch_row("SELECT model, model_label, writers FROM message WHERE id = $1", known.answer)
    assert row is not None
    assert (row["model"], row["model_label"]) == (other, "lantern")
    assert "quiet-model" in row["writers"]  # who wrote the first part


async def test_a_question_is_changed_with_the_model_that_the_page_shows(alice: Browser, known: Conversation) -> None:
    _provider, other = await add_model("lantern")
    await hide(known.model)
    page = (await alice.get(f"/messages/{known.question}/revision")).text
    assert re.search(rf'<option value="{other}"[^>]* selected', page)


async def test_without_any_model_it_is_refused(alice: Browser, known: Conversation) -> None:
    await hide(known.model)
    await fetch("UPDATE message SET status = 'stopped' WHERE id = $1", known.answer)
    for path in ("generation", "continuation"):
        answer = await alice.post(f"/messages/{known.answer}/{path}")
        assert answer.status_code == 422
        assert "Choose a model: that one is not available any more." in answer.text


async def test_a_hidden_model_is_not_said_to_be_removed(alice: Browser, olive: Browser, known: Conversation) -> None:
    await hide(known.model)
    assert "quiet-model is hidden. There is no other model." in text_of(await page_of(alice, known))
    await add_model("lantern")
    page = await page_of(alice, known)
    assert "quiet-model is hidden. lantern will answer." in text_of(page)
    assert "Show quiet-model" not in page
    await fetch('UPDATE thread SET "user" = $2 WHERE id = $1', known.thread, olive.user.id)
    assert f'<a href="/models/{known.model}">Show quiet-model</a>' in await page_of(olive, known)


async def test_a_model_closed_to_a_person_is_not_said_to_be_removed(alice: Browser, known: Conversation) -> None:
    await add_model("lantern")
    await fetch("UPDATE model SET allowed_users = '[]' WHERE id = $1", known.model)
    assert "quiet-model is not available to you any more. lantern will answer." in text_of(await page_of(alice, known))
