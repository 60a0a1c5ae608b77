"""What the question for the password says: why it asks, what will be done and to whom, and what a wrong password is."""

import pytest
from structlog.testing import capture_logs

from tests.controllers.test_confirmation import NAMES, Case, asked_form, cases, grow_old, server
from tests.people import PASSWORD, Browser

__all__ = ["cases", "server"]

#: In the words of the buttons, with the name of the thing.
WORDS = {
    "connect": "Connect Harbour",
    "change-provider": "Save changes to Quay",
    "disconnect": "Disconnect Quay",
    "settings": "Save security settings",
    "export": "Download settings with their secrets",
    "import": "Import settings",
    "invite": "Make an invitation for guest@example.org",
    "users": "Deactivate Alice",
}


@pytest.mark.parametrize("name", NAMES)
async def test_it_says_why_and_what(olive: Browser, cases: dict[str, Case], name: str) -> None:
    await grow_old(olive)
    asked = await cases[name].send(olive)
    assert f"<strong>{WORDS[name]}</strong>" in asked.text
    assert "more than ten minutes ago. Enter it to continue; it then counts for ten minutes." in asked.text
    assert ("The download starts when you continue." in asked.text) == (name == "export")


async def test_what_has_no_name_is_said_without_one(olive: Browser, alice: Browser) -> None:
    await grow_old(olive)
    missing = "00000000-0000-4000-8000-000000000000"
    for method, path, form, words in (
        ("POST", "/invitations", {"email": " "}, "Make an invitation"),
        ("POST", "/providers", {}, "Connect a model server"),
        ("POST", "/providers/test", {}, "Test a model server"),
        ("PATCH", f"/providers/{missing}", {}, "Save changes to a model server"),
        ("DELETE", f"/providers/{missing}", {}, "Disconnect a model server"),
        ("PATCH", f"/users/{missing}", {"is_active": "false"}, "Deactivate a person"),
        ("PATCH", f"/users/{alice.user.id}", {"is_active": "true"}, "Activate Alice"),
    ):
        asked = await olive.request(method, path, data=form)
        assert asked.status_code == 403
        assert f"<strong>{words}</strong>" in asked.text


async def test_a_name_is_text_and_has_an_end(olive: Browser) -> None:
    await grow_old(olive)
    asked = await olive.post("/invitations", data={"email": "<b>" + "x" * 500})
    assert f"<strong>Make an invitation for &lt;b&gt;{'x' * 97}</strong>" in asked.text


async def test_a_wrong_confirmation_is_logged_as_what_it_is(olive: Browser) -> None:
    await grow_old(olive)
    fields = asked_form(await olive.post("/invitations", data={"email": ""}))[1]
    change = {"current_password": "not this one", "password": "a lamp for every quay"}
    with capture_logs() as logs:
        await olive.post("/invitations", data=fields | {"confirm_password": "not this one"})
        await olive.put("/profile/password", data=change)
    events = [entry["event"] for entry in logs]
    assert (events.count("confirmation_failed"), events.count("sign_in_failed")) == (2, 0)
    with capture_logs() as logs:
        await olive.post("/sign-in", data={"email": olive.user.email, "password": PASSWORD + "x"})
    events = [entry["event"] for entry in logs]
    assert (events.count("confirmation_failed"), events.count("sign_in_failed")) == (0, 1)
