"""The border: bodies of every size and kind, names that we answer to, proxies that we believe."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from litestar import Litestar

from app.controllers.border import OtherOrigin, check_origin
from app.controllers.guard import Guard
from app.controllers.receiving import Deadline, Incoming
from app.errors import Malformed
from app.settings import current
from tests.controllers.guarded import FORM, Visitor, guarded
from tests.controllers.lines import Line
from tests.controllers.raw import live

# -- Bodies


async def test_a_body_over_the_limit_is_refused_with_the_limit() -> None:
    async with Visitor(max_body_bytes=20_000) as browser:
        assert (await browser.post("/echo", data={"a": "x" * 19_000})).status_code == 200
        for body in (b"a=" + b"x" * 20_000, b"x" * 1_000_000):
            answer = await browser.post("/echo", content=body, headers=FORM)
            assert answer.status_code == 413
            assert "at most 20,000 bytes" in answer.text
            assert answer.headers["connection"] == "close"


async def test_a_chunked_body_over_the_limit_is_refused_too() -> None:
    async def chunks(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield b"a" * 1_000

    async with Visitor(max_body_bytes=20_000) as browser:
        assert (await browser.post("/echo", content=chunks(19), headers=FORM)).status_code == 200
        answer = await browser.post("/echo", content=chunks(21), headers=FORM)
        assert answer.status_code == 413
        assert "content-length" not in answer.request.headers


async def read_all(incoming: Incoming) -> None:
    while await incoming.read():
        pass


async def test_an_endless_body_is_not_read_for_ever() -> None:
    sent = 0

    async def receive() -> Any:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 1_000, "more_body": True}

    incoming = Incoming(receive, most_bytes=10_000, deadline=Deadline())
    with pytest.raises(Exception, match="at most 10,000 bytes"):
        await read_all(incoming)
    assert sent == 11


async def test_a_body_that_never_arrives_is_given_up() -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(Malformed, match="too long to arrive"):
        await Incoming(receive, most_bytes=10_000, deadline=Deadline(grace_seconds=0.01)).read()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=\xff", "application/x-www-form-urlencoded"),
        (b"a=%FF", "application/x-www-form-urlencoded"),
        (b"a=%ED%A0%80", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=%d" % n for n in range(1_001)), "application/x-www-form-urlencoded"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (b"a=1", "text/plain"),
        (b'{"a": 1}', "application/json"),
        (b"a=1", ""),
        (b"<a/>", "application/xml"),
    ],
)
async def test_a_malformed_body_is_said_to_be(visitor: Visitor, body: bytes, kind: str) -> None:
    answer = await visitor.post("/echo", content=body, headers={"content-type": kind})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", {}),
        (b"a", {"a": [""]}),
        (b"a=1&a=2&b=", {"a": ["1", "2"], "b": [""]}),
        (b"a=%00x%00", {"a": ["x"]}),
        (b"a=%zz+%F0%9F%98%80", {"a": ["%zz \N{GRINNING FACE}"]}),
        (b"&&;=", {";": [""]}),
    ],
)
async def test_a_form_is_read_once_and_cleaned(visitor: Visitor, body: bytes, form: dict[str, list[str]]) -> None:
    answer = await visitor.post("/echo", content=body, headers=FORM)
    assert answer.status_code == 200
    assert answer.json()["form"] == form


# -- Hosts and proxies


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "localhost.evil", "a,b", ""]
)
async def test_a_loopback_instance_answers_to_no_other_name(visitor: Visitor, host: str) -> None:
    answer = await visitor.get("/form", headers={"host": host})
    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "parley.localhost:8000"])
async def test_a_loopback_instance_answers_to_this_machine_s_names(visitor: Visitor, host: str) -> None:
    assert (await visitor.get("/form", headers={"host": host})).status_code == 200


async def test_a_public_name_is_known_by_a_setting() -> None:
    async with Visitor(public_url="https://chat.example.org") as browser:
        assert (await browser.get("/form", headers={"host": "chat.example.org"})).status_code == 200
        assert (await browser.get("/form", headers={"host": "evil.example"})).status_code == 400
    async with Visitor(host="0.0.0.0") as browser:
        assert (await browser.get("/form", headers={"host": "any.example"})).status_code == 200


PUBLIC = {"host": "0.0.0.0", "public_url": "https://chat.example.org:8443"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("chat.example.org:8443", 200),
        ("CHAT.example.org", 200),
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 400),
        ("chat.example.org.evil.example", 400),
        ("192.0.2.7:8000", 400),
        ("chat.example.org.", 400),
    ],
)
async def test_where_there_is_a_public_url_no_other_name_is_answered(host: str, status: int) -> None:
    for proxies in ((), ("127.0.0.1",)):
        async with Visitor(**PUBLIC, trusted_proxies=proxies) as browser:
            answer = await browser.get("/form", headers={"host": host, "x-forwarded-host": "chat.example.org"})
            assert answer.status_code == status
            if status == 400:
                assert "public URL only" in answer.text
                assert answer.headers["connection"] == "close"


async def test_monitors_may_ask_by_the_address_that_we_listen_to(app: Litestar) -> None:
    guard: Any = app.asgi_handler
    app.asgi_handler = Guard(guard._app, msgspec.structs.replace(current(), **PUBLIC))
    asked = (("/health", "127.0.0.5", 200), ("/health", "127.0.0.6", 400), ("/health", "evil.example", 400))
    async with live(app, host="127.0.0.5") as at:
        for path, host, status in (*asked, ("/sign-in", "127.0.0.5", 400), ("/health/", "127.0.0.5", 400)):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}:{at.port}\r\n\r\n"
            assert (await at.ask(request.encode())).status == status, (path, host)


@pytest.mark.parametrize(
    ("server", "host", "status"),
    [("::ffff:192.0.2.7", "192.0.2.7", 200), ("::ffff:192.0.2.7", "192.0.2.8", 400), ("2001:db8::7", "[2001:DB8:0::7]", 200),
     ("::ffff:192.0.2.7", "", 400)],
)  # fmt: skip
async def test_monitors_may_ask_a_socket_for_both_families(app: Litestar, server: str, host: str, status: int) -> None:
    guard: Any = app.asgi_handler
    app.asgi_handler = Guard(guard._app, msgspec.structs.replace(current(), **PUBLIC))
    one = Line(app, "/health", {"host": host}, method="GET")
    one.scope["server"] = (server, 8000)
    assert await one.status() == status
    await one.end()


async def test_a_worker_is_asked_by_any_name() -> None:
    for changes, status in ((PUBLIC, 200), ({"public_url": "https://chat.example.org"}, 400)):
        async with Visitor(**changes) as browser:
            browser.app.asgi_handler._has_pages = False  # type: ignore[attr-defined]
            assert (await browser.get("/form", headers={"host": "worker-1:9100"})).status_code == status


BAD_HOSTS = [
    "localhost:", "localhost:abc", "localhost:0", "localhost:65536", "localhost:999999", "localhost:-1", "localhost:8000:1",
    "localhost:+80", "localhost:８０", "a@localhost", "localhost@evil.example", "local host", "localhost ,a", "localhost/x",
    "localhost?x", "localhost#x", "localhost\\x", "local\tost", "localhost\x7f", "loc\u00e4lhost", "%6cocalhost", "[::1",
    "[::1]x", "[]", "::1", "http://localhost", "localhost;a", "'localhost'", "*", ":8000",
]  # fmt: skip


@pytest.mark.parametrize("host", BAD_HOSTS)
async def test_a_host_that_may_be_read_in_two_ways_is_refused(host: str) -> None:
    for changes in ({}, {"host": "0.0.0.0"}, PUBLIC):
        async with Visitor(**changes) as browser:
            answer = await browser.get("/form", headers={"host": host.encode()})
            assert answer.status_code == 400
            assert "no valid Host header" in answer.text


@pytest.mark.parametrize(
    "hosts",
    [("localhost", "localhost"), ("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "")],
)
async def test_two_hosts_are_refused_whichever_of_them_is_ours(hosts: tuple[str, str]) -> None:
    async with live(guarded(host="0.0.0.0")) as at:
        raw = await at.connect()
        fields = "".join(f"Host: {host}\r\n" for host in hosts)
        await raw.send(f"GET /visit HTTP/1.1\r\n{fields}\r\n".encode())
        answer = await raw.answer()
        assert (answer.status, "connection: close" in answer.head) == (400, True)
        assert await raw.rest() == b""


async def test_an_address_within_another_family_is_the_same() -> None:
    async with Visitor(host="0.0.0.0", peer="::ffff:192.0.2.1", trusted_proxies=("192.0.2.0/24",)) as browser:
        assert (await browser.get("/visit", headers=FORWARDED)).json()["address"] == "198.51.100.2"


FORWARDED = {"x-forwarded-for": "203.0.113.9, 198.51.100.2", "x-forwarded-proto": "https"}


async def test_only_a_trusted_proxy_says_where_a_request_comes_from() -> None:
    async with Visitor(host="0.0.0.0", peer="192.0.2.1") as browser:
        answer = (await browser.get("/visit", headers=FORWARDED)).json()
        assert answer == {"address": "192.0.2.1", "scheme": "http"}
    async with Visitor(host="0.0.0.0", peer="192.0.2.1", trusted_proxies=("192.0.2.0/24",)) as browser:
        answer = (await browser.get("/visit", headers=FORWARDED)).json()
        assert answer == {"address": "198.51.100.2", "scheme": "https"}
    both = ("192.0.2.1", "198.51.100.2")
    async with Visitor(host="0.0.0.0", peer="192.0.2.1", trusted_proxies=both) as browser:
        assert (await browser.get("/visit", headers=FORWARDED)).json()["address"] == "203.0.113.9"


SENDERS = {
    "198.51.100.2": "198.51.100.2",
    "198.51.100.2:49152": "198.51.100.2",
    "203.0.113.9, 198.51.100.2:49152, 192.0.2.1:443": "198.51.100.2",
    "::ffff:198.51.100.2": "198.51.100.2",
    "[::ffff:198.51.100.2]:443": "198.51.100.2",
    "2001:DB8:0::0001": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    '"[2001:db8::1]:49152"': "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "198.51.100.2, , ": "198.51.100.2",
    "198.51.100.2, unknown": "192.0.2.1",
    "_hidden": "192.0.2.1",
    "999.1.1.1": "192.0.2.1",
    "198.51.100.2:80:80": "192.0.2.1",
    "x" * 5_000: "192.0.2.1",
    "": "192.0.2.1",
}


async def test_an_address_is_counted_once_however_a_proxy_writes_it() -> None:
    """With the port in it, every connection had an address of its own, and sign-ins from it had no limit."""
    async with Visitor(host="0.0.0.0", peer="::ffff:192.0.2.1", trusted_proxies=("192.0.2.0/24",)) as browser:
        for forwarded, address in SENDERS.items():
            answer = await browser.get("/visit", headers={"x-forwarded-for": forwarded})
            assert answer.json()["address"] == address, forwarded


async def test_an_ipv4_visitor_of_a_socket_for_both_families_is_not_all_of_them() -> None:
    """`::ffff:192.0.2.1` is in the same /64 network as every other IPv4 address: all shared one limit of sign-ins."""
    async with Visitor(host="::", peer="::ffff:192.0.2.1") as browser:
        assert (await browser.get("/visit")).json()["address"] == "192.0.2.1"


PUBLIC_URLS = {
    "https://bücher.example": "xn--bcher-kva.example",
    "https://Chat.Example.org.": "chat.example.org",
    "https://[2001:DB8:0::0001]:8443": "[2001:db8::1]:8443",
    "https://chat.example.org:443/": "chat.example.org",
}


@pytest.mark.parametrize("url", PUBLIC_URLS)
async def test_a_public_url_is_known_by_what_browsers_send(url: str) -> None:
    host = PUBLIC_URLS[url]
    async with Visitor(host="0.0.0.0", public_url=url) as browser:
        assert (await browser.get("/form", headers={"host": host})).status_code == 200
        assert (await browser.get("/form", headers={"host": "evil.example"})).status_code == 400
    check_origin("10.0.0.7:8000", f"https://{host}", "", url)
    with pytest.raises(OtherOrigin):
        check_origin("10.0.0.7:8000", f"http://{host}", "", url)


async def test_an_instance_on_another_loopback_address_is_asked_by_it() -> None:
    app = guarded(host="127.0.0.5")
    async with live(app, host="127.0.0.5") as at:
        for host, status in (("127.0.0.5", 200), ("localhost", 200), ("127.0.0.6", 400), ("evil.example", 400)):
            assert (await at.ask(f"GET /visit HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())).status == status, host
