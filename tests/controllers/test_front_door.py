"""The front door on raw sockets: how many connections may be open of which nobody is known, and who gets in during a flood."""

import asyncio
import contextlib
import functools
import time
from typing import Any

import psutil
import pytest
import structlog
from litestar import Litestar

from app.cli.front_door import LOG_SECONDS, FrontDoor, Limits, network_of
from app.controllers import form_reader
from app.controllers.border import is_trusted, networks_of
from app.controllers.receiving import Deadline
from tests.controllers.raw import GET, Address, Raw, echo, live
from tests.people import Browser
from tests.watching import until

HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
HANDSHAKE = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#: No head runs out of time while a busy machine counts connections.
PATIENT = Limits(head_seconds=600)
SMALL = Limits(anonymous=20, anonymous_per_address=12, waiting_per_address=8, burst_seconds=0.05, head_seconds=600)


async def connect(at: Address, count: int, sent: bytes = HALF, source: str | None = None) -> list[Raw]:
    """So many connections, each of which has sent this."""
    made = []
    for _ in range(count):
        made.append(await at.connect(source))
        await made[-1].send(sent)
    return made


async def settle(at: Address, count: int) -> None:
    """Wait until so many connections are open, and still are a little later."""

    async def has_settled() -> bool:
        if at.open == count:
            await asyncio.sleep(0.2)
        return at.open == count

    await until(f"{count} connections stay open", has_settled, shows=lambda: at.open)


async def closed(raws: list[Raw], count: int) -> list[bytes]:
    """What so many of these were told before the server closed them. Which ones depends on whose session was found first."""
    reading = [asyncio.create_task(raw.rest()) for raw in raws]
    await until(f"{count} connections are closed", lambda: sum(task.done() for task in reading) >= count)
    said = [task.result() for task in reading if task.done()]
    for task in reading:
        task.cancel()
    return said


async def test_of_one_address_so_many_may_wait() -> None:
    for count, left in ((7, 7), (8, 8), (9, 8), (12, 8), (13, 8), (60, 8)):
        async with live(echo, FrontDoor(limits=SMALL)) as at:
            await connect(at, count)
            await settle(at, left)


async def test_of_all_addresses_so_many_may_wait() -> None:
    for count, left in ((19, 19), (20, 20), (21, 20), (60, 20)):
        async with live(echo, FrontDoor(limits=SMALL)) as at:
            for n in range(count):
                await connect(at, 1, source=f"127.0.1.{n // 4 + 1}")
            await settle(at, left)


async def test_the_one_that_waited_longest_makes_room() -> None:
    async with live(echo, FrontDoor(limits=SMALL)) as at:
        first, *others = await connect(at, 12)
        await settle(at, 8)
        assert (await first.rest()).startswith(b"HTTP/1.1 503")
        await others[-1].send(b"\r\n")
        assert (await others[-1].answer()).status == 200


async def test_300_half_sent_heads_do_not_stay_and_someone_else_is_served() -> None:
    async with live(echo) as at:
        await connect(at, 300)
        assert (await at.ask(GET)).status == 200
        await at.until_open(Limits().waiting_per_address)


async def test_a_thousand_sockets_of_one_address_are_bounded_and_given_back() -> None:
    process = psutil.Process()
    async with live(echo) as at:
        before = process.num_fds()
        most = 0
        for _ in range(20):
            await connect(at, 50, sent=b"")
            most = max(most, at.open)
        limits = Limits()
        assert most <= limits.anonymous_per_address
        await at.until_open(limits.waiting_per_address)
        assert (await at.ask(GET)).status == 200
        at.close()
        await at.until_open(0)
        await until(f"no more than {before} descriptors", lambda: process.num_fds() <= before, shows=process.num_fds)


async def test_idle_connections_make_room_too() -> None:
    async with live(echo, FrontDoor(limits=SMALL)) as at:
        idle = await connect(at, 8, sent=GET)
        assert [(await raw.answer()).status for raw in idle] == [200] * 8
        await connect(at, 1)
        assert await idle[0].rest() == b""


async def test_half_sent_bodies_make_room_too() -> None:
    async with live(echo, FrontDoor(limits=SMALL)) as at:
        first, *_others = await connect(at, 9, sent=HALF.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\nabc")
        assert (await first.rest()).startswith(b"HTTP/1.1 503")
        await settle(at, 8)


async def test_where_all_are_being_answered_the_next_one_is_told_to_wait() -> None:
    started = 0
    go_on = asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        nonlocal started
        started += 1
        await go_on.wait()
        await echo(scope, receive, send)

    async with live(slow, FrontDoor(limits=SMALL)) as at:
        asking = await connect(at, 12, sent=GET)
        await until("twelve requests have begun", lambda: started == 12)
        answer = await at.ask(GET)
        assert (answer.status, "retry-after: 1" in answer.head) == (503, True)
        [elsewhere] = await connect(at, 1, sent=GET, source="127.0.0.9")
        go_on.set()
        assert [(await raw.answer()).status for raw in [*asking, elsewhere]] == [200] * 13


async def test_a_proxy_s_address_has_no_limit_of_its_own() -> None:
    async with live(echo, FrontDoor(networks_of(["127.0.0.1"]), PATIENT)) as at:
        await connect(at, 200)
        await settle(at, 200)


async def test_anonymous_connections_are_idle_for_a_shorter_time_while_many_are_open() -> None:
    limits = Limits(anonymous=8, waiting_per_address=8, crowded_keep_alive_seconds=0, head_seconds=600)
    async with live(echo, FrontDoor(limits=limits)) as at:
        [early] = await connect(at, 1, sent=GET)
        assert (await early.answer()).status == 200
        await connect(at, 4)
        [late] = await connect(at, 1, sent=GET)
        assert (await late.answer()).status == 200
        assert await late.rest() == b""
        await early.send(GET)
        assert (await early.answer()).status == 200


async def test_pipelined_requests_keep_no_place_while_many_connections_are_open() -> None:
    """A connection with 200 requests in its buffer was never idle, so 512 of them kept signed-in people out."""
    async with live(echo, FrontDoor(limits=Limits(anonymous=8, waiting_per_address=8, head_seconds=600))) as at:
        [early] = await connect(at, 1, sent=GET * 3)
        assert [(await early.answer()).status for _ in range(3)] == [200] * 3
        await connect(at, 4)
        [late] = await connect(at, 1, sent=GET * 3)
        assert (await late.answer()).status == 200
        assert await late.rest() == b""


async def test_a_flood_is_a_line_in_the_log() -> None:
    began = time.monotonic()
    with structlog.testing.capture_logs() as logs:
        async with live(echo, FrontDoor(limits=SMALL)) as at:
            await connect(at, 60)
            await settle(at, 8)
    lines = [entry["event"] for entry in logs].count("connections_limited")
    assert 1 <= lines <= 1 + (time.monotonic() - began) / LOG_SECONDS


def test_what_counts_as_one_address() -> None:
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("") == network_of("")


@pytest.mark.parametrize("proxy", ["192.0.2.7", "192.0.2.0/24", "::ffff:192.0.2.7", "::ffff:192.0.2.0/120"])
def test_a_proxy_is_known_however_its_address_is_written(proxy: str) -> None:
    for address, is_known in (
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::7", False),
    ):
        assert is_trusted(address, networks_of([proxy])) is is_known


async def test_a_web_socket_counts_until_it_is_closed() -> None:
    async def accept(scope: dict[str, str], receive: Any, send: Any) -> None:
        assert (scope["type"], (await receive())["type"]) == ("websocket", "websocket.connect")
        await send({"type": "websocket.accept"})
        await receive()

    door = FrontDoor()
    async with live(accept, door) as at:
        raw = await at.connect()
        await raw.send(HALF + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + HANDSHAKE + b"\r\n")
        assert (await raw.begin()).status == 101
        assert door.anonymous == 1
        raw.close()
        await until("the web socket is not counted any more", lambda: door.anonymous == 0)


# -- Who has signed in


def signed_in(browser: Browser, path: str = "/") -> bytes:
    """A request of this person."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Cookie: parley={browser.cookie}", "", ""]
    return "\r\n".join(lines).encode()


async def test_a_connection_with_a_session_is_not_anonymous(app: Litestar, alice: Browser) -> None:
    door = FrontDoor(limits=SMALL)
    async with live(app, door) as at:
        for _ in range(30):
            raw = await at.connect()
            await raw.send(signed_in(alice))
            assert (await raw.answer()).status == 200
        assert (at.open, door.anonymous) == (30, 0)


async def test_of_signed_in_people_s_idle_connections_there_is_an_end_too(app: Litestar, alice: Browser) -> None:
    limits = Limits(signed_in_waiting=8, burst_seconds=0.05)
    async with live(app, FrontDoor(limits=limits)) as at:
        streams = await connect(at, 10, sent=signed_in(alice, "/models/events"))
        for raw in streams:
            assert (await raw.begin()).status == 200
        idle = await connect(at, 12, sent=signed_in(alice))
        for raw in idle:
            assert (await raw.answer()).status == 200
        assert await closed(idle, 4) == [b""] * 4
        await settle(at, 18)
        assert not any(raw.is_closed() for raw in streams)


async def test_of_signed_in_people_s_half_sent_bodies_there_is_an_end(
    app: Litestar, alice: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is looked up before a large body has come. Such connections counted as busy and had no limit."""
    # None of them is refused because it is slow.
    monkeypatch.setattr(form_reader, "Deadline", functools.partial(Deadline, most_seconds=600.0, grace_seconds=600.0))
    length = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 70000\r\n\r\na"
    half = signed_in(alice, "/threads").replace(b"GET", b"POST")[:-2] + length
    door = FrontDoor(limits=Limits(signed_in_waiting=8, burst_seconds=0.05))
    async with live(app, door) as at:
        said = await closed(await connect(at, 12, sent=half), 4)
        assert [answer[:12] for answer in said] == [b"HTTP/1.1 503"] * 4
        await settle(at, 8)
        assert door.anonymous == 0
        assert (await at.ask(signed_in(alice))).status == 200


async def test_pages_that_all_may_see_make_nobody_known(app: Litestar, alice: Browser) -> None:
    door = FrontDoor(limits=SMALL)
    async with live(app, door) as at:
        for request in (GET, signed_in(alice, "/health"), signed_in(alice).replace(b"parley=", b"parley=x")):
            raw = await at.connect()
            await raw.send(request)
            assert (await raw.answer()).status in (200, 303)
        assert door.anonymous == 3


async def test_during_a_flood_who_has_signed_in_gets_in_and_stays(app: Litestar, alice: Browser) -> None:
    async with live(app, FrontDoor(limits=SMALL)) as at:
        mine = await at.connect()
        await mine.send(signed_in(alice))
        assert (await mine.answer()).status == 200

        async def flood() -> None:
            for n in range(2_000):
                with contextlib.suppress(OSError):
                    await connect(at, 1, source=f"127.0.2.{n % 200 + 1}")

        flooding = asyncio.create_task(flood())
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert (await at.ask(signed_in(alice))).status == 200
        await mine.send(signed_in(alice))
        assert (await mine.answer()).status == 200
        flooding.cancel()
        await asyncio.wait([flooding])


async def test_200_streams_of_many_people_come_through_one_proxy(app: Litestar, alice: Browser, bob: Browser) -> None:
    door = FrontDoor(networks_of(["127.0.0.1"]))
    async with live(app, door) as at:
        streams = []
        for n in range(200):
            streams.append(await at.connect())
            await streams[-1].send(signed_in((alice, bob)[n % 2], "/models/events"))
        for raw in streams:
            assert (await raw.begin()).status == 200
        assert (at.open, door.anonymous) == (200, 0)
