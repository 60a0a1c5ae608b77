"""The guard: what every request meets and every answer carries."""

import functools
import re
import uuid

import pytest
import structlog
from litestar import Litestar

from app.controllers.guard import HEADERS
from app.main import create_app
from app.settings import settings
from tests.controllers.guarded import FORM, METHODS, Visitor
from tests.people import Browser


@functools.cache
def _never_begun() -> Litestar:
    return create_app(settings, with_worker=False)


def unsafe_routes() -> list[tuple[str, str]]:
    """Every route of the app that changes something, with ids in its path."""
    routes = _never_begun().routes
    paths = [(method, re.sub(r"{[^}]*}", str(uuid.UUID(int=7)), one.path)) for one in routes for method in one.methods]
    return sorted((method, path) for method, path in paths if method in METHODS)


# -- What every answer carries


async def test_every_answer_carries_the_same_headers(visitor: Visitor, alice: Browser) -> None:
    answers = [
        await visitor.get("/form"),
        await visitor.get("/nowhere"),
        await visitor.put("/form"),
        await visitor.request("POST", "/echo", csrf=None),
        await visitor.post("/echo", content=b"\xff", headers=FORM),
        await visitor.post("/echo", content=b"a" * (settings.max_body_bytes + 1), headers=FORM),
        await visitor.get("/failure?of=bug"),
        await visitor.get("/nowhere", headers={"accept": "application/json"}),
        await alice.get("/profile"),
        await alice.get("/users"),
        await alice.post("/sign-out"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 405, 403, 400, 413, 500, 404, 200, 403, 303]
    for answer in answers:
        for name, value in HEADERS:
            assert answer.headers.get_list(name.decode()) == [value.decode()]
        assert answer.headers.get_list("cache-control") == ["no-store"]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self' 'nonce-" in policy
        assert "unsafe" not in policy
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


async def test_a_nonce_is_of_one_answer_alone_and_in_its_page(visitor: Visitor) -> None:
    nonces = set()
    for _ in range(3):
        answer = await visitor.get("/form")
        nonce = answer.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
        assert f'nonce="{nonce}"' in answer.text
        nonces.add(nonce)
    assert len(nonces) == 3


async def test_a_request_id_is_taken_from_nobody(visitor: Visitor) -> None:
    answer = await visitor.get("/form", headers={"x-request-id": "forged"})
    assert answer.headers["x-request-id"] != "forged"


async def test_pages_are_compressed_for_who_takes_it(visitor: Visitor) -> None:
    answer = await visitor.get("/form", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"]
    assert "s" * 2_000 in answer.text
    plain = await visitor.get("/form", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert len(plain.content) == len(answer.content)


async def test_the_size_of_a_page_tells_nothing_exactly(visitor: Visitor) -> None:
    sizes = {
        (await visitor.get("/form", headers={"accept-encoding": "gzip"})).headers["content-length"] for _ in range(20)
    }
    assert len(sizes) > 3


# -- Methods


@pytest.mark.parametrize("meant", ["PUT", "PATCH", "DELETE", "delete"])
async def test_a_form_can_mean_another_method(visitor: Visitor, meant: str) -> None:
    answer = await visitor.post(f"/echo?x=1&_method={meant}", data={"a": "1"})
    assert answer.json()["method"] == meant.upper()


@pytest.mark.parametrize(
    "query", ["_method=GET", "_method=HEAD", "_method=", "_method=X", "_method=PUT&_method=DELETE"]
)
async def test_a_form_cannot_mean_a_method_that_is_none(visitor: Visitor, query: str) -> None:
    assert (await visitor.post(f"/echo?{query}")).status_code == 400


async def test_only_a_post_can_mean_another_method(visitor: Visitor) -> None:
    assert (await visitor.get("/form?_method=DELETE")).status_code == 200
    assert (await visitor.put("/echo?_method=DELETE")).json()["method"] == "PUT"


# -- Forged forms


async def test_a_form_brings_its_token_in_a_field_or_a_header(visitor: Visitor) -> None:
    token = await visitor.csrf()
    field = await visitor.request("POST", "/echo", data={"_csrf": token, "a": "1"}, csrf=None)
    assert field.json()["form"] == {"a": ["1"]}
    both = await visitor.request("POST", "/echo", data={"_csrf": token, "a": "1"}, csrf=token)
    assert both.json()["form"] == {"a": ["1"]}


@pytest.mark.parametrize("method", METHODS)
async def test_no_change_without_a_token(visitor: Visitor, method: str) -> None:
    await visitor.csrf()
    async with Visitor() as other:
        foreign = await other.csrf()
    for token in (None, "wrong", foreign, "ü", "\x00"):
        sent = {} if token is None else {"_csrf": token}
        answer = await visitor.request(method, "/echo", data=sent, csrf=None)
        assert answer.status_code == 403, token
        assert "Nothing was changed" in answer.text
    answer = await visitor.request(method, "/echo", csrf=foreign)
    assert answer.status_code == 403


async def test_no_change_without_a_cookie(visitor: Visitor) -> None:
    token = await visitor.csrf()
    visitor.cookies.clear()
    assert (await visitor.request("POST", "/echo", csrf=token)).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "A" * 42, "A" * 43 + "!", "A" * 44])
async def test_a_cookie_that_we_never_gave_is_none(visitor: Visitor, cookie: str) -> None:
    token = await visitor.csrf()
    visitor.cookies.set("parley", cookie, domain="127.0.0.1", path="/")
    assert (await visitor.request("POST", "/echo", csrf=token)).status_code == 403


async def test_the_token_changes_with_signing_in_and_out(alice: Browser) -> None:
    before = await alice.csrf()
    await alice.post("/sign-out")
    assert (await alice.request("POST", "/sign-in", data={}, csrf=before)).status_code == 403


@pytest.mark.parametrize(("method", "path"), unsafe_routes())
async def test_no_route_is_exempt(method: str, path: str) -> None:
    # No lifespan and no database: the guard refuses before anything needs them.
    async with Browser(_never_begun()) as browser:
        answer = await browser.request(method, path, csrf=None)
        assert answer.status_code == 403
        assert "Nothing was changed" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "nonsense"},
    ],
)
async def test_no_change_from_another_site_s_page(visitor: Visitor, headers: dict[str, str]) -> None:
    answer = await visitor.post("/echo", headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://127.0.0.1:8000"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
async def test_our_own_pages_and_programs_may_change(visitor: Visitor, headers: dict[str, str]) -> None:
    assert (await visitor.post("/echo", headers=headers)).status_code == 200


async def test_a_proxy_that_renames_us_says_so_by_a_setting() -> None:
    async with Visitor(public_url="https://chat.example.org/") as browser:
        answer = await browser.post("/echo", headers={"origin": "https://chat.example.org"})
        assert answer.status_code == 200
        assert (await browser.post("/echo", headers={"origin": "https://example.org"})).status_code == 403


@pytest.mark.parametrize(
    ("public_url", "origin", "status"),
    [
        ("https://Chat.example.org", "https://chat.example.org", 200),
        ("https://chat.example.org:443/", "https://chat.example.org", 200),
        ("http://chat.example.org", "http://chat.example.org:80", 200),
        ("http://chat.example.org:8080", "http://chat.example.org:8080", 200),
        ("https://chat.example.org", "http://chat.example.org", 403),
        ("https://chat.example.org", "https://chat.example.org:444", 403),
        ("https://chat.example.org", "https://chat.example.org.evil.example", 403),
        ("https://chat.example.org", "null", 403),
        ("https://chat.example.org", "https://[chat", 403),
    ],
)
async def test_the_public_address_is_compared_as_browsers_do(public_url: str, origin: str, status: int) -> None:
    async with Visitor(public_url=public_url) as browser:
        assert (await browser.post("/echo", headers={"origin": origin})).status_code == status


async def test_behind_a_proxy_that_hides_the_host_page_and_log_name_the_setting(visitor: Visitor) -> None:
    """An old browser, or one on plain http: only `Origin` says where the form was."""
    with structlog.testing.capture_logs() as logs:
        answer = await visitor.post("/echo", headers={"origin": "https://chat.example.org"})
    assert answer.status_code == 403
    assert "through a proxy that does not pass on the Host header" in answer.text
    assert "PARLEY_PUBLIC_URL" in answer.text
    assert "chat.example.org" not in answer.text  # a stranger's page would name itself
    [said] = [entry for entry in logs if entry["event"] == "request_refused"]
    assert (said["reason"], said["host"]) == ("origin", "127.0.0.1:8000")
    assert (said["origin"], "PARLEY_PUBLIC_URL" in said["advice"]) == ("https://chat.example.org", True)


async def test_a_page_that_the_browser_calls_another_site_s_is_not_blamed_on_a_proxy(visitor: Visitor) -> None:
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert "PARLEY_PUBLIC_URL" not in (await visitor.post("/echo", headers=headers)).text


async def test_a_name_that_is_not_ours_is_logged_with_the_setting() -> None:
    async with Visitor(address="http://chat.example.org") as browser:
        with structlog.testing.capture_logs() as logs:
            assert (await browser.get("/form", headers={"host": "evil.example.org:80"})).status_code == 400
    [said] = [entry for entry in logs if entry["event"] == "request_refused"]
    assert (said["reason"], said["host"]) == ("host", "evil.example.org:80")


# -- Cookies


async def test_cookies_are_for_us_alone(visitor: Visitor) -> None:
    cookie = (await visitor.get("/form")).headers["set-cookie"]
    assert re.fullmatch(r"parley=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax", cookie)


async def test_cookies_are_secure_over_https() -> None:
    async with Visitor(address="https://127.0.0.1:8000") as browser:
        cookie = (await browser.get("/form")).headers["set-cookie"]
        assert re.fullmatch(r"__Host-parley=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax; Secure", cookie)
        assert (await browser.post("/echo")).status_code == 200
    async with Visitor(secure_cookies="always") as browser:
        assert (await browser.get("/form")).headers["set-cookie"].startswith("__Host-parley=")
    async with Visitor(address="https://127.0.0.1:8000", secure_cookies="never") as browser:
        assert "Secure" not in (await browser.get("/form")).headers["set-cookie"]


async def test_over_https_a_cookie_without_the_promise_is_not_ours() -> None:
    async with Visitor(address="https://127.0.0.1:8000") as browser, Visitor() as plain:
        token = await plain.csrf()
        browser.cookies.set("parley", plain.cookie, domain="127.0.0.1", path="/")
        assert (await browser.request("POST", "/echo", csrf=token)).status_code == 403
