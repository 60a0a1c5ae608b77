"""The table of known models: it is whole, dated, sourced, and found by the names that servers use."""

import datetime
from urllib.parse import urlsplit

import pytest

from app.providers.base import Parameters
from app.providers.known import PRICES, Entry, Facts, known_facts, table

OPENAI = "https://api.openai.com/v1"
ENTRIES = [pytest.param(entry, id=entry.names[0]) for maker in table().makers for entry in maker.models]


def test_the_table_has_its_date() -> None:
    assert datetime.date.fromisoformat(table().as_of) >= datetime.date(2026, 11, 21)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_has_names_a_source_and_facts(entry: Entry) -> None:
    source = urlsplit(entry.source)
    assert (source.scheme, bool(source.hostname)) == ("https", True)
    assert all(name == name.casefold() and "/" not in name for name in entry.names)
    assert any(getattr(entry, field) is not None for field in Facts.__struct_fields__)
    assert set(entry.not_taken) <= set(Parameters.__struct_fields__)


def test_no_name_stands_twice() -> None:
    names = [name for maker in table().makers for entry in maker.models for name in entry.names]
    assert len(names) == len(set(names))


def test_open_weights_have_no_price() -> None:
    entries = [entry for maker in table().makers if not maker.hosts for entry in maker.models]
    assert entries
    assert all(getattr(entry, price) is None for entry in entries for price in PRICES)


@pytest.mark.parametrize(
    ("name", "url", "window", "price"),
    [
        ("gpt-4o", OPENAI, 128_000, 2.5),
        ("gpt-4o-2024-11-20", OPENAI, 128_000, 2.5),
        ("gpt-4o-2024-05-13", OPENAI, 128_000, 5.0),
        ("openai/gpt-4o", "https://elsewhere.example/v1", 128_000, None),
        ("GPT-4o", "not an address", 128_000, None),
        ("models/gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta", 1_048_576, 0.3),
        ("claude-haiku-4-5-20251001", "https://api.anthropic.com", 200_000, 1.0),
        ("claude-haiku-4-5@20251001", "", 200_000, None),
        ("Qwen3-8B-Q4_K_M", "", 32_768, None),
        ("gemma3:1b-it-qat", "", 32_000, None),
        ("gemma3:27b", "", 128_000, None),
        ("gpt-4o-audio-preview", OPENAI, None, None),
        ("ft:gpt-4o:acme::abc", OPENAI, None, None),
        ("claude-opus-5-7", "https://api.anthropic.com", None, None),
        ("", "", None, None),
    ],
)
def test_a_model_is_found_by_its_name(name: str, url: str, window: int | None, price: float | None) -> None:
    found = known_facts(name, url)
    assert (found.context_window, found.input_price) == (window, price)
