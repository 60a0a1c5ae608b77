"""Bodies: read after routing, as each route declares; a stranger's large body is refused before it is read."""

import asyncio
import pathlib
import re
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar, Request, post

from app.controllers.bodies import FileStream, Form, JsonWithKey, body_of
from app.controllers.form_body import SLICE_BYTES, parse_form
from app.controllers.guard import DEPENDENCIES, CurrentPrincipal, CurrentUser
from app.controllers.json_body import read_json
from app.controllers.receiving import MOST_IN_FLIGHT_BYTES, STRANGERS_BYTES, Deadline, Hold, Incoming, InFlight
from app.controllers.uploads import CHUNK_BYTES, upload_of
from app.controllers.visit import visit_of
from app.errors import Malformed, Unavailable
from app.main import create_app
from app.principals import Principal
from app.settings import settings
from tests.controllers.guarded import FORM, Visitor
from tests.controllers.lines import Line, line
from tests.people import Browser, add_user
from tests.watching import until, within

TEMPLATES = pathlib.Path(__file__).parents[2] / "templates"
KEYS = {"right": Principal(kind="api_key", person=uuid.UUID(int=1))}
LIMIT = 1_000_000


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Open(msgspec.Struct):
    text: str


async def principal_of(key: str) -> Principal | None:
    return KEYS.get(key)


@post("/upload", opt={"body": FileStream(most_bytes=LIMIT)}, status_code=200)
async def upload(request: Request[Any, Any, Any], current_principal: CurrentPrincipal) -> dict[str, Any]:
    sent, files, largest = upload_of(request), [], 0
    async for file in sent.files():
        size = 0
        while chunk := await file.read():
            size, largest = size + len(chunk), max(largest, len(chunk))
        files.append([file.field, file.filename, size])
    return {"files": files, "fields": sent.fields, "largest": largest, "person": str(current_principal.person)}


@post("/careless", opt={"body": FileStream(most_bytes=LIMIT)}, status_code=200)
async def careless(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"files": [file.filename async for file in upload_of(request).files()]}


@post("/notes", opt={"body": JsonWithKey(principal_of, most_bytes=20_000)}, status_code=200)
async def notes(request: Request[Any, Any, Any], current_principal: CurrentPrincipal) -> dict[str, Any]:
    return {"text": read_json(request, Note).text, "kind": current_principal.kind}


@post("/open", opt={"body": JsonWithKey(principal_of)}, status_code=200)
async def open_note(request: Request[Any, Any, Any]) -> None:
    read_json(request, Open)


@post("/small", opt={"body": Form(most_bytes=100)}, status_code=200)
async def small(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"form": visit_of(request).form}


@post("/persons", opt={"body": JsonWithKey(principal_of)}, status_code=200)
async def persons_own(current_user: CurrentUser) -> str:
    return current_user.name


ROUTES = (persons_own, upload, careless, notes, open_note, small)


@pytest.fixture
async def stranger() -> AsyncIterator[Visitor]:
    async with Visitor(*ROUTES) as visitor:
        yield visitor


@pytest.fixture
async def member(database: str) -> AsyncIterator[Visitor]:
    async with Visitor(*ROUTES) as visitor:
        await visitor.sign_in_as(await add_user("Alice"))
        visitor.form_path = "/form"
        yield visitor


# -- Every route says what it takes


def unsafe_handlers() -> list[Any]:
    app = create_app(settings, with_worker=False)
    found = {id(one): one for route in app.routes for one in getattr(route, "route_handlers", ())}
    return [handler for handler in found.values() if {"POST", "PUT", "PATCH", "DELETE"} & handler.http_methods]


def test_every_route_that_changes_something_takes_a_form_unless_it_says_otherwise() -> None:
    handlers = unsafe_handlers()
    assert len(handlers) > 50
    for handler in handlers:
        assert isinstance(body_of(handler), Form), handler
        # Litestar would parse a body of its own: nothing asks it to.
        assert "data" not in handler.parsed_fn_signature.parameters


def test_a_route_cannot_say_nonsense() -> None:
    wrong = post("/x", opt={"body": "json"})(small.fn)
    with pytest.raises(TypeError, match="opt"):
        body_of(Litestar([wrong], dependencies=DEPENDENCIES).routes[0].route_handlers[0])  # type: ignore[union-attr]


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/nowhere", 404), ("PUT", "/form", 405)])
async def test_what_no_route_takes_is_answered_before_it_is_read(
    stranger: Visitor, method: str, path: str, status: int
) -> None:
    one = Line(stranger.app, path, {**FORM, "content-length": "4000000"}, method=method)
    assert await one.status() == status
    assert one.read == 0
    assert (b"connection", b"close") in one.answer[0]["headers"]
    one.put(b"x" * 100_000)
    await one.end()
    assert one.read == 100_000  # thrown away, so that a browser sees the answer


async def test_a_client_that_waits_to_be_told_to_go_on_is_not_waited_for(stranger: Visitor) -> None:
    one = Line(stranger.app, "/nowhere", {**FORM, "content-length": "4000000", "expect": "100-continue"})
    assert await one.status() == 404
    async with within("it is answered without its body"):
        await one.task
    assert one.answer[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_route_has_a_limit_of_its_own(stranger: Visitor) -> None:
    assert (await stranger.post("/small", data={"a": "x" * 50})).status_code == 200
    answer = await stranger.post("/small", data={"a": "x" * 100})
    assert (answer.status_code, "at most 100 bytes" in answer.text) == (413, True)


# -- Who may send how much


async def test_a_stranger_sends_little_and_is_told_before_anything_is_read(client: Browser) -> None:
    for length in ("99999999999999999999", f"{STRANGERS_BYTES + 1:030}", str(STRANGERS_BYTES + 1)):
        one = await line(client, "/sign-in", content_length=length)
        assert await one.status() == 413
        assert one.read == 0
        await one.end()
    text = b"".join(message.get("body", b"") for message in one.answer[1:])
    assert b"without signing in" in text or b"content-encoding" in str(one.answer[0]).encode()


@pytest.mark.parametrize("csrf", [None, ""], ids=["without a token", "with one"])
async def test_a_strangers_body_without_a_length_is_cut(client: Browser, csrf: str | None) -> None:
    one = await line(client, "/sign-in", csrf=csrf, transfer_encoding="chunked")
    for _ in range(STRANGERS_BYTES // 8_192 + 1):
        one.put(b"x" * 8_192)
    assert await one.status() == 413
    assert one.read == STRANGERS_BYTES + 8_192
    await one.end()


async def test_who_is_signed_in_sends_more(alice: Browser) -> None:
    for headers in ({"content_length": "300004"}, {"transfer_encoding": "chunked"}):
        one = await line(alice, "/draft", **headers)
        one.scope["method"] = "PUT"
        for _ in range(3):
            one.put(b"text=" + b"x" * 99_996 if not one.waiting.qsize() else b"x" * 100_001)
        one.put(b"", more=False)
        await one.end()
        assert await one.status() == 204 or one.answer[0]["status"] == 200


# -- The token, before the form


async def test_a_forged_form_costs_its_first_bytes_alone(alice: Browser) -> None:
    one = await line(alice, "/threads", csrf=None, content_length="4000000")
    one.put(b"_csrf=forged&text=" + b"x" * STRANGERS_BYTES)
    assert await one.status() == 403
    assert one.read <= STRANGERS_BYTES + 20
    await one.end()


async def test_a_large_form_brings_its_token_first(alice: Browser) -> None:
    token = await alice.csrf()
    text = "x" * 300_000
    first = {"_csrf": token, "title": text}
    path = f"/threads/{uuid.uuid4()}?_method=PATCH"
    assert (await alice.request("POST", path, data=first, csrf=None)).status_code == 404
    last = {"title": text, "_csrf": token}
    assert (await alice.request("POST", path, data=last, csrf=None)).status_code == 403
    assert (await alice.request("POST", path, data=last, csrf=token)).status_code == 404


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_our_own_forms_send_their_token_first(path: pathlib.Path) -> None:
    """A large form whose token comes behind its text would be refused."""
    for form in re.findall(r'<form\b[^>]*method="post".*?</form>', path.read_text(), re.DOTALL):
        first = re.search(r"csrf_field|<(?:input|textarea|select|button)\b", form)
        assert first is not None
        assert first[0] == "csrf_field" or 'name="_csrf"' in form[first.start() :].partition(">")[0], form[:80]


# -- How much is held


async def test_half_sent_bodies_are_bounded_and_others_can_still_send(member: Visitor) -> None:
    lines = [await line(member, "/echo", content_length="4000000") for _ in range(20)]
    for one in lines:
        one.put(b"a=" + b"x" * 100_000)
    refused = [one for one in lines if await _is_refused(one)]
    assert len(lines) - len(refused) == MOST_IN_FLIGHT_BYTES // 2 // 4_000_000
    assert {one.answer[0]["status"] for one in refused} == {503}
    assert all(dict(one.answer[0]["headers"])[b"retry-after"] == b"5" for one in refused)
    async with Visitor(*ROUTES) as other:
        other.app.asgi_handler = member.app.asgi_handler
        await other.sign_in_as(await add_user("Bob"))
        answer = await other.post("/echo", data={"a": "x" * 3_000_000})
        assert answer.status_code == 200
    for one in lines:
        await one.end()
    assert (await member.post("/echo", data={"a": "x" * 3_000_000})).status_code == 200


async def _is_refused(one: Line) -> bool:
    """Or received: all that was sent of its body was read."""
    await until("a body is read or refused", lambda: one.has_begun.is_set() or (one.read and one.waiting.empty()))
    return one.has_begun.is_set()


async def test_strangers_that_fill_their_share_do_not_keep_people_out(member: Visitor) -> None:
    stranger = stranger_beside(member)
    lines = [
        await line(stranger, "/echo", csrf="x", content_length=str(STRANGERS_BYTES))
        for _ in range(MOST_IN_FLIGHT_BYTES // 2 // STRANGERS_BYTES + 1)
    ]
    assert await lines[-1].status() == 503
    assert (await member.post("/echo", data={"a": "1"})).status_code == 200
    for one in lines:
        await one.end()


async def test_two_people_with_all_the_room_do_not_keep_a_question_out(member: Visitor) -> None:
    lines = []
    for name in ("Bob", "Carol"):
        other = stranger_beside(member)
        await other.sign_in_as(await add_user(name))
        lines += [await line(other, "/echo", content_length="4000000") for _ in range(8)]
    for one in lines:
        one.put(b"a=" + b"x" * 1_000)
    refused = [one for one in lines if await _is_refused(one)]
    assert len(refused) == 2  # of Carol's, so that room is left
    assert (await member.post("/echo", data={"a": "x" * 3_000_000})).status_code == 503
    assert (await member.post("/echo", data={"a": "x" * 60_000})).status_code == 200
    for one in lines:
        await one.end()


def stranger_beside(member: Visitor) -> Visitor:
    """Somebody else's browser on the same app."""
    other = Visitor(*ROUTES)
    other.app = member.app
    return other


def test_room_is_given_back_whatever_happens() -> None:
    room = InFlight(lambda: 4_000_000)
    with Hold(room) as hold:
        hold.grow_to(1_000_000)
        hold.belongs_to("alice")
        assert room.held == {"alice": 1_000_000}
        with pytest.raises(Unavailable):
            hold.grow_to(MOST_IN_FLIGHT_BYTES)
    assert room.held == {}
    # An owner who allows larger bodies than that has room for two of them.
    assert InFlight(lambda: 100_000_000).has_room("alice", 100_000_000)


# -- Slow bodies


async def read_all(incoming: Incoming) -> None:
    while await incoming.read():
        pass


async def test_a_body_comes_at_a_least_rate_within_a_deadline() -> None:
    deadline = Deadline(most_seconds=60, grace_seconds=10, least_bytes_per_second=1_000)
    assert [deadline.allowed_seconds(size) for size in (0, 5_000, 50_000, 10_000_000)] == [10, 15, 60, 60]

    async def receive() -> Any:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    slow = Incoming(
        receive, most_bytes=100_000, deadline=Deadline(grace_seconds=0.05, least_bytes_per_second=1_000_000)
    )
    with pytest.raises(Malformed, match="too long to arrive"):
        await read_all(slow)
    assert slow.size < 20


async def test_the_time_that_a_route_takes_is_not_counted() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x", "more_body": True}

    incoming = Incoming(receive, most_bytes=100, deadline=Deadline(grace_seconds=0.2, least_bytes_per_second=1_000_000))
    for _ in range(3):
        assert await incoming.read()
        await asyncio.sleep(0.1)
    assert incoming.size == 3


# -- Parsing


@pytest.mark.parametrize("start", range(4))
def test_a_form_is_the_same_however_its_escapes_meet_the_slices(start: int) -> None:
    text = "x" * (SLICE_BYTES - start) + "ü\N{GRINNING FACE}%+&= " * 20_000
    raw = b"a=" + httpx.QueryParams({"a": text}).__str__().encode().partition(b"=")[2]
    assert parse_form(raw) == {"a": [text]}


@pytest.mark.parametrize("pattern", [b"%41", b"%", b"%C3%BC"])
def test_a_form_full_of_escapes_takes_no_more_than_a_few_times_its_size(pattern: bytes) -> None:
    body = b"a=" + pattern * (500_000 // len(pattern))
    tracemalloc.start()
    parse_form(body)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(body)


# -- Files as a stream


async def test_files_come_in_chunks(member: Visitor) -> None:
    token = await member.csrf()
    files = [("a", ("one.bin", b"1" * 300_000)), ("b", ("two.bin", b"2" * 10)), ("c", ("none.bin", b""))]
    answer = await member.request("POST", "/upload", csrf=None, data={"_csrf": token, "name": "späte\0r"}, files=files)
    assert answer.status_code == 200
    said = answer.json()
    assert said["files"] == [["a", "one.bin", 300_000], ["b", "two.bin", 10], ["c", "none.bin", 0]]
    assert said["fields"] == {"name": ["später"]}
    assert said["person"] == str(member.user.id)
    assert said["largest"] <= 2 * CHUNK_BYTES
    raw = await member.post("/upload", content=b"x" * 300_000, headers={"content-type": "application/pdf"})
    assert raw.json()["files"] == [["", "", 300_000]]
    assert raw.json()["largest"] <= CHUNK_BYTES


async def test_what_a_route_does_not_read_is_passed_over(member: Visitor) -> None:
    files = [("a", ("one.bin", b"1" * 300_000)), ("b", ("two.bin", b"2" * 10))]
    assert (await member.post("/careless", files=files)).json() == {"files": ["one.bin", "two.bin"]}


async def test_a_stream_wants_its_token_first(member: Visitor) -> None:
    token = await member.csrf()
    file = {"a": ("one.bin", b"1" * 1_000)}
    assert (await member.request("POST", "/upload", csrf=None, files=file)).status_code == 403
    assert (await member.request("POST", "/upload", csrf=None, data={"_csrf": "x"}, files=file)).status_code == 403
    late = await member.request("POST", "/upload", csrf=None, data={"name": "x", "_csrf": token}, files=file)
    assert late.status_code == 403
    raw = await member.request("POST", "/upload", csrf=None, content=b"_csrf=" + token.encode(), headers=FORM)
    assert raw.status_code == 403
    assert (await member.request("POST", "/upload", csrf=token, files=file)).status_code == 200


async def test_a_stream_has_its_limit_announced_or_not(member: Visitor) -> None:
    one = await line(member, "/upload", content_length=str(LIMIT + 1))
    assert await one.status() == 413
    assert one.read == 0
    await one.end()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    answer = await member.post("/upload", content=chunks(), headers={"content-type": "application/pdf"})
    assert (answer.status_code, f"at most {LIMIT:,} bytes" in answer.text) == (413, True)


async def test_a_stranger_streams_nothing(client: Browser) -> None:
    async with Visitor(*ROUTES) as visitor:
        # A length with many zeros counted as none, and so many bytes were streamed.
        for headers in (
            {"content_length": "100000"},
            {"content_length": f"{100000:020}"},
            {"transfer_encoding": "chunked"},
        ):
            one = await line(visitor, "/upload", **headers)
            assert await one.status() == 413
            assert one.read == 0
            await one.end()


@pytest.mark.parametrize(
    "body",
    [b"", b"--b", b"--b\r\n\r\nx", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n', b"--b--\r\n",
     b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--\r\n",
     b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n'],
)  # fmt: skip
async def test_malformed_parts_are_said_to_be(member: Visitor, body: bytes) -> None:
    answer = await member.post("/upload", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code in ((400,) if body not in (b"", b"--b--\r\n") else (200, 400))


# -- JSON with a key

RIGHT = {"authorization": "Bearer right", "content-type": "application/json"}


async def test_a_program_with_a_key_sends_json_and_needs_no_token(stranger: Visitor) -> None:
    answer = await stranger.request("POST", "/notes", csrf=None, content=b'{"text": "hi"}', headers=RIGHT)
    assert (answer.status_code, answer.json()) == (200, {"text": "hi", "kind": "api_key"})


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"authorization": ""}, b"{}", 401),
        ({"authorization": "Bearer wrong"}, b"{}", 401),
        ({"authorization": "Basic right"}, b"{}", 401),
        ({"cookie": "parley=x"}, b'{"text": "hi"}', 400),
        ({"cookie": "a=b; __Host-parley=x"}, b'{"text": "hi"}', 400),
        ({"content-type": "text/plain"}, b'{"text": "hi"}', 400),
        ({}, b"", 400),
        ({}, b"{", 400),
        ({}, b"\xff", 400),
        ({}, b"[" * 5_000, 422),
        ({}, b'{"text": "\\u0000"}', 400),
        ({}, b'{"text": "\\\\\\u0000"}', 400),
        ({}, b'{"text": "hi", "more": 1}', 422),
        ({}, b'{"text": 1}', 422),
        ({}, b'{"text": "' + b"x" * 20_000 + b'"}', 413),
    ],
)
async def test_what_a_program_sends_wrong_is_answered_in_json(
    stranger: Visitor, headers: dict[str, str], content: bytes, status: int
) -> None:
    stranger.cookies.clear()
    answer = await stranger.request("POST", "/notes", csrf=None, content=content, headers=RIGHT | headers)
    assert answer.status_code == status
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_backslash_before_a_u_is_no_nul(stranger: Visitor) -> None:
    answer = await stranger.request("POST", "/notes", csrf=None, content=b'{"text": "\\\\u0000"}', headers=RIGHT)
    assert answer.json()["text"] == "\\u0000"


async def test_a_page_of_ours_cannot_speak_for_a_key(member: Visitor) -> None:
    answer = await member.post("/notes", content=b'{"text": "hi"}', headers=RIGHT)
    assert answer.status_code == 400


async def test_a_key_is_no_person_at_a_page(stranger: Visitor) -> None:
    answer = await stranger.request("POST", "/persons", csrf=None, content=b"{}", headers=RIGHT)
    assert answer.status_code == 403
    assert "not for programs" in answer.json()["error"]["sentence"]


async def test_json_is_decoded_into_closed_structs_alone(stranger: Visitor) -> None:
    answer = await stranger.request("POST", "/open", csrf=None, content=b'{"text": "hi"}', headers=RIGHT)
    assert answer.status_code == 500
