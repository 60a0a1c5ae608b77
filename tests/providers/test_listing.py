"""Lists of models as a hostile server would tell them: what cannot be a name is left out, what cannot be true is unknown."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.providers.base import Model, Provider, listed
from tests.scripted import OLLAMA, Dialect, ScriptedServer, whole

LISTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "openai": lambda name, number, word: {
        "id": name, "max_model_len": number, "max_completion_tokens": number, "meta": {"size": number},
    },
    "anthropic": lambda name, number, word: {"id": name, "max_input_tokens": number, "max_tokens": number},
    "gemini": lambda name, number, word: {"name": name, "inputTokenLimit": number, "outputTokenLimit": number},
    "ollama": lambda name, number, word: {
        "name": name, "size": number, "details": {"family": word, "quantization_level": word}, "expires_at": word,
    },
}  # fmt: skip

NAMES: list[Any] = [
    "", "x" * 301, "x" * 9000, "a\x00b", "a\ud800b", "a\ufffdb", "a\nb", "a\x1b[31m", "a\u202eb", 7, None, ["a"], True,
]  # fmt: skip
NUMBERS: list[Any] = [2**70, 2**63, 2**62, 2**51, -5, -(2**70), 0, 1e300, 4.5, "many", True, None, [], {}]
WORDS: list[Any] = ["x" * 9000, "x" * 101, "a\x00b", "a\ud800b", "a\nb", "", 7, True, [], {}]


def tell(server: ScriptedServer, dialect: Dialect, entries: list[Any], number: Any = None) -> None:
    """The server lists these, and with Ollama runs them too, with a context window of `number`."""
    body = json.dumps({"data": entries, "models": entries}).encode()
    server.answers[dialect.listing_path] = whole(body)
    server.answers["/api/ps"] = whole(body)
    info = {"general.architecture": "x", "x.context_length": number}
    server.answers["/api/show"] = whole(json.dumps({"model_info": info}).encode())


async def test_what_cannot_be_a_name_is_left_out(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    long = "x" * 300
    entries = [LISTS[dialect.kind](name, 5, "llama") for name in ["b", *NAMES, long, "a"]]
    tell(server, dialect, entries, 5)
    assert [model.name for model in await provider.list_models()] == ["a", "b", long]
    shown = [asked.json["model"] for asked in server.requests if asked.path == "/api/show"]
    assert sorted(shown) == (["a", "b", long] if dialect is OLLAMA else [])


@pytest.mark.parametrize("number", NUMBERS, ids=[str(number)[:10] for number in NUMBERS])
async def test_a_number_that_cannot_be_is_unknown(
    number: Any, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    tell(server, dialect, [LISTS[dialect.kind]("a", number, None)], number)
    is_loaded = True if dialect is OLLAMA else None
    assert await provider.list_models() == [Model("a", is_loaded=is_loaded)]


@pytest.mark.parametrize("word", WORDS, ids=[str(word)[:10].encode("ascii", "replace").decode() for word in WORDS])
@pytest.mark.parametrize("dialect", [OLLAMA], ids=["ollama"])
async def test_a_word_that_cannot_be_is_unknown(
    word: Any, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    tell(server, dialect, [LISTS["ollama"]("a", 5, word)], 5)
    [model] = await provider.list_models()
    assert all("\x00" not in said and len(said) <= 100 for said in (model.family, model.quantisation) if said)
    assert model == Model(
        "a", 5, size_bytes=5, memory_bytes=5, is_loaded=True, family=model.family, quantisation=model.quantisation
    )
    assert {model.family, model.quantisation} <= {None, "a\ufffdb"}


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-14:00", "2318-04-11T00:47:16Z", "soon", -5, 2**70]
)
@pytest.mark.parametrize("dialect", [OLLAMA], ids=["ollama"])
async def test_a_moment_that_cannot_be_is_unknown(
    moment: Any, provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    entry = LISTS["ollama"]("a", 5, None) | {"expires_at": moment}
    tell(server, dialect, [entry])
    assert [model.expires_at for model in await provider.list_models()] == [None]


def test_every_list_goes_the_same_way() -> None:
    """No provider has a `list_models` of its own, which could forget to look."""
    assert {kind.list_models for kind in all_kinds(Provider)} == {Provider.list_models}
    assert listed([Model("a", 1), Model("b"), Model("a", 2)]) == [Model("a", 2), Model("b")]


def all_kinds(kind: type[Provider]) -> set[type[Provider]]:
    return {kind}.union(*map(all_kinds, kind.__subclasses__()))
