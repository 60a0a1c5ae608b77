"""Settings on their pages: every one, from every source, with every wrong value, and locked by the environment."""

import pytest

from app.settings import FIELDS
from tests.people import Browser

LIVE = [name for name, field in FIELDS.items() if field.is_live]
FIXED = [name for name, field in FIELDS.items() if not field.is_live]

#: A value for every setting that is not its default, as it is typed.
OTHER = {
    "instance_name": "The Reading Room",
    "public_url": "https://chat.example.org",
    "hub_url": "https://hub.example.org",
    "hub_token": "a key of the hub",
    "starter_model": "none",
    "default_model": "Harbour/lantern-7b",
    "default_system_prompt": "Be brief.\nBe kind.",
    "default_theme": "graphite",
    "default_send_key": "ctrl-enter",
    "default_speech": "done",
    "metrics_token": "a-token-of-monitoring",
    "default_temperature": "0.4",
    "default_top_p": "0.9",
    "default_repeat_penalty": "1.1",
    "default_context_window": "4096",
    "default_max_tokens": "512",
    "first_token_timeout_seconds": "30",
    "idle_timeout_seconds": "30",
    "generation_deadline_seconds": "600",
    "max_body_bytes": "1000000",
}


def other(name: str) -> str:
    return OTHER.get(name, "42")


async def put(browser: Browser, name: str, value: str, **more: str):  # type: ignore[no-untyped-def]
    return await browser.put(f"/settings/{FIELDS[name].group}", data={name: value, **more})


@pytest.mark.parametrize("name", LIVE)
async def test_each_is_set_and_taken_back(olive: Browser, name: str) -> None:
    answer = await put(olive, name, other(name))
    assert answer.status_code == 303, answer.text
