"""Alice, Bob, Olive and a stranger ask every route of the app the same questions. New routes are asked without being told."""

import re
import uuid
from collections.abc import Iterator

import pytest
from litestar import Litestar

from app.controllers import ROUTES
from tests.controllers.threads import Conversation, converse
from tests.people import Browser
from tests.tiers import in_tiers

#: Routes that a signed-out browser may use: everything else leads it to where it can sign in.
PUBLIC = {"/static/{path}", "/first-run", "/sign-in", "/sign-out", "/health", "/invitations/{key}"}

#: Routes of the owner alone.
OWNERS = ("/providers", "/models", "/pulls", "/users", "/invitations", "/status", "/settings")

#: And those among them that are for everybody: looking at models, and loading one.
EVERYBODYS = {
    ("GET", "/models"),
    ("GET", "/models/events"),
    ("GET", "/models/{model_id}"),
    ("POST", "/models/{model_id}/load"),
}

#: They never end, so they are asked in tests of their own with a real server.
ENDLESS = {"/threads/{thread_id}/events", "/models/events"}

#: What only servers that let us manage their models have; the one of these tests does not.
KEPT = {"/models/{model_id}/details", "/models/{model_id}/deletion"}

WRONG_IDS = ("1", "-1", "x" * 500, "%00", "..%2f..%2fetc", "00000000-0000-0000-0000-000000000000")
GARBAGE = [
    b"",
    b"text=%00&text=x",
    b"text=%ff%fe",
    b"=&=&&&;",
    b"a=b&" * 2000,
    b"text=" + b"%F0%9F%92%A9" * 1000,
    b"\x00\xff\x80",
]
KINDS = ("application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "x/y")


def routes() -> Iterator[tuple[str, str]]:
    """Every (method, path) of the app; parameters as {name}."""
    for handler in ROUTES:
        for path in handler.paths:
            for method in sorted(handler.http_methods):
                yield str(method), re.sub(r":\w+}", "}", path)


def is_owners(method: str, path: str) -> bool:
    """Whether a route is of the owner alone."""
    return path.startswith(OWNERS) and (method, path) not in EVERYBODYS


ALL = sorted(set(routes()))
PRIVATE = [(method, path) for method, path in ALL if path not in PUBLIC]
HERS = ("{thread_id}", "{message_id}", "{preset_id}", "{slash_prompt_id}")
OF_ALICE = [(method, path) for method, path in ALL if any(name in path for name in HERS)]


@pytest.fixture
async def theirs(alice: Browser) -> Conversation:
    return await converse(alice.user)


def fill(path: str, known: Conversation | None = None, value: str = "") -> str:
    """The path with ids of what is known, or with one value everywhere."""
    ids = {}
    if known:
        ids = {"thread_id": known.thread, "message_id": known.answer, "provider_id": known.provider}
        ids["model_id"] = known.model
        if path.endswith("/revision"):  # of questions alone
            ids["message_id"] = known.question
        ids["user_id"] = known.user
        ids["group"] = "general"
        ids |= {"preset_id": known.preset, "slash_prompt_id": known.slash_prompt}
    return re.sub(r"{(\w+)}", lambda found: str(ids.get(found[1], value or uuid.uuid4())), path)


def test_every_route_is_known_to_the_app(app: Litestar) -> None:
    drawn = {re.sub(r":\w+}", "}", route.path) for route in app.routes}
    assert {path for _, path in ALL} <= drawn


async def test_a_stranger_is_led_to_sign_in(client: Browser, theirs: Conversation) -> None:
    for method, path in PRIVATE:
        answer = await client.request(method, fill(path, theirs))
        assert answer.status_code == 303, (method, path)
        assert answer.headers["location"].startswith("/sign-in"), (method, path)
        answer = await client.request(method, fill(path, theirs), headers={"accept": "application/json"})
        assert answer.status_code == 401, (method, path)
        answer = await client.request(method, fill(path, theirs), headers={"hx-request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"][:8]) == (401, "/sign-in"), (method, path)


async def test_what_is_anothers_and_nothing_are_the_same_to_bob(bob: Browser, theirs: Conversation) -> None:
    strip = re.compile(r'nonce="[^"]*"|[0-9a-f]{16}|[0-9a-f-]{36}|[\w-]{32}')
    for method, path in OF_ALICE:
        form = {"message": str(theirs.answer), "title": "Mine now", "text": "x", "model": str(theirs.model)}
        form["request_id"] = str(uuid.uuid4())
        foreign = await bob.request(method, fill(path, theirs), data=form if method != "GET" else None)
        missing = await bob.request(method, fill(path), data=form if method != "GET" else None)
        assert (foreign.status_code, missing.status_code) == (404, 404), (method, path)
        assert strip.sub("", foreign.text) == strip.sub("", missing.text), (method, path)


async def test_members_may_not_do_what_is_the_owners(bob: Browser, theirs: Conversation) -> None:
    for method, path in [route for route in PRIVATE if is_owners(*route)]:
        answer = await bob.request(method, fill(path, theirs))
        assert answer.status_code == 403, (method, path)


async def test_what_is_hers_opens(alice: Browser, olive: Browser, theirs: Conversation) -> None:
    for path in [path for method, path in PRIVATE if method == "GET" and path not in ENDLESS]:
        browser = olive if is_owners("GET", path) else alice
        answer = await browser.get(fill(path, theirs))
        assert answer.status_code in ((409,) if path in KEPT else (200, 303)), path
        assert answer.headers["cache-control"] == "no-store", path


async def test_ids_of_every_wrong_kind_are_not_found(olive: Browser) -> None:
    for method, path in [(method, path) for method, path in ALL if "{" in path and "{path}" not in path]:
        for value in WRONG_IDS:
            answer = await olive.request(method, fill(path, value=value))
            assert answer.status_code in (400, 403, 404, 422), (method, path, value, answer.status_code)


async def test_methods_that_a_route_does_not_have_are_refused(olive: Browser, theirs: Conversation) -> None:
    for path in sorted({path for _, path in ALL}):
        known = {method for method, other in ALL if other == path}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known - {"HEAD"}:
            answer = await olive.request(method, fill(path, theirs))
            assert answer.status_code in (404, 405), (method, path, answer.status_code)


@pytest.mark.parametrize("each", in_tiers(False, True))
@pytest.mark.parametrize(("method", "path"), [route for route in ALL if route[0] not in ("GET", "HEAD", "OPTIONS")])
async def test_garbage_never_breaks_a_route(
    alice: Browser, olive: Browser, theirs: Conversation, method: str, path: str, each: bool
) -> None:
    """`each`: every body is sent as every kind; else as a form's and as one other."""
    for number, body in enumerate(GARBAGE):
        for browser in (alice, olive):
            for kind in KINDS if each else {KINDS[0], KINDS[number % len(KINDS)]}:
                answer = await browser.request(
                    method, fill(path, theirs), content=body, headers={"content-type": kind}, follow_redirects=False
                )
                assert answer.status_code < 500, (method, path, body[:20], kind)
                assert "Traceback" not in answer.text
        if path == "/sign-out" or (method, path) == ("DELETE", "/sessions"):
            return
