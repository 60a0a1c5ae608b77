"""Settings come from the environment, say what they want, and stand in .env.example, all of them."""

import pathlib
import re

import msgspec
import pytest

from app import settings
from app.settings import FIELDS, BadSetting, Settings, environment_name, help_of, read, resolve
from app.settings.values import to_text
from tests.programs import ROOT

NAMES = Settings.__struct_fields__


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_lists_every_setting_in_order_with_its_help() -> None:
    assert list(example()) == [environment_name(name) for name in NAMES]
    lines = (ROOT / ".env.example").read_text().splitlines()
    for name in NAMES:
        above = lines[next(n for n, line in enumerate(lines) if line.startswith(environment_name(name) + "=")) - 1]
        assert above.startswith(f"# {help_of(name)}")


def test_the_example_holds_the_defaults_and_locks_nothing() -> None:
    found = resolve(example(), {})
    assert found.values == read({})
    assert not [name for name, field in FIELDS.items() if field.is_live and found.is_locked(name)]
    lines = (ROOT / ".env.example").read_text().splitlines()
    for field in FIELDS.values():
        if field.is_live and to_text(field.default):
            assert f"# {field.help} Default: {to_text(field.default)}" in lines


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_help_that_is_a_sentence(name: str) -> None:
    assert re.fullmatch(r"\S.*[^.][.…]", help_of(name))


def test_empty_means_the_default() -> None:
    assert read({"PARLEY_PORT": "", "PARLEY_HOST": "  "}) == read({})


def test_values_get_their_types(tmp_path: pathlib.Path) -> None:
    given = read(
        {
            "PARLEY_DATA": str(tmp_path / "x" / ".." / "data"),
            "DATABASE_URL": "postgres://olive@db/parley",
            "PARLEY_PORT": "9000",
            "PARLEY_DEMO": "yes",
            "PARLEY_TRUSTED_PROXIES": "10.0.0.1, 10.1.0.0/16",
            "PARLEY_DRAIN_SECONDS": "1.5",
            "PARLEY_DEFAULT_TEMPERATURE": "0.2",
        }
    )
    assert given.data == tmp_path / "data"
    assert given.models_folder == tmp_path / "data" / "models"
    assert given.database_url == "postgres://olive@db/parley"
    assert (given.port, given.demo, given.drain_seconds) == (9000, True, 1.5)
    assert given.trusted_proxies == ("10.0.0.1", "10.1.0.0/16")
    assert given.default_temperature == 0.2


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PARLEY_PORT", "70000"),
        ("PARLEY_PORT", "http"),
        ("PARLEY_DEMO", "perhaps"),
        ("PARLEY_SECURE_COOKIES", "sometimes"),
        ("PARLEY_TRUSTED_PROXIES", "10.0.0.1,proxy"),
        ("PARLEY_MAX_MESSAGE_CHARS", "-1"),
    ],
)
def test_a_bad_value_is_named_in_one_sentence(variable: str, value: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read({variable: value})
    sentence = str(caught.value)
    assert sentence.startswith(f"{variable}={value!r} cannot be used: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.2", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example.org", False),
    ],
)
def test_only_loopback_is_private(host: str, is_loopback: bool) -> None:
    assert read({"PARLEY_HOST": host}).is_loopback is is_loopback


def test_the_process_has_its_own_settings_read_once() -> None:
    assert settings.settings is settings.settings
    assert isinstance(settings.current(), msgspec.Struct)
    assert settings.settings.port == settings.current().port
