"""Errors: a sentence, an id and a way on, for pages, for htmx and for programs."""

import contextlib
import uuid

import pytest

from app.database import engine, pool
from tests.controllers.guarded import FAILURES, Visitor
from tests.controllers.threads import converse
from tests.people import Browser

# -- Errors


@pytest.mark.parametrize(
    ("failure", "status", "sentence"),
    [
        ("bug", 500, "Something went wrong here"),
        ("gone", 503, "The database is away for a moment."),
        ("restart", 503, "The database is away for a moment."),
        ("full", 503, "its disk is full"),
        ("read-only", 503, "it is read-only"),
        ("value", 404, "There is nothing here"),
    ],
)
async def test_a_failure_is_a_sentence_and_an_id(visitor: Visitor, failure: str, status: int, sentence: str) -> None:
    answer = await visitor.get(f"/failure?of={failure}")
    assert answer.status_code == status
    assert sentence in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert str(FAILURES[failure]) not in answer.text
    assert "Traceback" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    program = await visitor.get(f"/failure?of={failure}", headers={"accept": "application/json"})
    assert program.status_code == status
    assert sentence in program.json()["error"]["sentence"]
    assert program.json()["error"]["request_id"] == program.headers["x-request-id"]


async def test_errors_for_htmx_are_no_whole_page(visitor: Visitor) -> None:
    answer = await visitor.get("/nowhere", headers={"hx-request": "true"})
    assert answer.status_code == 404
    assert "<html" not in answer.text
    assert "There is nothing here" in answer.text


@pytest.mark.parametrize("path", ["/nowhere", "/nowhere/at/all", "/threads/not-an-id", f"/threads/{uuid.UUID(int=7)}"])
async def test_a_page_that_is_not_there_stands_beside_ones_own_threads(alice: Browser, bob: Browser, path: str) -> None:
    await alice.put("/profile", data={"name": "Alice", "theme": "terminal", "send_key": "enter", "speech": "all"})
    theirs = await converse(alice.user)
    page = await alice.get(path)
    assert page.status_code == 404
    assert 'data-theme="terminal"' in page.text
    assert f'href="/threads/{theirs.thread}"' in page.text
    assert '<a class="button primary" href="/">To the start</a>' in page.text
    assert str(theirs.thread) not in (await bob.get(path)).text


async def test_a_page_that_is_not_there_tells_a_stranger_nothing(client: Browser, olive: Browser) -> None:
    page = await client.get("/nowhere")
    assert page.status_code == 404
    assert 'id="sidebar"' not in page.text
    assert "To the start" in page.text


async def test_without_the_database_what_is_not_there_is_still_said(visitor: Visitor) -> None:
    visitor.cookies.set("parley", "x" * 43, domain="127.0.0.1", path="/")
    page = await visitor.get("/nowhere")
    assert page.status_code == 404
    assert "There is nothing here" in page.text


async def test_what_may_work_a_moment_later_can_be_tried_again(visitor: Visitor) -> None:
    page = await visitor.get("/failure?of=gone")
    assert '<a class="button primary" href="/failure">Try again</a>' in page.text


async def test_who_finds_every_connection_in_use_waits_a_while_and_is_told(
    alice: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "acquire_seconds", 0.2)
    async with contextlib.AsyncExitStack() as in_use:
        for _ in range(pool().get_max_size()):
            await in_use.enter_async_context(pool().acquire())
        page = await alice.get("/profile")
    assert page.status_code == 503
    assert "The database is away for a moment." in page.text
    assert (await alice.get("/profile")).status_code == 200


async def test_wrong_methods_say_the_right_ones(visitor: Visitor) -> None:
    answer = await visitor.put("/form")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


async def test_who_is_signed_out_is_led_to_sign_in_each_in_their_way(client: Browser, olive: Browser) -> None:
    page = await client.get("/profile")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/profile")
    partial = await client.get(
        "/profile", headers={"hx-request": "true", "referer": "http://127.0.0.1:8000/threads/1?a=b"}
    )
    assert partial.headers["hx-redirect"] == "/sign-in?next=/threads/1%3Fa%3Db"
    foreign = await client.get("/profile", headers={"hx-request": "true", "referer": "https://evil.example/x"})
    assert foreign.headers["hx-redirect"] == "/sign-in"
    for accept in ("application/json", "text/event-stream"):
        program = await client.get("/profile", headers={"accept": accept})
        assert program.status_code == 401
        assert program.json()["error"]["code"] == "not_signed_in"
