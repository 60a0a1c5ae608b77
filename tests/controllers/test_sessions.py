"""A person's own sign-ins: seeing them, ending them; nobody else's."""

import uuid

from litestar import Litestar

from app.database import fetch
from tests.people import PASSWORD, Browser
from tests.watching import news_of


async def test_all_of_my_sign_ins_are_listed_and_no_one_else_s(app: Litestar, alice: Browser, bob: Browser) -> None:
    async with Browser(app, headers={"user-agent": "Phone <b>"}) as phone:
        await phone.sign_in_as(alice.user)
        page = (await alice.get("/profile")).text
    assert page.count("Alice&#39;s browser") >= 2
    assert "this one" in page
    assert "Bob" not in page


async def test_two_sign_ins_of_the_same_browser_are_told_apart_by_where_they_were_last_seen(
    app: Litestar, alice: Browser
) -> None:
    agent = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    async with Browser(app, headers=agent, peer="203.0.113.7") as desk, Browser(app, peer="2001:db8::1") as train:
        signed_in = await desk.post("/sign-in", data={"email": alice.user.email, "password": PASSWORD})
        assert signed_in.status_code == 303
        page = (await alice.get("/profile")).text
        assert "from 203.0.113.7" in page
        assert 'aria-label="Sign out Firefox on Linux, 203.0.113.7"' in page
        # The same browser, carried elsewhere: noted once a minute.
        await fetch("UPDATE session SET seen_at = now() - interval '2 minutes' WHERE address = '203.0.113.7'")
        train.cookies.set("parley", desk.cookie, domain="127.0.0.1", path="/")
        page = (await train.get("/profile")).text
    assert "from 2001:db8::1" in page
    assert "203.0.113.7" not in page


async def test_ending_a_session_signs_that_browser_out_and_tells_its_pages(
    database: str, app: Litestar, alice: Browser
) -> None:
    async with Browser(app) as phone:
        await phone.sign_in_as(alice.user)
        session_id = await _session_of(phone)
        async with news_of(database) as news:
            answer = await alice.post(f"/sessions/{session_id}?_method=DELETE")
            assert (answer.status_code, answer.headers["location"]) == (303, "/profile")
            assert await news.get() == {"key": f"session:{session_id}", "event": "signed_out"}
        assert "That sign-in was ended." in (await alice.get("/profile")).text
        assert (await phone.get("/profile")).status_code == 303


async def test_ending_the_session_in_use_is_signing_out(alice: Browser) -> None:
    session_id = await _session_of(alice)
    answer = await alice.delete(f"/sessions/{session_id}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert alice.cookie == ""


async def test_ending_the_others_keeps_this_one(app: Litestar, alice: Browser, bob: Browser) -> None:
    phones = [Browser(app) for _ in range(3)]
    for phone in phones:
        await phone.sign_in_as(alice.user)
    assert (await alice.post("/sessions?_method=DELETE")).headers["location"] == "/profile"
    for phone in phones:
        assert (await phone.get("/profile")).status_code == 303
        await phone.aclose()
    assert (await alice.get("/profile")).status_code == 200
    assert (await bob.get("/profile")).status_code == 200


async def test_someone_else_s_session_and_none_are_the_same_404(alice: Browser, bob: Browser, olive: Browser) -> None:
    session_id = await _session_of(alice)
    for browser in (bob, olive):
        for wanted in (session_id, uuid.uuid4()):
            answer = await browser.delete(f"/sessions/{wanted}")
            assert answer.status_code == 404
            assert "There is no such sign-in." in answer.text
    assert (await alice.get("/profile")).status_code == 200


async def test_malformed_ids_and_wrong_methods_are_refused(alice: Browser) -> None:
    assert (await alice.delete("/sessions/not-an-id")).status_code == 404
    wrong = await alice.put(f"/sessions/{uuid.uuid4()}")
    assert wrong.status_code == 405
    assert "DELETE" in wrong.headers["allow"]
    assert (await alice.get("/sessions")).status_code == 405


async def test_signed_out_nothing_can_be_ended(client: Browser, alice: Browser) -> None:
    session_id = await _session_of(alice)
    answer = await client.delete(f"/sessions/{session_id}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await client.delete("/sessions")).status_code == 303
    assert len(await fetch('SELECT 1 FROM session WHERE "user" = $1', alice.user.id)) == 1


async def _session_of(browser: Browser) -> uuid.UUID:
    rows = await fetch('SELECT id FROM session WHERE "user" = $1 ORDER BY created_at DESC, id DESC', browser.user.id)
    return uuid.UUID(str(rows[0]["id"]))
