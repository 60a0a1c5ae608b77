"""Signing in and out: who gets in, what a stranger learns, how guessing is slowed down."""

import asyncio
import math
import time
import urllib.parse

import pytest
from litestar import Litestar

from app.database import fetch, fetch_row
from app.secrets import hash_password, hash_token, is_outdated
from app.tables.sign_in_attempt import ACCOUNT, ADDRESS, PAIR, SignInAttempt
from app.tables.user import User
from tests.controllers.guesses import keep_waiting, let_time_pass
from tests.people import PASSWORD, Browser, add_user

RIGHT = {"email": "olive@example.org", "password": PASSWORD}
WRONG = {"email": "olive@example.org", "password": "not the password"}


@pytest.fixture
async def owner(app: Litestar) -> User:
    return await add_user("Olive", is_owner=True)


async def test_signing_in_leads_to_the_start(client: Browser, owner: User) -> None:
    answer = await client.post("/sign-in", data={**RIGHT, "email": " Olive@Example.org"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    profile = await client.get("/profile")
    assert profile.status_code == 200
    assert "Olive" in profile.text


async def test_signing_in_makes_an_old_hash_anew(client: Browser, owner: User) -> None:
    assert is_outdated(owner.password_hash)
    assert (await client.post("/sign-in", data=RIGHT)).status_code == 303
    assert not is_outdated((await User.list_all())[0].password_hash)
    assert (await client.get("/profile")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        "///evil.example",
        "/%0d%0aset-cookie:%20x=1\r\nx: y",
    ],
)
async def test_signing_in_leads_nowhere_else(client: Browser, owner: User, path: str) -> None:
    page = await client.get("/sign-in", params={"next": path})
    assert 'name="next" value="/"' in page.text
    answer = await client.post("/sign-in", data={**RIGHT, "next": path})
    assert answer.headers["location"] == "/"


async def test_signing_in_leads_back_to_the_page_that_was_asked_for(client: Browser, owner: User) -> None:
    answer = await client.get("/profile?a=1&b=%C3%A9")
    assert answer.status_code == 303
    address = urllib.parse.urlsplit(answer.headers["location"])
    assert address.path == "/sign-in"
    wanted = urllib.parse.parse_qs(address.query)["next"][0]
    assert wanted == "/profile?a=1&b=%C3%A9"
    answer = await client.post("/sign-in", data={**RIGHT, "next": wanted})
    assert answer.headers["location"] == wanted


async def test_a_token_planted_before_is_not_the_one_signed_in(client: Browser, owner: User) -> None:
    planted = "A" * 43
    client.cookies.set("parley", planted, domain="127.0.0.1", path="/")
    assert (await client.post("/sign-in", data=RIGHT)).status_code == 303
    assert client.cookie != planted
    assert await fetch_row("SELECT 1 FROM session WHERE token_hash = $1", hash_token(client.cookie))
    client.cookies.set("parley", planted, domain="127.0.0.1", path="/")
    assert (await client.get("/profile")).status_code == 303


async def test_signing_in_again_ends_the_session_before(client: Browser, owner: User) -> None:
    await client.post("/sign-in", data=RIGHT)
    before = client.cookie
    await client.post("/sign-in", data=RIGHT)
    assert client.cookie != before
    assert len(await fetch("SELECT 1 FROM session")) == 1


async def test_a_signed_in_person_is_led_on_from_the_form(olive: Browser) -> None:
    answer = await olive.get("/sign-in?next=/profile")
    assert (answer.status_code, answer.headers["location"]) == (303, "/profile")


async def test_a_stranger_learns_nothing_about_accounts(client: Browser, owner: User) -> None:
    member = await add_user("Mallory")
    await User.set_active(member.id, False)
    texts = set()
    for email in ("olive@example.org", "nobody@example.org", "mallory@example.org"):
        answer = await client.post("/sign-in", data={"email": email, "password": "not the password"})
        assert answer.status_code == 422
        nonce = answer.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
        texts.add(answer.text.replace(email, "EMAIL").replace(nonce, "NONCE"))
    assert len(texts) == 1
    assert "The email or the password is not right." in texts.pop()


async def test_an_unknown_account_costs_the_same_work(client: Browser, owner: User) -> None:
    await owner.change(password_hash=await hash_password(PASSWORD))

    async def measure(email: str) -> float:
        await client.csrf()
        started = time.process_time()
        await client.post("/sign-in", data={"email": email, "password": "not the password"})
        return time.process_time() - started

    await measure("first@example.org")
    known, unknown = math.inf, math.inf
    for number in range(20):  # what else goes on costs something now and then, and never less than nothing
        known = min(known, await measure("olive@example.org"))
        unknown = min(unknown, await measure(f"nobody{number}@example.org"))
        if number > 1 and 0.5 * known < unknown < 2 * known:
            return
        await fetch("DELETE FROM sign_in_attempt")
    pytest.fail(f"{known:.3f} s for an account that is known, {unknown:.3f} s for another")


async def test_a_deactivated_person_cannot_sign_in(client: Browser, owner: User) -> None:
    member = await add_user("Mallory")
    await User.set_active(member.id, False)
    answer = await client.post("/sign-in", data={"email": "mallory@example.org", "password": PASSWORD})
    assert answer.status_code == 422
    assert await fetch("SELECT 1 FROM session") == []


async def test_what_was_typed_stays_but_never_the_password(client: Browser, owner: User) -> None:
    answer = await client.post("/sign-in", data={"email": '"><b>x', "password": "hunter2 hunter2", "next": "/profile"})
    assert answer.status_code == 422
    assert "&#34;&gt;&lt;b&gt;x" in answer.text
    assert 'value="/profile"' in answer.text
    assert "hunter2" not in answer.text


async def test_empty_fields_are_said_beside_them(client: Browser, owner: User) -> None:
    answer = await client.post("/sign-in", data={"email": "", "password": ""})
    assert answer.status_code == 422
    assert answer.text.count("Please fill this in.") == 2


@pytest.mark.parametrize("data", [{**RIGHT, "is_owner": "true"}, {"email": ["a@b", "c@d"], "password": "x"}])
async def test_a_form_with_other_fields_is_malformed(client: Browser, owner: User, data: dict[str, str]) -> None:
    answer = await client.post("/sign-in", data=data)
    assert answer.status_code == 400


async def test_guessing_at_one_account_has_to_wait(client: Browser, owner: User) -> None:
    for _ in range(PAIR.free_failures):
        assert (await client.post("/sign-in", data=WRONG)).status_code == 422
    await keep_waiting()
    answer = await client.post("/sign-in", data=RIGHT)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "too many attempts" in answer.text
    assert 'value="olive@example.org"' in answer.text


async def test_guesses_sent_all_at_once_do_not_get_past_the_count(client: Browser, owner: User) -> None:
    await client.csrf()
    began = time.monotonic()
    answers = await asyncio.gather(*[client.post("/sign-in", data=WRONG) for _ in range(20)])
    statuses = [answer.status_code for answer in answers]
    # One more for each wait that was over by then: the first lasts a second, each other twice as long as the one before.
    waits = int(math.log2(1 + time.monotonic() - began))
    assert statuses.count(422) <= PAIR.free_failures + 1 + waits
    assert statuses.count(429) >= 14 - waits


async def test_waiting_is_enough_and_success_clears_the_count(client: Browser, owner: User) -> None:
    for _ in range(PAIR.free_failures + 1):
        await client.post("/sign-in", data=WRONG)
    await let_time_pass(400)
    assert (await client.post("/sign-in", data=RIGHT)).status_code == 303
    assert (await client.post("/sign-in", data=WRONG)).status_code == 422
    assert (await client.post("/sign-in", data=RIGHT)).status_code == 303


async def test_trying_many_accounts_from_one_address_has_to_wait(client: Browser, owner: User) -> None:
    for number in range(ADDRESS.free_failures):
        await SignInAttempt.begin("127.0.0.1", f"person{number}@example.org")
    await keep_waiting()
    answer = await client.post("/sign-in", data=WRONG)
    assert answer.status_code == 429


async def test_guessing_from_everywhere_does_not_lock_the_person_out(app: Litestar, owner: User) -> None:
    async with Browser(app, peer="192.0.2.1") as home:
        assert (await home.post("/sign-in", data=RIGHT)).status_code == 303
    for number in range(ACCOUNT.free_failures):
        await SignInAttempt.begin(f"198.51.100.{number}", "olive@example.org")
    await keep_waiting()
    async with Browser(app, peer="203.0.113.9") as elsewhere, Browser(app, peer="192.0.2.1") as home:
        assert (await elsewhere.post("/sign-in", data=RIGHT)).status_code == 429
        assert (await home.post("/sign-in", data=RIGHT)).status_code == 303


async def test_all_addresses_of_one_ipv6_network_count_as_one(client: Browser, owner: User) -> None:
    for number in range(PAIR.free_failures):
        await SignInAttempt.begin(f"2001:db8::{number:x}", "olive@example.org")
    await keep_waiting()
    with pytest.raises(Exception, match="too many attempts"):
        await SignInAttempt.begin("2001:db8::ffff:1", "olive@example.org")
    await SignInAttempt.begin("2001:db8:0:1::1", "olive@example.org")


def test_the_wait_doubles_up_to_a_most() -> None:
    waits = [PAIR.wait_seconds(failures, 0) for failures in (0, 4, 5, 6, 7, 12, 13, 500)]
    assert waits == [0, 0, 1, 2, 4, 128, 256, 300]
    assert PAIR.wait_seconds(7, 3) == 1
    assert PAIR.wait_seconds(7, 5) == 0


async def test_attempts_are_stored_without_addresses_and_forgotten(client: Browser, owner: User) -> None:
    await client.post("/sign-in", data=WRONG)
    stored = str(await fetch("SELECT * FROM sign_in_attempt"))
    assert "127.0.0.1" not in stored
    assert "olive" not in stored
    await let_time_pass(2 * 86_400)
    await SignInAttempt.forget_old()
    assert await fetch("SELECT 1 FROM sign_in_attempt") == []


async def test_signing_out_ends_the_session_and_the_cookie(olive: Browser) -> None:
    token = olive.cookie
    answer = await olive.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "parley=; Path=/; Max-Age=0" in answer.headers["set-cookie"]
    assert await fetch("SELECT 1 FROM session") == []
    page = await olive.get("/sign-in")
    assert "You are signed out." in page.text
    assert "You are signed out." not in (await olive.get("/sign-in")).text
    olive.cookies.set("parley", token, domain="127.0.0.1", path="/")
    assert (await olive.get("/profile")).status_code == 303


async def test_signing_out_twice_is_no_error(client: Browser, owner: User) -> None:
    answer = await client.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


async def test_a_flash_says_only_what_we_wrote(client: Browser, owner: User) -> None:
    client.cookies.set("parley-flash", "Send+your+password+to+evil", domain="127.0.0.1", path="/")
    assert "evil" not in (await client.get("/sign-in")).text


async def test_an_expired_session_is_signed_out(olive: Browser) -> None:
    await fetch("UPDATE session SET expires_at = now() - interval '1 second'")
    assert (await olive.get("/profile")).status_code == 303


async def test_use_prolongs_a_session_at_most_once_a_minute(olive: Browser) -> None:
    assert "set-cookie" not in (await olive.get("/profile")).headers
    await fetch("UPDATE session SET seen_at = now() - interval '2 minutes', expires_at = now() + interval '1 hour'")
    answer = await olive.get("/profile")
    assert f"parley={olive.cookie}; Path=/; Max-Age=2592000" in answer.headers["set-cookie"]
    row = await fetch_row(
        "SELECT s.expires_at > now() + interval '29 days' AS is_long, u.seen_at IS NOT NULL AS is_seen"
        ' FROM session s JOIN users u ON u.id = s."user"'
    )
    assert row is not None
    assert (row["is_long"], row["is_seen"]) == (True, True)
    assert "set-cookie" not in (await olive.get("/profile")).headers
