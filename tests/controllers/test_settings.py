"""Settings on their pages: every one, from every source, with every wrong value, and locked by the environment."""

import html
from collections.abc import Iterator

import certifi
import httpx
import pytest

from app.database import fetch, fetch_row
from app.instance import words
from app.settings import FIELDS, Field, current, effective, take_stored
from app.settings.held import _environments
from app.settings.values import from_text, to_text
from app.tables.setting import Setting
from tests.controllers.threads import add_model
from tests.people import Browser

LIVE = [name for name, field in FIELDS.items() if field.is_live]
FIXED = [name for name, field in FIELDS.items() if not field.is_live]

#: As it is typed, and not the default. For all others it is 42.
OTHER = {
    "instance_name": "The Reading <i>Room</i>",
    "public_url": "https://chat.example.org",
    "hub_url": "https://hub.example.org",
    "hub_token": "a key of the hub",
    "starter_model": "none",
    "default_model": "Nobody/quiet-model",
    "title_model": "off",
    "default_system_prompt": "Be brief.\nBe <b>kind</b>.",
    "default_theme": "graphite",
    "default_send_key": "ctrl-enter",
    "default_speech": "done",
    "metrics_token": "a-token-of-monitoring",
    "default_temperature": "0.4",
    "default_top_p": "0.9",
    "default_repeat_penalty": "1.1",
    "default_context_window": "4096",
    "default_max_tokens": "512",
    "max_body_bytes": "1000000",
    "generation_deadline_seconds": "600",
    # what only the environment sets
    "data": "/tmp/elsewhere",
    "database_url": "postgres://olive:hunter2@db/parley",
    "host": "127.0.0.2",
    "secret_key": "x" * 43 + "=",
    "secure_cookies": "never",
    "trusted_proxies": "10.0.0.1",
    "log_format": "json",
    "log_level": "error",
    "log_file": "/tmp/parley.log",
    "log_file_level": "debug",
    "ca_file": certifi.where(),
    "demo": "true",
    "bundled_models": "false",
}


def other(name: str) -> str:
    return OTHER.get(name, "42")


def wrong_values(field: Field) -> list[str]:
    """What this setting does not take, out of its own limits."""
    if field.choices:
        return ["perhaps", "' OR 1=1", "nul\0l"]
    wrong = {
        "numeric": ["-1", "99999999999999999999999", "1.5", "many", "nan", "null", "0x10", "٣٤"],
        "decimal": ["-1", "1e300", "inf", "nan", "null", "a little", "1,5,5"],
        "text": ["x" * 100_001],
    }[field.keyboard]
    return wrong + {
        "instance_name": ["a\nb", "x" * 61],
        "public_url": ["chat.example.org", "ftp://x", "https://x/path", "https://u:p@x", "https://x?y=z"],
        "hub_url": ["hub", "javascript:alert(1)", "https://hub example"],
        "starter_model": ["qwen", "hf:../../etc/passwd", "https://example.org/model.bin"],
        "default_model": ["no-such-model", "Nobody/"],
        "title_model": ["no-such-model", "Nobody/", "none"],
        "metrics_token": ["short"],
    }.get(field.name, [])


WRONG = [(name, value) for name in LIVE for value in wrong_values(FIELDS[name])]


@pytest.fixture(autouse=True)
async def model(database: str) -> None:
    await add_model()


@pytest.fixture
def locked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A setting that the environment of this process says."""
    name = request.param
    monkeypatch.setenv(FIELDS[name].variable, other(name))
    _environments.clear()
    take_stored({})
    yield name
    monkeypatch.undo()
    _environments.clear()
    take_stored({})


async def put(browser: Browser, name: str, value: str, **more: str) -> httpx.Response:
    return await browser.put(f"/settings/{FIELDS[name].group}", data={name: value, **more})


async def stored() -> dict[str, object]:
    return {row.name: row.value for row in await Setting.list_all()}


async def page_of(browser: Browser, name: str) -> str:
    answer = await browser.get(f"/settings/{FIELDS[name].group}")
    assert answer.status_code == 200
    return answer.text


def control(page: str, name: str) -> str:
    """What the page says of one setting."""
    found = page.partition(f'<label for="{name}">')[2]
    assert found, name
    return found.partition('class="field setting"')[0]


async def test_each_stands_on_its_page_with_its_help_and_its_default(olive: Browser) -> None:
    for name, field in FIELDS.items():
        shown = control(await page_of(olive, name), name)
        assert field.help in html.unescape(shown), name
        if field.is_live:
            assert '<span class="tag">default</span>' in shown, name
            assert f'name="{name}"' in shown, name
        else:
            is_said = f"set the environment variable {field.variable} and restart" in shown
            assert is_said or "Set by the env" in shown, name
            assert f'name="{name}"' not in shown, name
            assert " disabled" in shown, name


@pytest.mark.parametrize("name", LIVE)
async def test_each_is_set_and_taken_back(olive: Browser, name: str) -> None:
    answer = await put(olive, name, other(name))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/settings/{FIELDS[name].group}")
    value = from_text(name, other(name))
    assert getattr(current(), name) == value
    assert effective().sources[name] == "database"
    shown = control(await page_of(olive, name), name)
    assert '<span class="tag ok">set here</span> by Olive' in shown
    if FIELDS[name].is_secret:
        assert (await put(olive, name, "")).status_code == 303
        assert getattr(current(), name) == value, "left empty, a secret stays"
        await put(olive, name, "", taken_back=name)
    else:
        await put(olive, name, "")
    assert getattr(current(), name) == FIELDS[name].default
    assert effective().sources[name] == "default"
    assert await stored() == {}


async def test_what_is_wrong_is_said_beside_the_field_and_never_lands(olive: Browser) -> None:
    for name, value in WRONG:
        answer = await put(olive, name, value)
        assert answer.status_code == 422, (name, value)
        shown = control(answer.text, name)
        assert f'id="error-{name}"' in shown, (name, value)
        assert 'aria-invalid="true"' in shown, (name, value)
        assert await stored() == {}, (name, value)
        assert getattr(current(), name) == FIELDS[name].default, (name, value)


@pytest.mark.parametrize("locked", FIELDS, indirect=True)
async def test_what_the_environment_says_is_shown_locked_and_refused(locked: str, olive: Browser) -> None:
    field = FIELDS[locked]
    shown = control(await page_of(olive, locked), locked)
    assert f"Set by the environment variable {field.variable}; change it there and restart." in shown
    assert '<span class="tag">environment</span>' in shown
    assert " disabled" in shown
    assert f'name="{locked}"' not in shown
    for value in (other(locked), "", "43"):
        if value or not field.is_secret:
            answer = await put(olive, locked, value)
            assert answer.status_code == 422
            assert "Set by the environment variable" in answer.text
    assert await stored() == {}
    assert to_text(getattr(current(), locked)) == to_text(from_text(locked, other(locked)))


@pytest.mark.parametrize("locked", ["instance_name"], indirect=True)
async def test_the_environment_wins_over_what_was_set_before(locked: str, olive: Browser) -> None:
    await Setting.change(chosen={"instance_name": "Before"}, taken_back=[], by=None)
    take_stored(await stored())
    assert current().instance_name == other(locked)
    assert effective().is_locked(locked)


async def test_what_is_read_at_the_start_is_not_set_here(olive: Browser) -> None:
    for name in FIXED:
        answer = await put(olive, name, other(name))
        assert answer.status_code == 422, name
        assert FIELDS[name].variable in control(answer.text, name), name
        assert await stored() == {}, name


async def test_of_a_form_with_one_mistake_nothing_is_stored_and_everything_stays_typed(olive: Browser) -> None:
    form = {"session_days": "20", "max_message_chars": "many", "max_turns_per_minute": "7"}
    answer = await olive.put("/settings/safety", data=form)
    assert answer.status_code == 422
    assert await stored() == {}
    for name, value in form.items():
        assert f'value="{value}"' in control(answer.text, name)
    assert answer.text.count('class="error"') == 1


@pytest.mark.parametrize(
    ("form", "beside"),
    [
        ({"idle_timeout_seconds": "100", "generation_deadline_seconds": "50"}, "idle_timeout_seconds"),
        ({"idle_timeout_seconds": "2000"}, "idle_timeout_seconds"),
        ({"generation_deadline_seconds": "100"}, "generation_deadline_seconds"),
        ({"first_token_timeout_seconds": "1801"}, "first_token_timeout_seconds"),
        ({"default_max_tokens": "4096", "default_context_window": "4096"}, "default_max_tokens"),
    ],
)
async def test_what_does_not_go_together_is_refused(olive: Browser, form: dict[str, str], beside: str) -> None:
    answer = await olive.put("/settings/models", data=form)
    assert answer.status_code == 422
    assert f'id="error-{beside}"' in answer.text
    assert await stored() == {}


async def test_who_set_the_rest_and_when_stays_known(olive: Browser) -> None:
    await put(olive, "session_days", "20")
    (before,) = await Setting.list_all()
    await put(olive, "session_days", "20", max_turns_per_minute="7")
    after = {row.name: row for row in await Setting.list_all()}
    assert after["session_days"].changed_at == before.changed_at
    assert after["max_turns_per_minute"].changed_at > before.changed_at


async def test_secrets_are_sealed_and_never_reach_the_browser(olive: Browser) -> None:
    await put(olive, "metrics_token", other("metrics_token"))
    row = await fetch_row("SELECT value FROM setting")
    assert row is not None
    assert other("metrics_token") not in row["value"]
    for page in ("/settings/safety", "/settings/file"):
        assert other("metrics_token") not in (await olive.get(page)).text
    answer = await put(olive, "hub_token", "a secret of mine", idle_timeout_seconds="x")
    assert answer.status_code == 422
    assert "a secret of mine" not in answer.text


@pytest.mark.parametrize(
    "form",
    [
        {"nonsense": "1"},
        {"instance_name": "In the wrong group"},
        {"session_days": ["1", "2"]},
        {"taken_back": "session_days"},
        {"taken_back": "hub_token"},
        {"_method": "DELETE"},
    ],
)
async def test_the_form_is_closed(olive: Browser, form: dict[str, str | list[str]]) -> None:
    assert (await olive.put("/settings/safety", data=form)).status_code == 400
    assert await stored() == {}


async def test_one_field_is_looked_at_when_it_is_left(olive: Browser) -> None:
    form = {"default_temperature": "9", "idle_timeout_seconds": "140", "generation_deadline_seconds": "130"}
    headers = {"hx-request": "true", "hx-request-type": "partial"}

    async def look(name: str) -> httpx.Response:
        return await olive.post(f"/settings/models/faults?name={name}", data=form, headers=headers)

    assert "A number from 0 to 2." in (await look("default_temperature")).text
    assert "cannot be longer than the total time" in (await look("idle_timeout_seconds")).text
    assert (await look("generation_deadline_seconds")).text.strip() == ""
    assert (await look("session_days")).status_code == 400
    assert await stored() == {}


async def test_saving_without_a_reload_draws_the_form_again(olive: Browser) -> None:
    headers = {"hx-request": "true", "hx-request-type": "partial"}
    answer = await olive.put("/settings/general", data={"instance_name": "Here"}, headers=headers)
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div id="settings-form">')
    assert "Saved." in answer.text
    assert "<html" not in answer.text


async def test_the_name_and_the_theme_hold_before_a_sign_in(olive: Browser, client: Browser) -> None:
    await put(olive, "instance_name", other("instance_name"))
    await put(olive, "default_theme", "terminal")
    page = (await client.get("/sign-in")).text
    assert "<h1>Sign in to The Reading &lt;i&gt;Room&lt;/i&gt;</h1>" in page
    assert 'data-theme="terminal"' in page


async def test_new_people_begin_as_the_appearance_says(olive: Browser) -> None:
    from tests.people import add_user

    form = {"default_theme": "solarized", "default_send_key": "ctrl-enter", "default_speech": "off"}
    await olive.put("/settings/appearance", data=form)
    new = await add_user("Nora")
    assert (new.theme, new.send_key, new.speech) == ("solarized", "ctrl-enter", "off")


async def test_a_stored_value_of_another_version_is_ignored_and_said_to_be(olive: Browser) -> None:
    await put(olive, "session_days", "20")
    await fetch("UPDATE setting SET value = '\"for ever\"'")
    await put(olive, "max_turns_per_minute", "7")
    assert current().session_days == 30
    assert "The stored value cannot be used: A whole number from 1 to 3,650." in control(
        await page_of(olive, "session_days"), "session_days"
    )
    await put(olive, "session_days", "")
    assert "session_days" not in await stored()


async def test_there_is_no_other_page_of_settings(olive: Browser) -> None:
    assert (await olive.get("/settings/presets")).status_code == 404
    assert (await olive.get("/settings")).headers["location"] == "/settings/general"


async def test_a_save_that_fails_takes_away_what_said_that_the_one_before_was_saved(olive: Browser) -> None:
    headers = {"hx-request": "true", "hx-request-type": "partial"}
    good = await olive.post("/settings/models?_method=PUT", data={"default_temperature": "0.7"}, headers=headers)
    assert '<hx-partial hx-target="#flash" hx-swap="textContent">Saved.</hx-partial>' in good.text
    bad = await olive.post("/settings/models?_method=PUT", data={"default_temperature": "-3"}, headers=headers)
    assert bad.status_code == 422
    assert '<hx-partial hx-target="#flash" hx-swap="textContent"></hx-partial>' in bad.text


async def test_what_is_chosen_among_is_said_in_the_persons_language(olive: Browser) -> None:
    page = (await olive.get("/settings/safety", headers={"accept-language": "de"})).text
    assert '<option value="always">immer</option>' in page
    assert '<option value="never">nie</option>' in page


async def test_an_empty_setting_says_what_holds_then(olive: Browser) -> None:
    page = html.unescape((await olive.get("/settings/models")).text)
    assert 'placeholder="the model that answered"' in page
    assert '<span class="tag">default</span> the model that answered' in page
    for name, field in FIELDS.items():
        if "unset:" in field.help and not field.is_secret:
            assert words.called(name, "") != "none", name
    assert words.called("public_url", "") == "none"
