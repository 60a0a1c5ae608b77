"""Heads of requests on raw sockets: how large, how many fields, how slow, one behind the other, and in which dress."""

import asyncio
import contextlib
import socket
import time

import pytest

from app.cli.connection import LINGER_SECONDS
from app.cli.front_door import FrontDoor, Limits
from tests.controllers.raw import echo, live
from tests.watching import until, within

HOST = b"Host: localhost\r\n"
LIMITS = Limits()


def head(size: int) -> bytes:
    """A GET whose head has so many bytes."""
    bare = b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: \r\n\r\n"
    return bare.replace(b"X-Long: ", b"X-Long: " + b"x" * (size - len(bare)))


def fields(count: int) -> bytes:
    """A GET with so many fields."""
    return b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(count - 1)) + b"\r\n"


def line(size: int) -> bytes:
    """A GET whose head has so many bytes, nearly all of them in the request line."""
    bare = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    return bare.replace(b"/ ", b"/" + b"x" * (size - len(bare)) + b" ", 1)


@pytest.mark.parametrize("make", [head, line])
@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 431), (200_000, 431)])
async def test_a_head_may_have_32_kilobytes(make: object, over: int, status: int) -> None:
    async with live(echo) as at:
        answer = await at.ask(make(LIMITS.head_bytes + over))  # type: ignore[operator]
        assert answer.status == status


@pytest.mark.parametrize(("count", "status"), [(99, 200), (100, 200), (101, 431), (5_000, 431)])
async def test_a_head_may_have_100_fields(count: int, status: int) -> None:
    async with live(echo) as at:
        assert (await at.ask(fields(count))).status == status


async def test_a_refusal_is_plain_has_our_headers_and_ends_the_connection() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        await raw.send(head(LIMITS.head_bytes + 1) + b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = await raw.answer()
        assert b"too large" in answer.body
        for header in ("connection: close", "x-content-type-options: nosniff", "cache-control: no-store", "text/plain"):
            assert header in answer.head
        assert await raw.rest() == b""
        await at.until_open(0)


async def test_what_comes_after_the_limit_is_not_read() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        await raw.send(b"GET / HTTP/1.1\r\nX-Long: ")
        sent = 0
        for _ in range(60):
            await raw.send(b"x" * 1_000_000)
            sent += 1
            if raw.is_closed():
                break
        assert sent < 60
        await at.until_open(0)


async def test_a_refusal_reaches_who_still_sends_and_reads_late() -> None:
    """Closing with unread bytes resets a connection, and then the refusal is lost on its way."""
    async with live(echo) as at:
        loop = asyncio.get_running_loop()
        with socket.create_connection((at.host, at.port)) as late:
            late.setblocking(False)
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    await loop.sock_sendall(late, head(LIMITS.head_bytes // 4)[:-2])
                    await asyncio.sleep(0.01)
            async with within("the refusal arrives"):
                assert (await loop.sock_recv(late, 1_000)).startswith(b"HTTP/1.1 431")
            assert at.open == 1 or time.monotonic() - began > LINGER_SECONDS, (
                "the server closed before its peer had read"
            )
        await at.until_open(0)


async def test_who_only_sends_on_after_a_refusal_is_cut_off() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        await raw.send(head(LIMITS.head_bytes + 1))
        assert (await raw.answer()).status == 431
        await at.until_open(0)


async def test_a_head_that_comes_byte_by_byte_costs_no_more_and_is_answered() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        for byte in b"GET /slowly HTTP/1.1\r\n" + HOST + b"\r\n":
            await raw.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await raw.answer()).body == b"GET /slowly 0"


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\n" + HOST, b"\r\n\r\n\r\n"])
async def test_a_head_that_is_not_complete_in_time_ends_the_connection(sent: bytes) -> None:
    async with live(echo, FrontDoor(limits=Limits(head_seconds=0.3))) as at:
        raw = await at.connect()
        await raw.send(sent)
        assert (await raw.rest())[:12] in (b"", b"HTTP/1.1 408")


async def test_sending_on_gives_no_more_time() -> None:
    async with live(echo, FrontDoor(limits=Limits(head_seconds=0.3))) as at:
        raw = await at.connect()
        await raw.send(b"GET / HTTP/1.1\r\n")
        async with within("a head that grows is given up"):
            while at.open or not raw.is_closed():
                await raw.send(b"X: y\r\n")
                await asyncio.sleep(0.01)
        assert (await raw.rest()).startswith(b"HTTP/1.1 408")


async def test_a_kept_connection_may_be_idle_and_then_has_as_long_for_its_next_head() -> None:
    """From each head on the limit is short; only while one is sent it is long, however late a busy machine sends it."""
    door = FrontDoor(limits=LIMITS)

    async def app(scope: object, receive: object, send: object) -> None:
        door.limits = Limits(head_seconds=0.2)
        await echo(scope, receive, send)

    async with live(app, door) as at:
        raw = await at.connect()
        await raw.send(b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await raw.answer()).status == 200
        await asyncio.sleep(0.5)
        door.limits = LIMITS
        await raw.send(b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await raw.answer()).body == b"GET /2 0"
        await raw.send(b"GET /3 HTTP/1.1\r\n")
        assert (await raw.rest()).startswith(b"HTTP/1.1 408")


# -- One behind the other


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        with_body = b"POST /%d HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
        await raw.send(b"".join((b"GET /%d HTTP/1.1\r\n" + HOST + b"\r\n") % n + with_body % n for n in range(50)))
        answers = [(await raw.answer()).body for _ in range(100)]
        assert answers == [text % n for n in range(50) for text in (b"GET /%d 0", b"POST /%d 3")]


async def test_pipelined_requests_are_no_reason_to_work_ahead() -> None:
    """Ten thousand in one packet: one is under way, and as much is kept of the others as a head may have."""
    started = 0
    go_on = asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        nonlocal started
        started += 1
        await go_on.wait()
        await echo(scope, receive, send)

    async with live(slow) as at:
        raw = await at.connect()
        await raw.send((b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n") * 10_000)
        await (await at.connect()).send(b"GET /y HTTP/1.1\r\n" + HOST + b"\r\n")
        await until("a request of each connection has begun", lambda: started >= 2)
        assert started == 2
        go_on.set()
        answer = await raw.answer()
        assert "connection: close" in answer.head
        assert await raw.rest() == b""


async def test_a_pipelined_head_has_the_same_limits() -> None:
    async with live(echo) as at:
        for second, status in ((head(LIMITS.head_bytes), 200), (fields(101), 431)):
            raw = await at.connect()
            await raw.send(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n" + second)
            assert (await raw.answer()).body == b"GET /first 0"
            assert (await raw.answer()).status == status


async def test_what_stands_behind_a_chunked_body_is_not_taken_for_a_request() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        chunked = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        await raw.send(chunked)
        assert (await raw.answer()).body == b"POST / 3"
        await raw.send(chunked + b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await raw.answer()).body == b"POST / 3"
        assert await raw.rest() == b""


async def test_a_body_that_nobody_waited_for_does_not_keep_the_connection() -> None:
    async with live(echo) as at:
        raw = await at.connect()
        await raw.send(b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\nabc")
        assert (await raw.answer()).status == 200
        assert await raw.rest() == b""


# -- What frames a chunked body


FRAMES = (
    (b"0\r\n" + b"X-A: b\r\n" * 10 + b"\r\n", 200),
    (b"0\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n", 431),
    (b"0\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    (b"1;" + b"x" * 1_000 + b"\r\na\r\n0\r\n\r\n", 200),
    (b"1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n", 431),
    (b"1\r\na\r\n" * 1_000 + b"0\r\n\r\n", 200),
    (b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n", 431),
    (b"4000\r\n" + b"a" * 0x4000 + b"\r\n0\r\n\r\n", 200),
    ((b"20\r\n" + b"a" * 32 + b"\r\n") * 10_000 + b"0\r\n\r\n", 200),
)


async def test_extensions_and_trailers_are_limited_as_a_head_is() -> None:
    start = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    async with live(echo) as at:
        for frame, status in FRAMES:
            assert (await at.ask(start + frame)).status == status, frame[:20]


async def test_a_trailer_is_no_header() -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: dict[str, list[tuple[bytes, bytes]]], receive: object, send: object) -> None:
        await echo(scope, receive, send)
        seen.append(scope["headers"])

    async with live(app) as at:
        chunks = b"3\r\nabc\r\n0\r\nCookie: parley=x\r\nHost: evil.example\r\n\r\n"
        await at.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert seen == [[(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]]


# -- Dresses in which two programs may see two different requests

POST = b"POST / HTTP/1.1\r\n" + HOST
SMUGGLED = {
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a hexadecimal length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "an empty length": POST + b"Content-Length: \r\n\r\nabc",
    "a length beyond all numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "a length, then chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, then a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "no coding": POST + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n",
    "a vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a hexadecimal chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk beyond all numbers": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff3\r\nabc\r\n0\r\n\r\n",
    "a line feed in an extension": POST + b"Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
    "a chunk without its end": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
    "a body before an upgrade": POST + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
    "chunks before an upgrade": POST
    + b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "a carriage return in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\rX-C: d\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\0c\r\n\r\n",
    "a line without a colon": b"GET / HTTP/1.1\r\n" + HOST + b"abc\r\n\r\n",
    "line feeds alone": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "one line feed alone": b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "an empty line of a line feed": b"GET / HTTP/1.1\r\nHost: localhost\r\n\nGET /hidden HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "another version": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the target": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a small method": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address of another host": b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address with a user": b"GET http://localhost@evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address of another port": b"GET http://localhost:1/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address of two hosts": b"GET http://localhost/ HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "another scheme": b"GET ftp://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
}


async def test_what_may_be_read_in_two_ways_is_refused_and_the_connection_closed() -> None:
    async with live(echo) as at:
        for name, request in SMUGGLED.items():
            raw = await at.connect()
            await raw.send(request)
            answer = await raw.answer()
            assert (answer.status, "connection: close" in answer.head) == (400, True), name
            assert await raw.rest() == b"", name


MEANT_WELL = (
    (b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", b"GET / 0"),
    (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", b"GET / 0"),
    (b"GET http://LOCALHOST/x?y HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /x 0"),
    (b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n", b"GET / 0"),
    (POST + b"Content-Length: 3\r\n\r\nabc", b"POST / 3"),
    (POST + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"POST / 3"),
    (POST + b"\r\n", b"POST / 0"),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"GET / 0"),
)


async def test_what_is_meant_well_is_answered() -> None:
    async with live(echo) as at:
        for request, body in MEANT_WELL:
            assert (await at.ask(request)).body == body


async def test_no_head_holds_the_loop() -> None:
    """As the processor's own time, on which other programs have no influence: a tenth of it was a 60 MB header's."""
    async with live(echo) as at:
        await at.ask(head(100))
        for one in (head(LIMITS.head_bytes), fields(100), b"GET / HTTP/1.1\r\n" + b"a" * 60_000_000):
            raw = await at.connect()
            began = time.process_time()
            await raw.send(one)
            await raw.send(b"\r\n\r\n")
            raw.finish()
            await raw.rest()
            assert time.process_time() - began < 1.0
