"""Messages: what only they have; test_every_route.py asks the rest."""

from app.database import fetch
from tests.controllers.threads import converse
from tests.people import Browser

MARKDOWN = "# Héllo\n\n| a | b |\n|---|---|\n| `x` | **1** |\n\n<b>not bold</b> \U0001f642\n"


async def test_an_answer_gives_the_text_that_the_model_wrote(alice: Browser) -> None:
    theirs = await converse(alice.user, answer=MARKDOWN)
    answer = await alice.get(f"/messages/{theirs.answer}/text")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.decode() == MARKDOWN


async def test_a_question_gives_the_text_that_was_typed(alice: Browser) -> None:
    theirs = await converse(alice.user, "  Why\n\tthe *sky*?")
    assert (await alice.get(f"/messages/{theirs.question}/text")).text == "  Why\n\tthe *sky*?"


async def test_an_answer_that_came_to_nothing_has_an_empty_text(alice: Browser) -> None:
    theirs = await converse(alice.user)
    await fetch("UPDATE message SET content = '', parts = '[]', status = 'failed' WHERE id = $1", theirs.answer)
    answer = await alice.get(f"/messages/{theirs.answer}/text")
    assert (answer.status_code, answer.text) == (200, "")


async def test_the_copy_button_knows_where_the_text_is(alice: Browser) -> None:
    theirs = await converse(alice.user)
    assert f'data-copy-from="/messages/{theirs.answer}/text"' in (await alice.get(f"/threads/{theirs.thread}")).text
