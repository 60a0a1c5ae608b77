"""A scripted server and a client for it, and a look at what is left of both when a test is over."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from app.parts import (
    Delta,
    Finish,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    fold,
)
from app.providers import PROVIDERS, amendments
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Limits, Parameters, Provider, Tool
from app.providers.client import make_client
from app.providers.engines import Engines
from app.providers.errors import ProviderError
from app.providers.llamacpp import LlamaCpp
from app.providers.openai import OpenAI
from tests.scripted import DIALECTS, Dialect, ScriptedServer
from tests.tiny_gguf import write_tiny_gguf
from tests.watching import until

KEY = "sk-test-0123456789abcdef"
#: For tests of what is said, which a busy machine must not turn into tests of time.
PATIENT = Limits(60, 60)
#: Where few bytes are to be an endless answer.
CALM = Limits(60, 60, max_answer_bytes=100_000)
#: For tests that wait for silence.
QUICK = Limits(first_token_seconds=0.8, between_frames_seconds=0.4, max_answer_bytes=100_000)


class AtOpenAI(OpenAI):
    """The provider as it is for OpenAI's own hosts."""

    responses_hosts = re.compile(".*")


ADAPTERS: dict[str, type[Provider]] = {**PROVIDERS, "responses": AtOpenAI}


@dataclass
class Outcome:
    """What a stream gave before it ended, and the error that ended it, if one did."""

    events: list[Event] = field(default_factory=list)
    error: ProviderError | None = None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    @property
    def parts(self) -> tuple[object, ...]:
        return fold(event for event in self.events if isinstance(event, Delta))

    @property
    def usage(self) -> list[Usage]:
        return [event for event in self.events if isinstance(event, Usage)]

    @property
    def finish(self) -> list[Finish]:
        return [event for event in self.events if isinstance(event, Finish)]


def question(text: str = "Why?", model: str = "scripted", **parameters: object) -> ChatRequest:
    """A prompt of one message."""
    message = ChatMessage("user", (TextPart(text),))
    return ChatRequest(model, (message,), Parameters(**parameters))  # type: ignore[arg-type]


async def collect(events: AsyncGenerator[Event, None]) -> Outcome:
    """Read a stream to its end, whichever it is."""
    outcome = Outcome()
    try:
        async with aclosing(events):
            async for event in events:
                outcome.events.append(event)
    except ProviderError as error:
        outcome.error = error
    return outcome


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what becomes true elsewhere in this loop: counts of open sockets and files announce themselves to nobody."""
    await until("what becomes true elsewhere", holds)


class _Chunks(httpx.AsyncByteStream):
    def __init__(self, chunks: tuple[bytes, ...]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def replayed(dialect: Dialect, *chunks: bytes) -> Provider:
    """An account whose server answers everything with the body of a stream in exactly these chunks, without a network."""
    headers = {"Content-Type": dialect.content_type}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=_Chunks(chunks)))
    client = httpx.AsyncClient(transport=transport)  # opens nothing that had to be closed
    return ADAPTERS[dialect.kind](Account("Acme", "http://replayed"), client)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=DIALECTS, ids=[dialect.kind for dialect in DIALECTS])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture(autouse=True)
def _forgotten_refusals() -> None:
    """What the server of another test refused was perhaps at the same address."""
    amendments.forget()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[httpx.AsyncClient]:
    """Once it is closed, no connection may be left, neither at the server nor among the open files."""
    before = open_files()
    async with make_client() as client:
        yield client
    await eventually(lambda: server.open_connections == 0)
    await eventually(lambda: open_files() <= before)


@pytest.fixture
def limits() -> Limits:
    """How patient the provider is. A test that waits for silence says `QUICK`, and accepts that a machine stood still."""
    return PATIENT


@pytest.fixture
def provider(dialect: Dialect, server: ScriptedServer, client: httpx.AsyncClient, limits: Limits) -> Provider:
    """An account of this dialect at the scripted server."""
    account = Account("Acme", server.url_for(dialect), KEY)
    return ADAPTERS[dialect.kind](account, client, limits)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def folder(model_file: Path, tmp_path: Path) -> Path:
    shutil.copy(model_file, tmp_path / "tiny.gguf")
    return tmp_path


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    engines = Engines()
    yield engines
    await engines.close()
    assert children() == []


@pytest.fixture
def local(folder: Path, client: httpx.AsyncClient, engines: Engines) -> LlamaCpp:
    return LlamaCpp(Account("This machine", models_folder=str(folder)), client, Limits(120, 120), engines)


def children() -> list[int]:
    """The engines of this process, those that have not been waited for included."""
    found = []
    for child in psutil.Process().children(recursive=True):
        # It may end while it is looked at, and then it is no engine any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            # One that was not waited for has no arguments any more. A browser's are for the browser to wait for.
            is_left = child.status() == psutil.STATUS_ZOMBIE and child.ppid() == os.getpid()
            if is_left or "llamacpp_server" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


async def broken_off(local: LlamaCpp, break_off: Callable[[int], Awaitable[None]]) -> Outcome:
    """An answer whose engine, a process with this number, is held still in the midst of it and then broken off.

    An engine is faster than a test: one that had finished before it was held is asked again.
    """
    for _ in range(5):
        events = local.stream(ask(max_tokens=None))
        assert isinstance(await anext(events), TextDelta)
        [child] = children()
        os.kill(child, signal.SIGSTOP)
        await break_off(child)
        outcome = await collect(events)
        if outcome.error is not None:
            break
    return outcome


def conversation(*, continues: bool) -> ChatRequest:
    """System, question, tool call and result, answer; perhaps to be continued."""
    answer = (ReasoningPart("secret thoughts"), TextPart("It is"))
    messages = (
        ChatMessage("system", (TextPart("Be brief."),)),
        ChatMessage("user", (TextPart("One?"), TextPart("Two?"))),
        ChatMessage("assistant", (ReasoningPart("look it up"), ToolCallPart("c1", "look", '{"at": 1}'))),
        ChatMessage("tool", (ToolResultPart("c1", "found"),)),
        ChatMessage("assistant", (ReasoningPart("nothing to say"),)),
        ChatMessage("assistant", answer),
    )
    tool = Tool("look", "Looks.", {"type": "object"})
    return ChatRequest("m", messages, Parameters(temperature=0, stop=("END",)), (tool,), continues)


def ask(text: str = "Hello", **parameters: object) -> ChatRequest:
    return question(text, "tiny", **({"max_tokens": 12} | parameters))
