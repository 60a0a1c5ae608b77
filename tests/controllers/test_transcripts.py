"""A thread on one page; test_every_route.py asks the rest."""

import re

from app.chat.tree import WINDOW, list_ends
from app.database import fetch, new_id
from tests.controllers.threads import converse
from tests.people import Browser


async def test_a_transcript_has_every_message_once_and_in_order(alice: Browser) -> None:
    theirs = await converse(alice.user, "First question")
    ids = [theirs.question, theirs.answer]
    for number in range(2 * WINDOW + 5):
        ids.append(new_id())
        await fetch(
            "INSERT INTO message (id, thread, parent, depth, role, parts, content, status, created_at)"
            " SELECT $1, thread, id, depth + 1, CASE role WHEN 'user' THEN 'assistant' ELSE 'user' END, parts, $3,"
            " 'complete', now()"
            " FROM message WHERE id = $2",
            ids[-1],
            ids[-2],
            f"Message {number}",
        )
    await fetch("UPDATE thread SET leaf = $2 WHERE id = $1", theirs.thread, ids[-1])
    assert len(await list_ends(ids[-1])) == 3
    answer = await alice.get(f"/threads/{theirs.thread}/transcript")
    assert answer.status_code == 200
    assert re.findall(r'data-message="([^"]*)"', answer.text) == [str(one) for one in ids]
    assert "First question" in answer.text
    assert 'id="older"' not in answer.text
    assert answer.text.rstrip().endswith("</html>")
    assert "data-print-now" not in answer.text
    assert "use your browser’s Print" not in answer.text
    printing = (await alice.get(f"/threads/{theirs.thread}/transcript?print_now=1")).text
    assert "data-print-now" in printing
    assert '<noscript><p class="later">To print this page, use your browser’s Print.</p></noscript>' in printing


async def test_an_empty_thread_has_an_empty_transcript(alice: Browser) -> None:
    theirs = await converse(alice.user)
    await fetch("UPDATE thread SET leaf = NULL WHERE id = $1", theirs.thread)
    answer = await alice.get(f"/threads/{theirs.thread}/transcript")
    assert (answer.status_code, answer.text.count("<article")) == (200, 0)


async def test_a_thread_leads_to_its_transcript(alice: Browser) -> None:
    theirs = await converse(alice.user)
    page = (await alice.get(f"/threads/{theirs.thread}")).text
    assert f'href="/threads/{theirs.thread}/transcript?print_now=1"' in page


async def test_a_stranger_sees_no_transcript(alice: Browser, bob: Browser) -> None:
    theirs = await converse(alice.user)
    assert (await bob.get(f"/threads/{theirs.thread}/transcript")).status_code == 404
