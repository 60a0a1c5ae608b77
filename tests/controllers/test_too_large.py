"""A form that is too large: who is signed in gets back what they wrote, to put it right; nobody else, and nothing else."""

import re
import uuid
from html import unescape

import pytest

from app.controllers.form_reader import MOST_KEEPING
from app.database import fetch
from app.settings import settings
from tests.controllers.lines import line
from tests.controllers.threads import add_model
from tests.people import PASSWORD, Browser
from tests.watching import until

PAST_LIMIT = settings.max_body_bytes + 1


async def test_a_question_comes_back_in_a_form_that_can_be_sent_once_it_is_shorter(alice: Browser) -> None:
    _provider, model = await add_model()
    request_id = str(uuid.uuid4())
    text = "\n<b>é</b>" + "x" * PAST_LIMIT
    form = {"text": text, "model": str(model), "request_id": request_id, "temperature": "0.5", "_csrf": "in the header"}
    page = await alice.post("/threads", data=form)
    assert page.status_code == 413
    assert "at most 4,000,000 bytes" in page.text
    assert f"It has {len(text):,} characters; a message may have 200,000." in page.text
    found = re.search(r'<textarea id="text"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    assert found is not None
    assert unescape(found[1]) == text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
    assert '<form method="post" action="/threads">' in page.text
    again = await alice.post("/threads", data=hidden | {"text": "Shorter"})
    assert (again.status_code, again.headers["location"]) == (303, f"/threads/{request_id}")
    rows = await fetch("SELECT options, model FROM thread")
    assert [(row["options"], row["model"]) for row in rows] == [('{"temperature": 0.5}', model)]


async def test_options_come_back_to_where_they_were_sent(alice: Browser) -> None:
    address = f"/threads/{uuid.uuid4()}/options?_method=PUT"
    page = await alice.post(address, data={"system_prompt": "x" * PAST_LIMIT, "top_p": "1"})
    assert page.status_code == 413
    assert f'action="{address}"' in page.text
    assert "x" * PAST_LIMIT in page.text


@pytest.mark.parametrize("path", ["/profile/password?_method=PUT", "/threads"])
async def test_a_form_with_anything_else_does_not_come_back(alice: Browser, path: str) -> None:
    page = await alice.post(path, data={"password": PASSWORD + "x" * PAST_LIMIT, "text": "Hello"})
    assert page.status_code == 413
    assert PASSWORD not in page.text
    assert "<textarea" not in page.text


async def test_a_stranger_a_forger_and_a_script_get_the_sentence_alone(client: Browser, alice: Browser) -> None:
    form = {"text": "x" * PAST_LIMIT}
    answers = [
        await client.post("/threads", data=form),
        await alice.request("POST", "/threads", data=form, csrf="x" * 32),
        await alice.post("/threads", data=form, headers={"hx-request": "true"}),
    ]
    for answer in answers:
        assert answer.status_code == 413
        assert "at most 4,000,000 bytes" in answer.text
        assert len(answer.text) < 100_000


async def test_few_are_kept_at_a_time(alice: Browser) -> None:
    lines = [await line(alice, "/threads", content_length=str(PAST_LIMIT)) for _ in range(4)]
    await until("two are answered", lambda: sum(one.has_begun.is_set() for one in lines) >= 2)
    waiting = [one for one in lines if not one.has_begun.is_set()]
    assert len(waiting) == MOST_KEEPING
    for one in waiting:
        one.put(b"text=" + b"y" * (PAST_LIMIT - 5), more=False)
        assert await one.status() == 413
    for one in lines:
        await one.end()
        is_kept = b"y" * 1_000 in b"".join(message.get("body", b"") for message in one.answer)
        assert is_kept == (one in waiting)


async def test_what_is_far_too_large_is_not_kept(alice: Browser) -> None:
    page = await alice.post("/threads", data={"text": "x" * (8 * settings.max_body_bytes)})
    assert page.status_code == 413
    assert len(page.text) < 100_000
