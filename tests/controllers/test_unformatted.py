"""Pages on which an answer is shown as its text, because its renderer fails or is not there."""

import re

import pytest

from app.database import fetch_row
from app.html.offload import RENDERERS
from tests.controllers.threads import Conversation, converse
from tests.people import Browser
from tests.renderers import GIVEN_UP, NOT_YET, poison

pytestmark = pytest.mark.usefixtures("broken_renderers")
PARTIAL = {"hx-request": "true", "hx-request-type": "partial"}
SOURCE = "[[crash]] &lt;b&gt;&amp;\n```\n</pre>"


async def given_up(alice: Browser) -> Conversation:
    """A thread whose answer failed twice."""
    theirs = await converse(alice.user, answer=poison("crash"))
    for failures in (1, 2):
        assert (await alice.get(f"/threads/{theirs.thread}")).status_code == 200
        row = await fetch_row("SELECT failed_renders FROM message WHERE id = $1", theirs.answer)
        assert row is not None
        assert row["failed_renders"] == failures
    return theirs


async def test_every_page_shows_the_text_and_says_why(alice: Browser) -> None:
    theirs = await given_up(alice)
    addresses = (
        f"/threads/{theirs.thread}", f"/threads/{theirs.thread}/messages", f"/threads/{theirs.thread}/transcript",
        f"/messages/{theirs.answer}/stream",
    )  # fmt: skip
    for address in addresses:
        page = (await alice.get(address)).text
        assert SOURCE in page, address
        assert page.index(GIVEN_UP) < page.index(SOURCE), address
        assert "Show it formatted" not in page, address


async def test_a_page_that_fetches_the_answer_shows_what_a_fresh_one_does(alice: Browser) -> None:
    theirs = await given_up(alice)
    fetched = (await alice.get(f"/messages/{theirs.answer}", headers=PARTIAL)).text
    fresh = (await alice.get(f"/threads/{theirs.thread}")).text
    article = re.search(rf'<article id="message-{theirs.answer}".*?</article>', fresh, re.DOTALL)
    assert article is not None
    assert without_nonces(fetched).strip() == without_nonces(article[0])


async def test_the_text_can_still_be_copied_and_its_request_read(alice: Browser) -> None:
    theirs = await given_up(alice)
    page = (await alice.get(f"/threads/{theirs.thread}")).text
    assert f'data-copy-from="/messages/{theirs.answer}/text"' in page
    assert (await alice.get(f"/messages/{theirs.answer}/text")).text == poison("crash")
    assert (await alice.get(f"/messages/{theirs.answer}/request")).status_code == 200


async def test_without_a_free_renderer_the_page_says_how_to_look_again(alice: Browser) -> None:
    theirs = await converse(alice.user, answer="```python\nquiet()\n```")
    RENDERERS.program = "tests.children.ends_at_once"
    page = (await alice.get(f"/threads/{theirs.thread}")).text
    assert page.count("Show it formatted") == 1
    assert re.search(rf'{NOT_YET} <a href="/messages/{theirs.answer}" [^>]*>Show it formatted</a>', page)
    RENDERERS.program = "tests.children.broken"
    page = (await alice.get(f"/messages/{theirs.answer}", follow_redirects=True)).text
    assert NOT_YET not in page
    assert 'class="language-python"' in page


async def test_a_long_answer_says_it_at_both_ends(alice: Browser) -> None:
    theirs = await converse(alice.user, answer="```python\nquiet()\n```\n\n" + "Many words follow. " * 100)
    RENDERERS.program = "tests.children.ends_at_once"
    page = (await alice.get(f"/threads/{theirs.thread}")).text
    first, last = (found.start() for found in re.finditer(NOT_YET, page))
    assert first < page.index("Many words") < page.rindex("Many words") < last < page.index('formaction="/messages/')


def without_nonces(html: str) -> str:
    return re.sub(r'(hx-nonce|value)="[\w-]+"|\s+', " ", html)
