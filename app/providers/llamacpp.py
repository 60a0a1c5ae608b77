"""The embedded engine: GGUF files (`model_files`), each run by a llama.cpp process of ours (`engines`) on loopback."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import msgspec

from app.origins import origin_of
from app.parts import TextPart, text_of
from app.providers import model_files
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Limits, Model, Provider, TokenCount
from app.providers.completions import ChatReader, chat_body
from app.providers.engine import Engine, EngineState
from app.providers.engines import ENGINES, Engines
from app.providers.http import EVENT_STREAM, Wire
from app.providers.llamacpp_keeping import LlamaCppKeeping
from app.providers.model_files import ModelFile
from app.providers.thought_stream import told_apart
from app.words import gettext as _

_PROMPT_FIELDS = ("messages", "tools", "chat_template_kwargs")


class LlamaCpp(Provider, LlamaCppKeeping):
    """Models in `account.models_folder`, named as their files, and those that installed packages bring.

    An unfinished answer stands last in the prompt: llama.cpp goes on from it and does not repeat it. The context window
    is a choice made at start, so asking for a larger one starts the model anew.
    """

    kind = "llamacpp"
    is_builtin = True
    runs_here = True
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
        return _("On this machine")

    async def read_models(self) -> Iterable[Model]:
        found = await self._files()
        return [_model(file, self.engines.find(file.path)) for file in found.values()]

    def is_bundled(self, model: str) -> bool:
        return model_files.find_bundled(model) is not None

    def body(self, request: ChatRequest) -> dict[str, Any]:
        body = chat_body(self.account, _guided(request), takes=self.takes - {"reasoning_effort"}, prefills=True)
        if effort := request.parameters.reasoning_effort:  # templates read it, those of gpt-oss for one
            body["chat_template_kwargs"] = {"reasoning_effort": effort}
        return body

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        body = self.body(request)
        async with self._engine_for(request) as engine:
            wire = self._wire(engine, "/v1")
            response = await wire.open("/chat/completions", body, EVENT_STREAM)
            written = text_of(request.messages[-1].parts) if request.continues else ""
            async with aclosing(told_apart(wire.events(response, ChatReader(wire)), written)) as events:
                async for event in events:
                    yield event

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """Exact, by the model's own template and tokenizer: starts the engine, which the answer will need anyway."""
        body = self.body(request)
        asked: dict[str, Any] = {name: body[name] for name in _PROMPT_FIELDS if name in body}
        async with self._engine_for(request) as engine:
            wire = self._wire(engine)
            prompt = (await wire.fetch("POST", "/apply-template", _Prompt, asked)).prompt
            question = {"content": prompt, "add_special": True, "parse_special": True}
            tokens = (await wire.fetch("POST", "/tokenize", _Tokens, question)).tokens
        return TokenCount(len(tokens), is_exact=True)

    @asynccontextmanager
    async def _engine_for(self, request: ChatRequest) -> AsyncGenerator[Engine, None]:
        file = await self._file_of(request.model)
        context_tokens = self.context_tokens(file, request.parameters.context_window)
        async with self.engines.use(file.path, context_tokens, self.account.engine) as engine:
            yield engine

    def _wire(self, engine: Engine, prefix: str = "") -> Wire:
        origin = origin_of(engine.address)
        account = Account(self.account.name, base_url=engine.address + prefix, key=engine.key, key_origin=origin)
        return Wire(account, self.client, self.limits)


def _guided(request: ChatRequest) -> ChatRequest:
    """A bundled model is small and strays: what the person left open is what suits it."""
    if (bundled := model_files.find_bundled(request.model)) is None:
        return request
    said = {
        name: value for name, value in msgspec.structs.asdict(request.parameters).items() if value not in (None, ())
    }
    messages = request.messages
    if not any(message.role == "system" for message in messages):
        messages = (ChatMessage("system", (TextPart(bundled.system_prompt),)), *messages)
    return msgspec.structs.replace(
        request, messages=messages, parameters=msgspec.structs.replace(bundled.parameters, **said)
    )


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[Any]


def _model(file: ModelFile, running: EngineState | None) -> Model:
    header = file.header
    template = header.chat_template
    return Model(
        name=file.name,
        context_window=header.context_length,
        size_bytes=header.size_bytes,
        family=header.architecture,
        quantisation=header.quantisation,
        is_loaded=running is not None,
        memory_bytes=running.memory_bytes if running else None,
        expires_at=running.expires_at if running else None,
        has_vision=False,  # needs a projector file, which the engine is not given
        has_tools="tools" in template,
        has_reasoning="<think>" in template or "enable_thinking" in template,
        is_embedding=header.is_embedding,
        is_bundled=file.is_bundled,
    )
