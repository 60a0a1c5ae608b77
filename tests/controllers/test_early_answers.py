"""Over a real socket: answers that go out before their request has come, and bodies that never do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from app.controllers.receiving import Deadline, EarlyAnswer
from app.settings import settings
from tests.controllers.guarded import Visitor, serving
from tests.watching import SECONDS, within

HEAD = "{method} {path} HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/x-www-form-urlencoded\r\n{more}\r\n"


@pytest.fixture
async def place(visitor: Visitor) -> AsyncIterator[str]:
    async with serving(visitor.app) as where:
        yield where


@contextlib.asynccontextmanager
async def dialled(
    place: str, path: str, more: str, *, method: str = "POST"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*place.split(":"))
    writer.write(HEAD.format(method=method, path=path, place=place, more=more).encode())
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_of(reader: asyncio.StreamReader) -> int:
    async with within("an answer begins"):
        return int((await reader.readline()).split()[1])


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "/nowhere", "Content-Length: 4000000\r\n", 404),
        ("PUT", "/form", "Content-Length: 4000000\r\n", 405),
        ("POST", "/echo", "Content-Length: 4000001\r\n", 413),
        ("POST", "/echo", "Content-Length: 999999999999\r\n", 413),
        ("POST", "/echo", "Content-Length: 9\r\nOrigin: http://evil.example\r\n", 403),
        ("POST", "/nowhere", "Transfer-Encoding: chunked\r\n", 404),
    ],
)
async def test_a_refusal_comes_before_a_byte_of_the_body(
    place: str, method: str, path: str, more: str, status: int
) -> None:
    async with dialled(place, path, more, method=method) as (reader, _writer):
        assert await status_of(reader) == status
        async with within("its head is complete"):
            head = await reader.readuntil(b"\r\n\r\n")
    assert b"connection: close" in head


async def test_the_answer_is_read_by_a_client_that_sends_first(place: str) -> None:
    """As browsers do: whoever closed at once would have its answer dropped."""
    async with httpx.AsyncClient(base_url=f"http://{place}", timeout=SECONDS) as client:
        for size in (10, 500_000, settings.max_body_bytes + 1, 10 * settings.max_body_bytes):
            answer = await client.post("/nowhere", content=b"x" * size)
            assert answer.status_code == 404
            assert "There is nothing here" in answer.text
        assert (await client.get("/form")).status_code == 200


async def test_who_waits_to_be_told_to_go_on_is_answered_at_once(place: str) -> None:
    more = "Content-Length: 4000000\r\nExpect: 100-continue\r\n"
    async with dialled(place, "/nowhere", more) as (reader, _writer), within("the answer ends"):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"100 Continue" not in answer


async def test_who_goes_away_half_way_leaves_nothing(place: str, visitor: Visitor) -> None:
    token = await visitor.csrf()
    more = f"Content-Length: 60000\r\nCookie: parley={visitor.cookie}\r\nX-CSRF-Token: {token}\r\n"
    for _ in range(20):
        async with dialled(place, "/echo", more) as (_reader, writer):
            writer.write(b"a=" + b"x" * 30_000)
            await writer.drain()
    async with httpx.AsyncClient(base_url=f"http://{place}", timeout=SECONDS) as client:
        answer = await client.post(
            "/echo", data={"a": "1"}, headers={"cookie": f"parley={visitor.cookie}", "x-csrf-token": token}
        )
    assert answer.json()["form"] == {"a": ["1"]}


async def test_what_is_thrown_away_is_not_waited_for_for_ever() -> None:
    sent = []

    async def receive() -> object:
        await asyncio.Event().wait()
        return None

    async def send(message: object) -> None:
        sent.append(message)

    early = EarlyAnswer(receive, send, may_wait=True, deadline=Deadline(grace_seconds=0.05))  # type: ignore[arg-type]
    async with within("the rest of the request is given up"):
        await early.send({"type": "http.response.start", "status": 404, "headers": []})
        await early.send({"type": "http.response.body", "body": b"gone", "more_body": False})
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * 2]  # type: ignore[index]
    assert [message.get("more_body") for message in sent] == [None, True, False]  # type: ignore[attr-defined]
