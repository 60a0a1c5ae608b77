"""The page of what was sent: every body, with its calls, what they took, and which of them named the thread."""

import re
import uuid

import msgspec

from app.chat.requests import keep_naming, keep_request, note_naming
from app.database import fetch
from tests.controllers.threads import converse
from tests.people import Browser


async def test_every_call_and_every_body_is_shown(alice: Browser) -> None:
    made = await converse(alice.user)
    [generation] = await fetch("SELECT id FROM generation")
    calls = [
        {"number": number, "provider": "Nobody", "model": name, "error": error, "duration_ms": 5, "usage": None}
        for number, name, error in ((1, "first", "overloaded"), (2, "second", "rate_limited"), (3, "second", ""))
    ]
    await fetch("UPDATE generation SET provider_attempts = $1", msgspec.json.encode(calls).decode())
    await fetch("UPDATE generation SET state = 'running', worker = 7")
    for call, name in ((1, "first"), (2, "second")):
        body = {"model": name, "messages": [{"content": "Far <b>?"}]}
        await keep_request(generation["id"], body, call=call, worker_id=7)
    await fetch("UPDATE generation SET state = 'ended'")
    await keep_naming(generation["id"], {"model": "second", "messages": [{"content": "A title"}]})
    usage = {"input_tokens": 20, "output_tokens": 5, "cached_tokens": None, "is_exact": True}
    named = {"provider": "Nobody", "model": "second", "kind": "openai", "error": "", "duration_ms": 7, "usage": usage}
    await note_naming(generation["id"], uuid.UUID(str(made.model)), named)
    text = (await alice.get(f"/messages/{made.answer}/request")).text
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["With call 1", "With calls 2 to 3", "To name the thread"]
    assert len(re.findall(r"<pre", text)) == 3
    assert "Far &lt;b&gt;?" in text
    items = re.findall(r"<li>(Nobody.*?)</li>", text, re.DOTALL)
    assert ["named the thread" in item for item in items] == [False, False, False, True]
    assert "tokens in" in items[3]
    assert "tokens in" not in items[2]


async def test_a_call_that_was_sent_twice_says_so(alice: Browser) -> None:
    made = await converse(alice.user)
    call = {"number": 1, "provider": "Nobody", "model": "first", "error": "", "duration_ms": 5, "usage": None}
    calls = [{**call, "was_repeated": True}, {**call, "number": 2}]
    await fetch("UPDATE generation SET provider_attempts = $1", msgspec.json.encode(calls).decode())
    text = (await alice.get(f"/messages/{made.answer}/request")).text
    items = re.findall(r"<li>(Nobody.*?)</li>", text, re.DOTALL)
    assert ["sent twice: the server had closed the kept connection" in item for item in items] == [True, False]


async def test_before_anything_was_sent_the_page_says_so(alice: Browser) -> None:
    made = await converse(alice.user)
    assert "Nothing has been sent yet." in (await alice.get(f"/messages/{made.answer}/request")).text
