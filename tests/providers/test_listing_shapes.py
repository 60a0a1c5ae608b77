"""The shapes in which servers list their models, in every dialect: null, bare lists, names alone; or no list at all."""

import codecs
import json
from typing import Any

import pytest

from app.providers.base import Limits, Provider
from app.providers.errors import BadAnswer, KeyRejected, NoList, ProviderError
from app.providers.listings import entries_in, protocol_of
from app.providers.ollama import Ollama
from app.providers.openai import OpenAI
from tests.providers.conftest import PATIENT
from tests.providers.test_listing import LISTS
from tests.scripted import OLLAMA, OPENAI, Dialect, ScriptedServer, whole
from tests.scripted.steps import Close

#: A list as a server may write it; `A` and `B` stand for entries of the dialect.
A, B = "@a@", "@b@"
SHAPES: dict[str, tuple[Any, list[str]]] = {
    "null": (None, []),
    "data is null": ({"object": "list", "data": None}, []),
    "models are null": ({"models": None}, []),
    "both are null": ({"data": None, "models": None}, []),
    "an empty list": ([], []),
    "an empty box": ({"models": {}}, []),
    "a bare list": ([A, B], ["a", "b"]),
    "data": ({"data": [A, B]}, ["a", "b"]),
    "models": ({"models": [A, B]}, ["a", "b"]),
    "models beside null": ({"data": None, "models": [A]}, ["a"]),
    "models in data": ({"code": 0, "data": {"models": [A]}}, ["a"]),
    "names": ({"models": ["b", "a", 7, None]}, ["a", "b"]),
    "bare names": (["b", "a"], ["a", "b"]),
    "names as keys": ({"models": {"a": {"size": 5}, "b": {}}}, ["a", "b"]),
    "another place for the name": ([{"model": "a"}], ["a"]),
    "null among them": ([None, A, 7, "stray"], ["a"]),
}  # fmt: skip
NO_LISTS: list[Any] = [
    7,
    "models",
    True,
    {},
    {"hello": 1},
    {"data": 7},
    {"data": "x", "models": 7},
    {"error": {"message": "x"}},
]


def in_dialect(shape: Any, dialect: Dialect) -> Any:
    """The shape with entries as this dialect writes them."""
    entries = {json.dumps(place): json.dumps(LISTS[dialect.kind](name, 5, "x")) for place, name in ((A, "a"), (B, "b"))}
    text = json.dumps(shape)
    for place, entry in entries.items():
        text = text.replace(place, entry)
    return text.encode()


@pytest.fixture
def limits() -> Limits:
    return PATIENT


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_list_is_read_in_every_shape(
    provider: Provider, server: ScriptedServer, dialect: Dialect, shape: str, mark: bytes
) -> None:
    answer, names = SHAPES[shape]
    server.answers[dialect.listing_path] = whole(mark + in_dialect(answer, dialect))
    assert [model.name for model in await provider.list_models()] == names


@pytest.mark.parametrize("answer", NO_LISTS, ids=str)
async def test_what_is_no_list_is_none(
    provider: Provider, server: ScriptedServer, dialect: Dialect, answer: Any
) -> None:
    server.answers[dialect.listing_path] = whole(json.dumps(answer).encode())
    with pytest.raises(BadAnswer):
        await provider.list_models()


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_a_server_without_a_list_says_so(
    provider: Provider, server: ScriptedServer, dialect: Dialect, status: int
) -> None:
    server.answers[dialect.listing_path] = whole(b"no", status, "text/plain")
    with pytest.raises(NoList) as caught:
        await provider.list_models()
    assert caught.value.status == status


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_a_list_that_fails_is_not_missing(
    provider: Provider, server: ScriptedServer, dialect: Dialect, status: int
) -> None:
    server.answers[dialect.listing_path] = whole(b"no", status, "text/plain")
    with pytest.raises(ProviderError) as caught:
        await provider.list_models()
    assert not isinstance(caught.value, NoList)


def questions_path(dialect: Dialect) -> str:
    return "/v1beta/models/parley:generateContent" if dialect.kind == "gemini" else dialect.chat_path


@pytest.mark.parametrize(
    ("script", "takes"),
    [
        (whole(b'{"error": "model is required"}', 400), True),
        (whole(b'{"detail": [{"loc": ["body", "model"], "msg": "empty"}]}', 422), True),
        (whole(b'{"error": {"message": "models/parley is not found"}}', 404), True),
        (whole(b'{"error": "overloaded"}', 503), True),
        (whole(b"{}"), True),
        ((Close(),), True),
        (whole(b"404 page not found", 404, "text/plain"), False),
        (whole(b"", 405), False),
        (whole(b"", 501), False),
        (whole(b"<html>Hi", 200, "text/html"), False),
        (whole(b"", 302, Location="/"), False),
    ],
    ids=["400", "422", "no such model", "503", "an answer", "a hang-up", "404", "405", "501", "a page", "a redirect"],
)  # fmt: skip
async def test_whether_questions_are_taken_is_found_out_without_a_list(
    provider: Provider, server: ScriptedServer, dialect: Dialect, script: Any, takes: bool
) -> None:
    server.answers[questions_path(dialect)] = script
    assert await provider.takes_questions() is takes
    (asked,) = server.requests if len(server.requests) == 1 else server.requests[:1]
    assert asked.json.get("messages", asked.json.get("contents")) == []


async def test_a_path_that_is_not_found_is_no_model_that_is_missing(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    path = questions_path(dialect)
    server.answers[path] = whole(f"The path {path} was not found.".encode(), 404, "text/plain")
    assert await provider.takes_questions() is False


async def test_a_key_that_is_refused_there_is_said(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.answers[questions_path(dialect)] = whole(dialect.error_body("who are you"), 401)
    with pytest.raises(KeyRejected):
        await provider.takes_questions()


async def test_a_list_tells_whose_protocol_it_is_written_in(
    provider: Provider, server: ScriptedServer, dialect: Dialect
) -> None:
    server.models = ["a"]
    if dialect is OLLAMA:  # as Ollama writes it, which says more than our double
        server.answers["/api/tags"] = whole(b'{"models": [{"name": "a", "modified_at": "x", "digest": "y"}]}')
    await provider.list_models()
    assert provider.listed_as == provider.kind


def test_a_list_that_could_be_anybodys_tells_nothing() -> None:
    answers: list[dict[str, Any]] = [{"data": [{"id": "a"}]}, {"models": []}, {"data": None}]
    for answer in answers:
        entries = entries_in(answer)
        assert entries is not None
        assert protocol_of(answer, entries) == ""


@pytest.mark.parametrize(
    ("meta", "window"),
    [
        ({"n_ctx": 4096, "n_ctx_train": 131072}, 4096),
        ({"n_ctx_train": 131072}, 131072),
        ({"n_ctx": 0, "n_ctx_train": 8192}, 8192),
        ({"n_ctx": "4096", "n_ctx_train": 8192}, 8192),
        ({"n_ctx": None}, None),
    ],
)
@pytest.mark.parametrize("dialect", [OPENAI], ids=["openai"])
async def test_the_window_of_llama_cpp_is_the_one_it_was_started_with(
    provider: OpenAI, server: ScriptedServer, meta: dict[str, Any], window: int | None
) -> None:
    server.answers["/v1/models"] = whole(json.dumps({"data": [{"id": "a", "meta": meta}]}).encode())
    assert [model.context_window for model in await provider.list_models()] == [window]


@pytest.mark.parametrize(
    ("script", "version"),
    [
        (whole(b'{"version": "0.12.6"}'), "0.12.6"),
        (whole(b'{"version": " 0.5.1\\n"}'), "0.5.1"),
        (whole(b'{"version": ""}'), ""),
        (whole(b"{}"), ""),
        (whole(b'{"version": 7}'), ""),
        (whole(b'{"version": "a\\u0000b"}'), ""),
        (whole(json.dumps({"version": "x" * 9000}).encode()), ""),
        (whole(b"no", 404, "text/plain"), ""),
        (whole(b"no", 500, "text/plain"), ""),
        ((Close(),), ""),
    ],
    ids=["said", "space", "empty", "unsaid", "a number", "NUL", "endless", "404", "500", "a hang-up"],
)  # fmt: skip
@pytest.mark.parametrize("dialect", [OLLAMA], ids=["ollama"])
async def test_an_ollama_says_its_version_or_not(
    provider: Ollama, server: ScriptedServer, script: Any, version: str
) -> None:
    server.answers["/api/version"] = script
    assert await provider.server_version() == version


async def test_others_have_no_version(provider: Provider, server: ScriptedServer, dialect: Dialect) -> None:
    if dialect is not OLLAMA:
        assert await provider.server_version() == ""
        assert server.requests == []
