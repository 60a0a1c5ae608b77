"""What people paste where a base URL is wanted, and what is made of it."""

import time

import pytest

from app.chat.address_guesses import Guess, guesses, tidied
from app.providers import PROVIDERS

KINDS = tuple(kind for kind, provider in PROVIDERS.items() if not provider.is_builtin and provider.has_list)


def kinds(first: str) -> list[str]:
    return [first, *(kind for kind in KINDS if kind != first)]


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("openai", "http://a:1/v1", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/", "openai http://a:1/v1"),
        ("openai", "http://a:1//v1//", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1#", "openai http://a:1/v1"),
        ("openai", "https://https://a.example/v1", "openai https://a.example/v1"),
        ("openai", "https://http://a:1/v1", "openai http://a:1/v1"),
        ("openai", "http:/a:1/v1", "openai http://a:1/v1"),
        ("openai", "http//a:1/v1", "openai http://a:1/v1"),
        ("openai", "http:\\\\a:1\\v1", "openai http://a:1/v1"),
        ("openai", "http://a:1/proxy/https://b.example/v1", "openai http://a:1/proxy/https:/b.example/v1"),
        ("openai", "http://a:1/v1?key=secret", "openai http://a:1/v1"),
        ("openai", "http://a:1/#/chat", "openai http://a:1"),
        ("openai", "http://a:1/v1/chat/completions", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/completions", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/chat/completions/", "openai http://a:1/v1"),
        ("openai", "http://a:1/chat/completions", "openai http://a:1"),
        ("openai", "http://a:1/v1/responses", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/embeddings", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/models", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/models/gpt-5", "openai http://a:1/v1"),
        ("openai", "http://a:1/openai/v1/chat/completions", "openai http://a:1/openai/v1"),
        ("anthropic", "http://a:1/v1/models", "anthropic http://a:1"),
        ("gemini", "http://a:1/v1beta/models", "gemini http://a:1/v1beta"),
        ("openai", "http://a:1/v1/messages", "anthropic http://a:1"),
        ("anthropic", "http://a:1/v1/messages/count_tokens", "anthropic http://a:1"),
        ("anthropic", "http://a:1/proxy/v1/messages", "anthropic http://a:1/proxy"),
        ("anthropic", "http://a:1/v1/chat/completions", "openai http://a:1/v1"),
        ("openai", "http://a:1/api/chat", "ollama http://a:1"),
        ("openai", "http://a:1/api/generate", "ollama http://a:1"),
        ("ollama", "http://a:1/ollama/api/tags", "ollama http://a:1/ollama"),
        ("openai", "http://a:1/v1beta/models/gemini-2.5-pro:generateContent", "gemini http://a:1/v1beta"),
        ("gemini", "http://a:1/v1beta/models/x:streamGenerateContent?alt=sse&key=1", "gemini http://a:1/v1beta"),
        ("openai", "http://a:1/v1/v1", "openai http://a:1/v1"),
        ("openai", "http://a:1/v1/v1/v1/", "openai http://a:1/v1"),
        ("openai", "http://a:1/api/v1/api/v1", "openai http://a:1/api/v1"),
        ("openai", "http://a:1/v1/v1/chat/completions", "openai http://a:1/v1"),
        ("gemini", "http://a:1/v1beta/v1beta", "gemini http://a:1/v1beta"),
        ("ollama", "localhost:11434", "ollama http://localhost:11434"),
        ("openai", "127.0.0.1:8080/v1", "openai http://127.0.0.1:8080/v1"),
        ("openai", "[::1]:8080/v1", "openai http://[::1]:8080/v1"),
        ("openai", "//a:1/v1", "openai http://a:1/v1"),
        ("openai", "box.local/v1", "openai http://box.local/v1"),
        ("openai", "harbour", "openai http://harbour"),
        ("openai", "api.example.com/v1", "openai https://api.example.com/v1"),
        ("openai", "api.example.com:443/v1", "openai https://api.example.com:443/v1"),
        ("openai", ' "https://api.example.com/v1" ', "openai https://api.example.com/v1"),
        ("openai", "<https://api.example.com/v1>", "openai https://api.example.com/v1"),
        ("openai", "HTTPS://api.example.com/v1", "openai https://api.example.com/v1"),
        ("openai", "https://me:word@api.example.com/v1/models", "openai https://api.example.com/v1"),
    ],
)  # fmt: skip
def test_what_does_not_belong_into_a_base_url_is_taken_off(kind: str, typed: str, meant: str) -> None:
    found = tidied(Guess(kind, typed), kinds(kind))
    assert f"{found.kind} {found.base_url}" == meant


@pytest.mark.parametrize(
    "typed",
    ["", "  ", "ftp://a/v1", "http://", "http:///v1", "http://a:99999/v1", "a b", "http://a/\x00", "[::1", "://"],
)
def test_what_no_address_can_be_made_of_stays_as_it_is(typed: str) -> None:
    assert tidied(Guess("openai", typed), kinds("openai")) == Guess("openai", typed)
    assert guesses(Guess("openai", typed), kinds("openai")) == []


@pytest.mark.parametrize(
    ("kind", "typed", "among"),
    [
        ("openai", "http://a:1", ["openai http://a:1/v1", "openai http://a:1/api/v1", "ollama http://a:1"]),
        ("openai", "https://api.example.com/api", ["openai https://api.example.com/api/v1"]),
        ("openai", "https://api.example.com/openai", ["openai https://api.example.com/openai/v1"]),
        ("ollama", "http://a:1/v1", ["ollama http://a:1", "openai http://a:1/v1", "anthropic http://a:1/v1"]),
        ("ollama", "http://a:1/api", ["ollama http://a:1"]),
        ("gemini", "http://a:1/v1", ["gemini http://a:1/v1beta", "openai http://a:1/v1"]),
        ("anthropic", "http://a:1", ["openai http://a:1/v1"]),
        ("anthropic", "http://a:1/v1", ["openai http://a:1/v1"]),
        ("openai", "http://a:1/v1", ["anthropic http://a:1", "openai https://a:1/v1"]),
    ],
)  # fmt: skip
def test_the_paths_and_kinds_that_may_be_meant_are_guessed(kind: str, typed: str, among: list[str]) -> None:
    found = guesses(Guess(kind, typed), kinds(kind))
    said = [f"{guess.kind} {guess.base_url}" for guess in found]
    assert set(among) <= set(said)
    assert Guess(kind, typed) not in found
    assert len(said) == len(set(said)) <= 15
    scheme = typed.partition(":")[0]
    own = [guess for guess in found if guess.kind == kind and guess.base_url.startswith(f"{scheme}:")]
    assert found[: len(own)] == own, "the kind that was chosen comes first"


@pytest.mark.parametrize("typed", ["https://me:word@api.example.com/v1/models?key=x", "http://a:1", "harbour/v1/v1"])
def test_a_guess_never_leaves_the_host_and_has_no_secret(typed: str) -> None:
    for guess in guesses(Guess("openai", typed), kinds("openai")):
        assert guess.base_url.split("/")[2] in ("api.example.com", "a:1", "harbour")


@pytest.mark.parametrize("typed", ["https://api.example.com", "api.example.com/v1", "https://1.1.1.1/v1"])
def test_no_key_is_sent_in_the_clear_to_a_server_on_the_internet(typed: str) -> None:
    assert not [guess for guess in guesses(Guess("openai", typed), kinds("openai")) if "http://" in guess.base_url]


def test_one_kind_alone_is_guessed_where_the_kind_is_given() -> None:
    found = guesses(Guess("openai", "http://a:1/v1/messages"), ["openai"])
    assert {guess.kind for guess in found} == {"openai"}
    assert tidied(Guess("openai", "http://a:1/v1/messages"), ["openai"]).kind == "openai"


def test_a_long_path_takes_no_time() -> None:
    began = time.thread_time()
    guesses(Guess("openai", "http://a/" + "v1/" * 600), kinds("openai"))
    guesses(Guess("openai", "http://a/" + "a/b/" * 400 + "x"), kinds("openai"))
    assert time.thread_time() - began < 1
