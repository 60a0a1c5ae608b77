"""Sending faster than a person does: refused for a while, with the text kept; nobody else notices."""

import uuid
from html import unescape

import httpx

from tests.faults.site import Site, Visitor

SENTENCE = "at most 1 in a minute can be sent."


async def test_who_sends_too_fast_is_told_how_long_to_wait_and_keeps_the_text(site: Site) -> None:
    web = await site.serve(environment={"PARLEY_MAX_TURNS_PER_MINUTE": "1"})
    alice, bob = await site.person(web.base_url), await site.person(web.base_url, name="Bob")
    turn = await alice.begin("The first one is taken")
    await site.until_final()
    before = await site.row("SELECT count(*) AS messages FROM message")
    form = {"text": "<Once more>", "model": str(site.model), "request_id": str(uuid.uuid4())}
    address = f"/threads/{turn.thread}/messages"
    for answer in (
        await alice.post(address, **form),
        await _without_scripts(alice, address, form),
        await _without_scripts(alice, "/threads", form),
        await alice.post(f"/messages/{turn.answer}/generation"),
    ):
        assert answer.status_code == 429
        assert 1 < int(answer.headers["retry-after"]) <= 60
        assert SENTENCE in answer.text
        if "generation" not in str(answer.url):
            assert 'id="error-text"' in answer.text
            assert "><Once more></textarea>" in unescape(answer.text)
    assert await site.row("SELECT count(*) AS messages FROM message") == before
    assert (await bob.begin("Bob asks")).answer
    await site.until_final()


async def test_going_on_counts_and_stopping_does_not(site: Site) -> None:
    web = await site.serve(environment={"PARLEY_MAX_TURNS_PER_MINUTE": "2"})
    alice = await site.person(web.base_url)
    turn = await alice.begin("Tell me")
    await site.until_final()
    assert (await alice.post(f"/messages/{turn.answer}/generation")).status_code == 200
    await site.until_final()
    await site.database.execute("UPDATE message SET finish_reason = 'length' WHERE id = $1", turn.answer)
    answer = await alice.post(f"/messages/{turn.answer}/continuation")
    assert answer.status_code == 429
    assert "at most 2 in a minute can be sent." in answer.text
    assert (await alice.stop(turn.answer)).status_code == 200


async def _without_scripts(visitor: Visitor, path: str, form: dict[str, str]) -> httpx.Response:
    return await visitor.client.post(path, data=form | {"_csrf": await visitor.csrf()})
