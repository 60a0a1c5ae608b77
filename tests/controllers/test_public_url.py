"""The public URL, set on the page: no other name is answered from then on, so it must not be a name that leads nowhere."""

from app.settings import settings
from tests.people import Browser

ELSEWHERE = {"host": "chat.example.org:8000"}


async def test_the_owner_cannot_lock_themselves_out(olive: Browser) -> None:
    olive.app.asgi_handler._is_loopback_only = False  # type: ignore[attr-defined]
    answer = await olive.put("/settings/general", data={"public_url": "https://chta.example.org"}, headers=ELSEWHERE)
    assert answer.status_code == 422
    assert "You opened Parley at chat.example.org:8000" in answer.text
    assert settings.public_url == ""


async def test_a_public_url_holds_at_once(olive: Browser) -> None:
    olive.app.asgi_handler._is_loopback_only = False  # type: ignore[attr-defined]
    set_url = {"public_url": "https://chat.example.org"}
    answer = await olive.put("/settings/general", data=set_url, headers=ELSEWHERE)
    assert answer.status_code == 303
    for host, status in (("chat.example.org", 200), ("other.example.org", 400), ("localhost:8000", 200)):
        assert (await olive.get("/settings/general", headers={"host": host})).status_code == status
    assert (await olive.put("/settings/general", data={"public_url": ""}, headers=ELSEWHERE)).status_code == 303
    assert (await olive.get("/settings/general", headers={"host": "other.example.org"})).status_code == 200
