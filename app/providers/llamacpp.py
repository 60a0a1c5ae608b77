"""The embedded engine: GGUF files in a folder, each run by a llama.cpp process of ours (`engines`) on loopback."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import structlog

from app.providers.base import Account, ChatRequest, Event, Limits, Model, Provider, TokenCount
from app.providers.completions import ChatReader, chat_body
from app.providers.engines import ENGINES, Engine, Engines
from app.providers.errors import ModelMissing
from app.providers.frames import SseDecoder
from app.providers.gguf_header import GgufHeader, NotGguf, read_header
from app.providers.http import Wire
from app.words import gettext as _

DEFAULT_CONTEXT_WINDOW = 4096
MAX_FILES = 1000
_PROMPT_FIELDS = ("messages", "tools", "chat_template_kwargs")

log = structlog.get_logger(__name__)


class LlamaCpp(Provider):
    """Models in `account.models_folder`, named as their files.

    An unfinished answer stands last in the prompt: llama.cpp goes on from it and does not repeat it. The context window
    is a choice made at start, so asking for a larger one starts the model anew.
    """

    kind = "llamacpp"
    is_builtin = True
    takes = frozenset(
        {"temperature", "top_p", "top_k", "repeat_penalty", "max_tokens", "context_window", "stop", "reasoning_effort"}
    )

    def __init__(
        self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None, engines: Engines | None = None
    ) -> None:
        super().__init__(account, client, limits)
        self.engines = engines or ENGINES

    @classmethod
    def label(cls) -> str:
        return _("This machine")

    async def list_models(self) -> list[Model]:
        found = await asyncio.to_thread(_scan, self.account.models_folder)
        return [_model(path, header, is_loaded=self.engines.is_running(path)) for path, header in found.items()]

    def body(self, request: ChatRequest) -> dict[str, Any]:
        body = chat_body(self.account, request, takes=self.takes - {"reasoning_effort"}, prefills=True)
        if effort := request.parameters.reasoning_effort:  # templates read it, those of gpt-oss for one
            body["chat_template_kwargs"] = {"reasoning_effort": effort}
        return body

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        body = self.body(request)
        path, context_tokens = await self._model_of(request)
        async with self.engines.use(path, context_tokens) as engine:
            wire = self._wire(engine, "/v1")
            response = await wire.open("/chat/completions", body, "text/event-stream")
            async with aclosing(wire.events(response, SseDecoder(), ChatReader(wire))) as events:
                async for event in events:
                    yield event

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """Exact, by the model's own template and tokenizer: starts the engine, which the answer will need anyway."""
        body = self.body(request)
        asked: dict[str, Any] = {name: body[name] for name in _PROMPT_FIELDS if name in body}
        path, context_tokens = await self._model_of(request)
        async with self.engines.use(path, context_tokens) as engine:
            wire = self._wire(engine)
            prompt = (await wire.fetch("POST", "/apply-template", _Prompt, asked)).prompt
            question = {"content": prompt, "add_special": True, "parse_special": True}
            tokens = (await wire.fetch("POST", "/tokenize", _Tokens, question)).tokens
        return TokenCount(len(tokens), is_exact=True)

    async def _model_of(self, request: ChatRequest) -> tuple[Path, int]:
        found = await asyncio.to_thread(_scan, self.account.models_folder)
        named = [(path, header) for path, header in found.items() if path.stem == request.model]
        if not named:
            sentence = _("There is no model file named %(model)s in the models folder any more.")
            raise ModelMissing(sentence % {"model": request.model[:100]})
        path, header = named[0]
        wanted = request.parameters.context_window or DEFAULT_CONTEXT_WINDOW
        return path, min(wanted, header.context_length or wanted)

    def _wire(self, engine: Engine, prefix: str = "") -> Wire:
        account = Account(self.account.name, base_url=engine.address + prefix, key=engine.key)
        return Wire(account, self.client, self.limits)


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[Any]


def _scan(folder: str) -> dict[Path, GgufHeader]:
    """The usable model files of a folder, by path. What cannot be used is logged once and left out."""
    found: dict[Path, GgufHeader] = {}
    try:
        paths = sorted(Path(folder).glob("*.gguf"))[:MAX_FILES] if folder else []
    except OSError as error:
        log.warning("models_folder_unreadable", reason=error.strerror)
        return found
    for path in paths:
        try:
            if path.is_file():
                state = path.stat()
                header = _header(path, state.st_mtime_ns, state.st_size)
                if header and header.is_chat_model and path.stem.isprintable():
                    found[path] = header
        except OSError as error:
            log.warning("model_file_unreadable", file=path.name, reason=error.strerror)
    return found


@lru_cache(maxsize=MAX_FILES)
def _header(path: Path, modified_ns: int, size_bytes: int) -> GgufHeader | None:
    """Read once for each version of a file: large vocabularies take a while, and the list is refreshed every minute."""
    try:
        return read_header(path)
    except NotGguf as error:
        log.warning("model_file_refused", file=path.name, reason=str(error))
        return None


def _model(path: Path, header: GgufHeader, *, is_loaded: bool) -> Model:
    template = header.chat_template
    return Model(
        name=path.stem,
        context_window=header.context_length,
        size_bytes=header.size_bytes,
        family=header.architecture,
        quantisation=header.quantisation,
        is_loaded=is_loaded,
        has_vision=False,  # needs a projector file, which the engine is not given
        has_tools="tools" in template,
        has_reasoning="<think>" in template or "enable_thinking" in template,
        is_embedding=header.is_embedding,
    )
