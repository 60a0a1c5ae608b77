"""What is offered before anything is connected."""

import pytest

from app.chat.found import _address, list_found
from app.database import fetch
from app.providers.client import make_client
from tests.scripted import OLLAMA, OPENAI, ScriptedServer


async def test_what_runs_nearby_is_found_unless_it_is_connected(database: str) -> None:
    async with ScriptedServer(["one", "two"]) as server, make_client() as client:
        host = server.url.removeprefix("http://")
        environment = {"OLLAMA_HOST": host, "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": server.url_for(OPENAI)}
        ollama, openai = await list_found(client, environment)
        assert (ollama.kind, ollama.base_url, ollama.models_count) == ("ollama", server.url_for(OLLAMA), 2)
        assert (openai.kind, openai.base_url, openai.key_from) == ("openai", server.url_for(OPENAI), "OPENAI_API_KEY")
        await fetch(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at)"
            " VALUES (gen_random_uuid(), 'ollama', 'Ollama', $1, '', '', now())",
            ollama.base_url.replace("127.0.0.1", "localhost"),
        )
        assert [found.kind for found in await list_found(client, environment)] == ["openai"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("0.0.0.0:9", "http://127.0.0.1:9"),
        ("https://models.example.org", "https://models.example.org"),
    ],
)
async def test_a_host_that_was_named_is_offered_though_it_is_silent(database: str, host: str, address: str) -> None:
    assert _address(host) == address
    if "example" in host:
        return
    async with make_client() as client:
        found = await list_found(client, {"OLLAMA_HOST": host})
    assert [(each.base_url, each.models_count) for each in found] == [(address, None)]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":9000", "http://127.0.0.1:9000"),
        ("[::]:11434", "http://127.0.0.1:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("gpu.lan", "http://gpu.lan:11434"),
        ("gpu.lan:80", "http://gpu.lan:80"),
        ("gpu.lan/ollama", "http://gpu.lan:11434/ollama"),
        ("gpu.lan:port", "http://gpu.lan:port"),
    ],
)
def test_the_host_of_ollama_is_read_as_ollama_reads_it(host: str, address: str) -> None:
    assert _address(host) == address


KEYS = {
    "OPENAI_API_KEY": ("openai", "OpenAI", "https://api.openai.com/v1"),
    "ANTHROPIC_API_KEY": ("anthropic", "Anthropic", "https://api.anthropic.com"),
    "GEMINI_API_KEY": ("gemini", "Google Gemini", "https://generativelanguage.googleapis.com/v1beta"),
    "GOOGLE_API_KEY": ("gemini", "Google Gemini", "https://generativelanguage.googleapis.com/v1beta"),
    "DEEPAI_API_KEY": ("deepai", "DeepAI", "https://api.deepai.org/api"),
}


@pytest.mark.parametrize("variable", KEYS)
async def test_a_key_in_the_environment_names_its_service(database: str, variable: str) -> None:
    async with make_client() as client:
        found = await list_found(client, {variable: " sk-x\n", "OLLAMA_HOST": "127.0.0.1:9"})
    assert [(each.kind, each.name, each.base_url) for each in found[1:]] == [KEYS[variable]]
    assert found[1].key_from == variable
    assert "sk-x" not in str(found)


async def test_two_keys_for_one_service_are_one_offer(database: str) -> None:
    async with make_client() as client:
        found = await list_found(client, dict.fromkeys(KEYS, "sk-x") | {"OLLAMA_HOST": "127.0.0.1:9"})
    assert [each.key_from for each in found] == [
        "",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "DEEPAI_API_KEY",
    ]


async def test_another_address_without_a_key_is_offered_too(database: str) -> None:
    async with make_client() as client:
        environment = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9/anthropic", "OLLAMA_HOST": "127.0.0.1:9"}
        [_ollama, offered] = await list_found(client, environment)
    assert (offered.name, offered.base_url, offered.key_from) == (
        "Anthropic-compatible server",
        "http://127.0.0.1:9/anthropic",
        "",
    )
