"""HEAD: what GET would say, without saying it; also where GET never ends."""

import httpx
import pytest

from app.controllers.static import static
from tests.conftest import StartProgram
from tests.controllers.threads import converse
from tests.people import Browser, csrf_of
from tests.watching import PROGRAM_SECONDS, within

#: Of each answer anew, or of its body as it was compressed.
OF_ONE_ANSWER = {"content-security-policy", "x-request-id", "content-length", "set-cookie", "date"}


@pytest.mark.parametrize("path", ["/", "/profile", "/threads", "/health", "/nothing/here", "/sign-in", "STATIC"])
async def test_head_has_the_headers_of_get_and_no_body(alice: Browser, path: str) -> None:
    address = static("app.css") if path == "STATIC" else path
    got, head = await alice.get(address), await alice.request("HEAD", address)
    assert (head.status_code, head.content) == (got.status_code, b"")
    strip = {name: value for name, value in got.headers.items() if name not in OF_ONE_ANSWER}
    assert {name: value for name, value in head.headers.items() if name not in OF_ONE_ANSWER} == strip
    assert ("content-length" in head.headers) == ("content-length" in got.headers)


async def test_head_of_what_can_only_be_sent_to_is_refused(alice: Browser) -> None:
    assert (await alice.request("HEAD", "/sign-out")).status_code in (404, 405)


async def test_head_shows_no_more_than_get_to_who_may_not_see_it(bob: Browser, alice: Browser) -> None:
    theirs = await converse(alice.user)
    for path in (f"/threads/{theirs.thread}", f"/threads/{theirs.thread}/events", f"/messages/{theirs.answer}/stream"):
        assert (await bob.request("HEAD", path)).status_code == 404


async def test_over_a_real_socket_head_ends_at_once_and_the_connection_serves_on(server: StartProgram) -> None:
    program = await server("--demo")
    async with httpx.AsyncClient(base_url=program.base_url, follow_redirects=False, timeout=PROGRAM_SECONDS) as client:
        form = {"name": "Olive", "email": "olive@example.org", "password": "correct horse battery"}
        form["token"] = program.owner_link.rpartition("=")[2]
        form["_csrf"] = csrf_of((await client.get("/first-run")).text)
        assert (await client.post("/first-run", data=form)).status_code == 303
        page = (await client.get("/")).text
        model = page.partition('<option value="')[2].partition('"')[0]
        request = page.partition('name="request_id" value="')[2].partition('"')[0]
        sent = {"text": "Hello", "model": model, "request_id": request, "_csrf": csrf_of(page)}
        thread = (await client.post("/threads", data=sent)).headers["location"]
        for path in ("/", thread, f"{thread}/events", "/health", "/static/app.css"):
            async with within(f"HEAD {path} and what is asked after it", PROGRAM_SECONDS):
                answer = await client.head(path)
                assert (answer.status_code, answer.content) == (200, b""), path
                assert (await client.get("/health")).status_code == 200
