"""One's own profile, and the password."""

import re

import pytest
from litestar import Litestar

from app.database import fetch, fetch_row
from app.tables.session import Session
from app.tables.sign_in_attempt import PAIR
from app.tables.user import User
from tests.controllers.guesses import keep_waiting
from tests.controllers.threads import add_model
from tests.people import PASSWORD, Browser
from tests.watching import news_of

PROFILE = {"name": "Alice L.", "theme": "terminal", "send_key": "ctrl-enter", "speech": "done"}
NEW = "a much better password"


async def test_a_profile_is_saved(alice: Browser, bob: Browser) -> None:
    answer = await alice.post("/profile?_method=PUT", data=PROFILE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/profile")
    page = (await alice.get("/profile")).text
    assert "Saved." in page
    assert 'data-theme="terminal"' in page
    assert 'data-send-key="ctrl-enter"' in page
    row = await fetch_row("SELECT name, theme, send_key, speech FROM users WHERE id = $1", alice.user.id)
    assert dict(row or {}) == PROFILE
    assert "Bob" in (await bob.get("/profile")).text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"theme": "pink"}, "Choose one of what is offered."),
        ({"send_key": ""}, "Please fill this in."),
        ({"name": ""}, "Please fill this in."),
        ({"speech": "loud"}, "Choose one of what is offered."),
        ({"language": "tlh"}, "Choose one of what is offered."),
        ({"language": "../de"}, "Choose one of what is offered."),
        ({"default_model": "nonsense"}, "Choose one of what is offered."),
    ],
)
async def test_a_wrong_profile_is_not_saved_and_stays_as_typed(
    alice: Browser, change: dict[str, str], sentence: str
) -> None:
    answer = await alice.put("/profile", data=PROFILE | change)
    assert answer.status_code == 422
    assert sentence in answer.text
    if "name" not in change:
        assert 'value="Alice L."' in answer.text
    assert (await fetch_row("SELECT name FROM users WHERE id = $1", alice.user.id) or {})["name"] == "Alice"


async def test_a_language_is_spoken_from_the_next_page_on(alice: Browser, client: Browser) -> None:
    assert '<html lang="en"' in (await alice.get("/profile")).text
    answer = await alice.put("/profile", data=PROFILE | {"language": "de"})
    assert "parley-language=de" in answer.headers["set-cookie"]
    page = (await alice.get("/profile")).text
    assert '<html lang="de"' in page
    assert 'data-language="de"' in page
    assert "Gespeichert." in page
    assert '<option value="de" selected>Deutsch</option>' in page
    refused = await alice.put("/profile", data=PROFILE | {"language": "de", "name": ""})
    assert "Bitte fülle das aus." in refused.text
    assert (await alice.get("/nowhere")).status_code == 404
    answer = await alice.put("/profile", data=PROFILE | {"language": ""})
    assert "parley-language=; Path=/; Max-Age=0" in answer.headers["set-cookie"]
    assert '<html lang="en"' in (await alice.get("/profile")).text
    assert '<html lang="de"' in (await client.get("/sign-in", headers={"accept-language": "de-CH,de;q=0.9"})).text


async def test_a_language_goes_along_with_who_signs_in(alice: Browser, client: Browser) -> None:
    await alice.user.change(language="de")
    assert "parley-language=de" in (await alice.get("/profile")).headers["set-cookie"]
    answer = await client.post("/sign-in", data={"email": "alice@example.org", "password": PASSWORD})
    assert "parley-language=de" in str(answer.headers)
    assert '<html lang="de"' in (await client.get("/profile")).text
    await client.post("/sign-out")
    assert '<html lang="de"' in (await client.get("/sign-in")).text
    answer = await client.post("/sign-in", data={"email": "olive@example.org", "password": PASSWORD})
    assert '<html lang="en"' in (await client.get("/profile")).text


async def test_the_model_of_new_threads_is_chosen(alice: Browser) -> None:
    await add_model("first-model")
    provider, model = await add_model("second-model")
    await alice.put("/profile", data=PROFILE | {"default_model": str(model)})
    assert re.search(rf'<option value="{model}"[^>]* selected', (await alice.get("/")).text)
    assert f'<option value="{model}" selected>' in (await alice.get("/profile")).text
    await fetch("UPDATE model SET gone_at = now() WHERE provider = $1", provider)
    assert (await alice.get("/")).status_code == 200
    assert "The model that was chosen here is not available any more." in (await alice.get("/profile")).text
    answer = await alice.put("/profile", data=PROFILE | {"default_model": str(model)})
    assert answer.status_code == 422
    assert "This model is not available any more. Choose another one." in answer.text


@pytest.mark.parametrize("extra", ["is_owner", "email", "password_hash", "is_active", "id"])
async def test_nobody_makes_themself_the_owner(alice: Browser, extra: str) -> None:
    answer = await alice.put("/profile", data={**PROFILE, extra: "true"})
    assert answer.status_code == 400
    assert (await alice.get("/users")).status_code == 403


async def test_a_hostile_name_is_text(alice: Browser) -> None:
    name = "<img src=x onerror=alert(1)><b hx-get=/>"
    await alice.put("/profile", data={**PROFILE, "name": name})
    page = (await alice.get("/profile")).text
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


async def test_changing_the_password_ends_every_other_sign_in(database: str, app: Litestar, alice: Browser) -> None:
    async with Browser(app) as phone:
        await phone.sign_in_as(alice.user)
        before = alice.cookie
        async with news_of(database) as news:
            answer = await alice.put(
                "/profile/password",
                data={"current_password": PASSWORD, "password": NEW, "email": "alice@example.org"},
            )
            assert (answer.status_code, answer.headers["location"]) == (303, "/profile")
            told = [await news.get(), await news.get()]
        assert {one["event"] for one in told} == {"signed_out"}
        assert (await phone.get("/profile")).status_code == 303
        assert alice.cookie != before
        assert "Your password is changed." in (await alice.get("/profile")).text
        assert len(await fetch('SELECT 1 FROM session WHERE "user" = $1', alice.user.id)) == 1
        old = await phone.post("/sign-in", data={"email": "alice@example.org", "password": PASSWORD})
        assert old.status_code == 422
        new = await phone.post("/sign-in", data={"email": "alice@example.org", "password": NEW})
        assert new.status_code == 303


async def test_a_sign_in_with_the_old_password_cannot_outlive_its_change(alice: Browser) -> None:
    stale = await User.find(alice.user.id)
    assert stale is not None
    await alice.put("/profile/password", data={"current_password": PASSWORD, "password": NEW})
    assert await Session.start(stale, user_agent="late", days=30) is None


async def test_the_current_password_must_be_right(alice: Browser) -> None:
    answer = await alice.put("/profile/password", data={"current_password": "wrong password", "password": NEW})
    assert answer.status_code == 422
    assert "This is not your current password." in answer.text
    assert NEW not in answer.text
    assert "wrong password" not in answer.text


async def test_the_current_password_cannot_be_guessed_quickly(alice: Browser) -> None:
    for _ in range(PAIR.free_failures):
        await alice.put("/profile/password", data={"current_password": "wrong password", "password": NEW})
    await keep_waiting()
    answer = await alice.put("/profile/password", data={"current_password": PASSWORD, "password": NEW})
    assert answer.status_code == 429
    assert re.search(r"too many wrong passwords\. Try again in \d+ seconds?\.", answer.text)


async def test_a_weak_new_password_is_refused(alice: Browser) -> None:
    for weak, sentence in (("short", "At least 10 characters."), ("alice@example.org", "else than the email address")):
        answer = await alice.put("/profile/password", data={"current_password": PASSWORD, "password": weak})
        assert answer.status_code == 422
        assert sentence in answer.text


async def test_signed_out_there_is_no_profile(client: Browser, alice: Browser) -> None:
    assert (await client.get("/profile")).headers["location"] == "/sign-in?next=/profile"
    assert (await client.put("/profile", data=PROFILE)).headers["location"] == "/sign-in"
    answer = await client.put("/profile/password", data={"current_password": PASSWORD, "password": NEW})
    assert answer.headers["location"] == "/sign-in"


async def test_wrong_methods_are_refused(alice: Browser) -> None:
    assert (await alice.delete("/profile")).status_code == 405
    assert (await alice.post("/profile", data=PROFILE)).status_code == 405
    assert (await alice.get("/profile/password")).status_code == 405
