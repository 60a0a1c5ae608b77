"""What Ollama does with its models: pull, load, unload, delete, show; and every way in which a pull goes wrong."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime

import httpx
import pytest

from app.providers.base import Account
from app.providers.errors import (
    BadAnswer,
    BadRequest,
    KeyRejected,
    ModelMissing,
    Overloaded,
    ProviderError,
    TimedOut,
    Unreachable,
)
from app.providers.keeping import Details, Keeper, Progress, Pull, Source, SourceRefused, Tensor
from app.providers.ollama import Ollama
from app.providers.ollama_keeping import moment
from tests.providers.conftest import PATIENT
from tests.scripted import (
    LAST_CHUNK,
    OLLAMA,
    Close,
    Repeat,
    Reset,
    Script,
    ScriptedServer,
    Send,
    Sleep,
    Stall,
    chunk,
    head,
    whole,
)
from tests.watching import within


@pytest.fixture
def keeper(server: ScriptedServer, client: httpx.AsyncClient) -> Ollama:
    return Ollama(Account("Acme", server.url_for(OLLAMA)), client, PATIENT)


async def told(work: AsyncGenerator[Progress, None]) -> list[Progress]:
    async with aclosing(work):
        return [progress async for progress in work]


def said(**fields: object) -> Send:
    return Send(chunk(json.dumps(fields).encode() + b"\n"))


def test_ollama_keeps_models() -> None:
    assert issubclass(Ollama, Keeper)


NAMES = {
    "llama3.2": "llama3.2:latest",
    " llama3.2:1b ": "llama3.2:1b",
    "library/llama3.2": "llama3.2:latest",
    "registry.ollama.ai/library/llama3.2:1b": "llama3.2:1b",
    "someone/model-x_1:v1.2": "someone/model-x_1:v1.2",
    "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF": "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:latest",
    "hf.co/org/repo:Q4_K_M": "hf.co/org/repo:Q4_K_M",
    "127.0.0.1:5000/a/b:c": "127.0.0.1:5000/a/b:c",
}


@pytest.mark.parametrize("text", NAMES)
async def test_names_are_looked_up_as_ollama_will_list_them(text: str, keeper: Ollama, server: ScriptedServer) -> None:
    assert await keeper.look_up(Source(text)) == Pull(NAMES[text])
    assert server.requests == []


BAD_NAMES = [
    "", " ", "../x", "a/../b", "/etc/passwd", "a\\b", "a//b", "a/b/c/d", "a:b:c", "x\ny", "x\0", "a b", ".hidden", "-x",
    "https://ollama.com/library/llama3.2", "x" * 201, "a/" + "x" * 81, "modèle", "‮x", "a:", ":a", "a@sha256:00", "a..b",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NAMES)
async def test_names_that_are_none_are_refused(text: str, keeper: Ollama, server: ScriptedServer) -> None:
    with pytest.raises(SourceRefused) as refused:
        await keeper.look_up(Source(text))
    assert refused.value.field == "source"
    with pytest.raises(BadRequest):
        await told(keeper.pull(Pull(text)))
    assert server.requests == []


async def test_a_checksum_is_of_no_use_to_ollama(keeper: Ollama) -> None:
    with pytest.raises(SourceRefused, match="takes no checksum") as refused:
        await keeper.look_up(Source("llama3.2", sha256="0" * 64))
    assert refused.value.field == "sha256"


async def test_a_pull_sums_up_its_layers(keeper: Ollama, server: ScriptedServer) -> None:
    progress = await told(keeper.pull(Pull("other:latest")))
    assert server.models == ["scripted", "other:latest"]
    assert server.requests[-1].json == {"model": "other:latest", "stream": True}
    assert [each.phase for each in progress][:2] == ["connecting", "connecting"]
    assert progress[-1] == Progress("checking", 3500, 3500, "success")
    second_layer = next(each for each in progress if each.line == "pulling 000000000002")
    assert (second_layer.phase, second_layer.done_bytes) == ("downloading", 3000)
    assert second_layer.total_bytes == 3500
    assert [each.done_bytes for each in progress] == sorted(each.done_bytes for each in progress)


async def test_leaving_a_pull_closes_the_socket(keeper: Ollama, server: ScriptedServer) -> None:
    server.answers["/api/pull"] = OLLAMA.pull(1_000_000, steps=1000, every_seconds=0.01)
    work = keeper.pull(Pull("other:latest"))
    async for progress in work:
        if progress.done_bytes:
            break
    await work.aclose()
    async with within("the end of the connection"):
        await server.requests[-1].closed.wait()


def begun(*then: object) -> Script:
    line = said(status="pulling abc", digest="sha256:abc", total=100, completed=7)
    return (OLLAMA.head(), said(status="pulling manifest"), line, Sleep(0.02), *then)  # type: ignore[arg-type]


STILL = said(status="pulling abc", digest="sha256:abc", total=100, completed=7).content

FAULTS: dict[str, tuple[Script, type[ProviderError], bool]] = {
    "never answers": ((Stall(),), TimedOut, True),
    "silent after the head": ((OLLAMA.head(), Stall()), TimedOut, True),
    "silent in the middle": (begun(Stall()), TimedOut, True),
    "no news for ever": (begun(Repeat(STILL, None, 0.01)), TimedOut, True),
    "blank lines for ever": (begun(Repeat(chunk(b"\n"), None, 0.01)), TimedOut, True),
    "closed at once": ((Close(),), Unreachable, True),
    "closed in the middle": (begun(Close()), Unreachable, True),
    "reset in the middle": (begun(Reset()), Unreachable, True),
    "ended without success": (begun(Send(LAST_CHUNK)), Unreachable, True),
    "a line cut by the end": (begun(Send(chunk(b'{"status":"succ')), Send(LAST_CHUNK)), Unreachable, True),
    "garbage": (begun(Send(chunk(b"\x00\xff nonsense\n")), Stall()), BadAnswer, False),
    "another shape": (begun(Send(chunk(b"[7]\n")), Stall()), BadAnswer, False),
    "an endless line": (begun(Repeat(chunk(b"x" * 65_536), 50 * 16)), BadAnswer, False),
    "a web page": (whole(b"<html>", 200, "text/html"), BadAnswer, False),
    "no such path": (whole(b"404 page not found", 404, "text/plain"), BadRequest, False),
    "a wrong key": (whole(b"{}", 401), KeyRejected, False),
    "unknown in its registry": (OLLAMA.stream(OLLAMA.error("pull model manifest: file does not exist")), ModelMissing, False),
    "refused by its registry": (OLLAMA.stream(OLLAMA.error("pull model manifest: 400: no GGUF there")), BadRequest, False),
    "a full disk": (begun(Send(chunk(OLLAMA.error("write /x: no space left on device")))), BadRequest, False),
    "its registry is away": (
        OLLAMA.stream(OLLAMA.error('pull model manifest: Get "https://r": dial tcp: lookup r: no such host')),
        Overloaded,
        True,
    ),
    "gave up": (begun(Send(chunk(OLLAMA.error("max retries exceeded: EOF")))), Overloaded, True),
    "answers with an error": (whole(b'{"error":"boom"}', 500), Overloaded, True),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_a_pull_that_goes_wrong_says_so(name: str, keeper: Ollama, server: ScriptedServer) -> None:
    server.answers["/api/pull"], error, is_retryable = FAULTS[name]
    if error is TimedOut:
        keeper.silence_seconds = 0.5
    with pytest.raises(ProviderError) as failed:
        await told(keeper.pull(Pull("other:latest")))
    assert type(failed.value) is error
    assert failed.value.is_retryable is is_retryable
    assert "Acme" in failed.value.sentence


async def test_numbers_that_make_no_sense_do_no_harm(keeper: Ollama, server: ScriptedServer) -> None:
    lines = [
        said(status="pulling a", digest="a", total=-5, completed=9),
        said(status="pulling b", digest="b", total=10, completed=99),
        said(status="pulling c", digest="c", total=2**200, completed=-1),
        said(status="\x1b[31m<b>x</b>\u202e" * 500),
        said(status="success"),
    ]
    server.answers["/api/pull"] = (OLLAMA.head(), *lines, Send(LAST_CHUNK))
    progress = await told(keeper.pull(Pull("other:latest")))
    assert all(0 <= each.done_bytes <= (each.total_bytes or 2**63) < 2**63 for each in progress if each.total_bytes)
    assert all(len(each.line) <= 300 and each.line.isprintable() for each in progress)


async def test_a_model_is_loaded_with_the_window_that_threads_have(keeper: Ollama, server: ScriptedServer) -> None:
    server.models = ["a", "b"]
    assert [each.phase for each in await told(keeper.load("b"))] == ["loading"]
    body = server.requests[-1].json
    assert "prompt" not in body
    assert body["options"] == {"num_ctx": 8192}
    assert [model.is_loaded for model in await keeper.list_models()] == [True, True]
    await keeper.unload("b")
    await keeper.unload("a")
    assert [model.is_loaded for model in await keeper.list_models()] == [False, False]
    assert [model.memory_bytes for model in await keeper.list_models()] == [None, None]
    await keeper.delete("a")
    assert [model.name for model in await keeper.list_models()] == ["b"]


async def test_loading_is_not_held_to_the_time_of_small_answers(keeper: Ollama, server: ScriptedServer) -> None:
    keeper.wire.json_seconds = 0.05
    server.answers["/api/generate"] = (Sleep(0.3), *whole(b'{"done": true}'))
    await told(keeper.load("scripted"))
    server.answers["/api/generate"] = (Stall(),)
    keeper.silence_seconds = 0.5
    with pytest.raises(TimedOut):
        await told(keeper.load("scripted"))


ORDERS: dict[str, Callable[[Ollama, str], object]] = {
    "load": lambda keeper, name: told(keeper.load(name)),
    "unload": lambda keeper, name: keeper.unload(name),
    "delete": lambda keeper, name: keeper.delete(name),
    "details": lambda keeper, name: keeper.details(name),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["gone", "../gone", ""])
async def test_models_that_are_not_there_are_missing(
    order: str, name: str, keeper: Ollama, server: ScriptedServer
) -> None:
    server.answers["/api/show"] = whole(f'{{"error":"model \'{name}\' not found"}}'.encode(), 404)
    with pytest.raises(ModelMissing):
        await ORDERS[order](keeper, name)  # type: ignore[misc]


async def test_details_are_what_ollama_shows(keeper: Ollama, server: ScriptedServer) -> None:
    assert await keeper.details("scripted") == Details(
        template="{{ .Prompt }}",
        parameters='stop "<|end|>"',
        licence="MIT",
        metadata=(("general.architecture", "llama"), ("llama.context_length", "131072")),
        tensors=(Tensor("token_embd.weight", (64, 512), "F16"),),
    )


async def test_tensors_that_are_told_only_on_request_are_requested(keeper: Ollama, server: ScriptedServer) -> None:
    server.answers["/api/show"] = whole(b'{"template": "x\\u0000", "model_info": {"a": [1], "b": 1.5}, "license": 7}')
    assert await keeper.details("scripted") == Details(template="x\ufffd", metadata=(("b", "1.5"),))
    assert [asked.json.get("verbose") for asked in server.requests] == [None, True]


async def test_details_that_are_none_are_an_error(keeper: Ollama, server: ScriptedServer) -> None:
    server.answers["/api/show"] = (Send(head(200) + b"{"), Stall())
    keeper.silence_seconds = 0.5
    with pytest.raises(TimedOut):
        await keeper.details("scripted")


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00Z", "2318-07-01T00:00:00.5+02:00", "", "soon", None, 7, "9999-99-99T00:00:00Z",
     "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"],
)  # fmt: skip
def test_a_moment_far_away_is_unknown(text: object) -> None:
    assert moment(text) is None


def test_a_moment_is_read_whatever_its_dress() -> None:
    now = datetime.now(UTC).replace(microsecond=123456)
    assert moment(now.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")) == now
    assert moment(now.strftime("%Y-%m-%dT%H:%M:%S.123456789+00:00")) == now
