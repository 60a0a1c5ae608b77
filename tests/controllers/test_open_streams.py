"""Open pages of one person: so many are kept up to date, the next one is told, and each that closes makes room."""

import uuid

import pytest
from litestar import Litestar

from app.controllers.open_streams import MOST, OPEN_STREAMS, OpenStreams
from app.errors import TooManyRequests
from tests.controllers.raw import Address, Raw, live
from tests.controllers.threads import converse
from tests.people import Browser
from tests.watching import until


def get(browser: Browser, path: str, accept: str = "text/event-stream", method: str = "GET") -> bytes:
    """What an open page asks for."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Cookie: parley={browser.cookie}", f"Accept: {accept}"]
    return "\r\n".join([*lines, "", ""]).encode()


async def opened(at: Address, request: bytes) -> tuple[Raw, int]:
    """A connection on which this was asked, and the answer's status."""
    raw = await at.connect()
    await raw.send(request)
    return raw, (await raw.begin()).status


def test_counting_ends_with_the_block_whatever_ends_it() -> None:
    streams, person = OpenStreams(most=1), uuid.uuid4()

    def fail() -> None:
        with streams.count(person):
            raise KeyError

    for _ in range(3):
        with pytest.raises(KeyError):
            fail()
    with streams.count(person), streams.count(uuid.uuid4()), pytest.raises(TooManyRequests):
        fail()
    assert streams.open_of(person) == 0


async def test_one_person_may_have_100_and_they_are_given_back(app: Litestar, alice: Browser, bob: Browser) -> None:
    made = await converse(alice.user)
    paths = ("/models/events", f"/threads/{made.thread}/events", f"/messages/{made.answer}/stream")
    async with live(app) as at:
        held = []
        for n in range(MOST):
            raw, status = await opened(at, get(alice, paths[n % 2]))
            held.append(raw)
            assert status == 200, n
        for path in paths:
            raw = await at.connect()
            await raw.send(get(alice, path))
            answer = await raw.answer()
            assert (answer.status, "retry-after: 30" in answer.head) == (429, True)
            assert b"You have too many pages open" in answer.body
        assert (await opened(at, get(bob, "/models/events")))[1] == 200
        held[0].close()
        await until("a closed page makes room", lambda: OPEN_STREAMS.open_of(alice.user.id) == MOST - 1)
        assert (await opened(at, get(alice, paths[0])))[1] == 200
        at.close()
        people = (alice.user.id, bob.user.id)
        await until("all are given back", lambda: not sum(map(OPEN_STREAMS.open_of, people)))


async def test_what_ends_at_once_counts_no_longer(app: Litestar, alice: Browser) -> None:
    made = await converse(alice.user)
    async with live(app) as at:
        for path in ("/models/events", f"/threads/{made.thread}/events", f"/messages/{made.answer}/stream"):
            for method in ("HEAD", "GET"):
                for _ in range(3):
                    raw, status = await opened(at, get(alice, path, method=method))
                    assert status == 200
                    raw.close()
        await until("all are given back", lambda: not OPEN_STREAMS.open_of(alice.user.id))


async def test_a_page_without_scripts_says_it_in_its_frame(app: Litestar, alice: Browser) -> None:
    made = await converse(alice.user)
    async with live(app) as at:
        for _ in range(MOST):
            await opened(at, get(alice, "/models/events"))
        raw = await at.connect()
        await raw.send(get(alice, f"/messages/{made.answer}/stream", accept="text/html"))
        answer = await raw.answer()
        assert (answer.status, "text/html" in answer.head) == (429, True)
        assert b"You have too many pages open" in answer.body
