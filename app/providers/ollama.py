"""Ollama's own protocol: `/api/chat` in newline-delimited JSON, and what it knows of its models.

Always with `num_ctx`, `truncate: false` and `shift: false`: left alone, Ollama takes a small context window and
silently drops what does not fit (https://github.com/ollama/ollama/blob/main/docs/api.md).
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import httpx
import msgspec

from app.parts import (
    FilePart,
    Finish,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
    clean,
    text_of,
)
from app.providers import failures
from app.providers.amendments import Amendments, Question, converse, unknown_field
from app.providers.answers import Reader
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Image, Limits, Model, Provider, is_model_name
from app.providers.completions import object_of, refuse_file, tool_entry
from app.providers.counts import usage_of
from app.providers.end_of_answer import EndOfAnswer, is_failure, read_reason
from app.providers.errors import BadRequest, ProviderError
from app.providers.frames import SseFrame
from app.providers.http import NDJSON, Wire
from app.providers.ollama_keeping import DEFAULT_CONTEXT_WINDOW, OllamaKeeping, moment
from app.providers.prompts import in_turn
from app.providers.thinking import ThinkSplitter

MAX_MODELS = 1000
_SHOWN_AT_ONCE = 4
_CAN_BE_LEFT_OUT = ("temperature", "top_p", "top_k", "repeat_penalty", "num_predict", "stop")


class Ollama(Provider, OllamaKeeping):
    """An Ollama server. An unfinished answer stands last in the prompt: Ollama's templates leave it open and go on.

    The default `num_ctx` may be more than a model was trained for; Ollama itself lowers it then.
    """

    kind = "ollama"
    takes = frozenset(
        {"temperature", "top_p", "top_k", "repeat_penalty", "max_tokens", "context_window", "stop", "reasoning_effort"}
    )

    def __init__(self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None) -> None:
        super().__init__(account, client, limits)
        self.wire = Wire(msgspec.structs.replace(account, usual_path=""), client, self.limits)
        self.amendments = Amendments(account)

    @classmethod
    def label(cls) -> str:
        return "Ollama"

    async def read_models(self) -> Iterable[Model]:
        tags, running = await asyncio.gather(self.wire.fetch("GET", "/api/tags", _Tags), self._running())
        entries = {entry.name: entry for entry in tags.models[:MAX_MODELS] if is_model_name(entry.name)}
        at_once = asyncio.Semaphore(_SHOWN_AT_ONCE)

        async def describe(name: str, entry: _Tag) -> Model:
            async with at_once:
                shown = await self._show(name)
            return _model(name, entry, shown, running)

        return await asyncio.gather(*(describe(name, entry) for name, entry in entries.items()))

    def body(self, request: ChatRequest) -> dict[str, Any]:
        parameters = request.parameters
        options = {
            "num_ctx": parameters.context_window or DEFAULT_CONTEXT_WINDOW,
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "top_k": parameters.top_k,
            "repeat_penalty": parameters.repeat_penalty,
            "num_predict": parameters.max_tokens,
            "stop": list(parameters.stop) or None,
        }
        amendments = self.amendments.of(request.model)
        body: dict[str, Any] = {
            "model": request.model,
            "messages": _messages(self.account, in_turn(request.messages)),
            "stream": True,
            "truncate": False,
            "shift": False,
            "options": {name: value for name, value in options.items() if value is not None and name not in amendments},
        }
        if request.tools:
            body["tools"] = [tool_entry(tool.name, tool.description, tool.schema) for tool in request.tools]
        if parameters.reasoning_effort and "think" not in amendments:
            body["think"] = True if "think_level" in amendments else parameters.reasoning_effort
        return body

    def refused(self, model: str) -> frozenset[str]:
        return self.amendments.parameters(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        def question() -> Question:
            return Question("/api/chat", self.body(request), NDJSON, LineReader, amendment)

        async with aclosing(converse(self.wire, self.amendments, request.model, question)) as events:
            async for event in events:
                yield event

    async def _running(self) -> "dict[str, _Running] | None":
        try:
            running = await self.wire.fetch("GET", "/api/ps", _AllRunning)
        except ProviderError:  # older servers and proxies do not have it: whether a model is loaded stays unknown
            return None
        return {entry.name: entry for entry in running.models if is_model_name(entry.name)}

    async def _show(self, name: str) -> "_Show":
        try:
            return await self.wire.fetch("POST", "/api/show", _Show, {"model": name})
        except ProviderError:  # one broken model must not hide the others
            return _Show()


def amendment(body: dict[str, Any], error: BadRequest) -> str | None:
    """Only some models know how long to think (`think value … is not supported`), and some do not think at all.

    Of the options, servers that only speak as Ollama does may not know some.
    """
    if "think" not in body or "think" not in error.complaint.lower():
        return unknown_field(_CAN_BE_LEFT_OUT, body["options"], error.complaint)
    return "think_level" if isinstance(body["think"], str) and "value" in error.complaint else "think"


class LineReader(Reader[Event]):
    """Lines of a streamed chat → events."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._splitter = ThinkSplitter()
        self._usage: Usage | None = None
        self._end = EndOfAnswer()
        self._tool_calls = 0

    def read(self, frame: SseFrame) -> Sequence[Event] | None:
        line = self._wire.decode(frame.data, _Line)
        if line.error or (line.message is None and not line.done):
            return None
        if line.done and is_failure(line.done_reason):
            raise failures.cut(self._wire.account)
        said = line.message or _Message()
        events = self._events(said)
        if line.done:
            self._usage = usage_of(line.prompt_eval_count, line.eval_count) or self._usage
        reason = read_reason(line.done_reason) or "stop" if line.done else None
        self._end.see(reason, has_text=any((said.content, said.thinking, said.tool_calls)))
        self.is_complete = self._end.is_sure
        return events or None

    def passes_over(self, value: Any) -> bool:
        return isinstance(value, dict) and "done" in value

    def close(self) -> None:
        self.is_complete = self._end.reason is not None

    def end(self) -> Sequence[Event]:
        events: list[Event] = [*self._splitter.end()]
        if self._usage:
            events.append(self._usage)
        if self.is_complete:
            reason = self._end.reason or "stop"
            # Ollama says "stop" after tool calls too.
            events.append(Finish("tool_calls" if self._tool_calls and reason == "stop" else reason))
        return events

    def _events(self, message: "_Message") -> list[Event]:
        events: list[Event] = []
        if message.thinking:
            events.append(ReasoningDelta(clean(message.thinking)))
        if message.content:
            events += self._splitter.feed(clean(message.content))
        for call in message.tool_calls or ():
            arguments = clean(msgspec.json.encode(call.function.arguments).decode())
            name = clean(call.function.name)
            events.append(ToolCallDelta(self._tool_calls, call.id or f"call_{self._tool_calls}", name, arguments))
            self._tool_calls += 1
        return events


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Any = msgspec.field(default_factory=dict)


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: bool | None = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


class _Details(msgspec.Struct):
    family: Any = None
    quantization_level: Any = None


class _Tag(msgspec.Struct):
    name: Any = None
    size: Any = None
    details: _Details | None = None


class _Tags(msgspec.Struct):
    models: list[_Tag]


class _Running(msgspec.Struct):
    """`size` is all that it takes, of which `size_vram` is on graphics cards."""

    name: Any = None
    size: Any = None
    expires_at: Any = None


class _AllRunning(msgspec.Struct):
    models: list[_Running]


class _Show(msgspec.Struct):
    capabilities: list[str] | None = None
    model_info: dict[str, Any] | None = None


def _model(name: str, entry: _Tag, shown: _Show, all_running: dict[str, _Running] | None) -> Model:
    running = (all_running or {}).get(entry.name)
    details = entry.details or _Details()
    info = shown.model_info or {}

    def has(capability: str) -> bool | None:
        return None if shown.capabilities is None else capability in shown.capabilities

    return Model(
        name=name,
        context_window=info.get(f"{info.get('general.architecture')}.context_length"),
        size_bytes=entry.size,
        family=details.family,
        quantisation=details.quantization_level,
        is_loaded=None if all_running is None else running is not None,
        memory_bytes=running.size if running else None,
        expires_at=moment(running.expires_at) if running else None,
        has_vision=has("vision"),
        has_tools=has("tools"),
        has_reasoning=has("thinking"),
        is_embedding=has("embedding"),
    )


def _messages(account: Account, messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    tool_names: dict[str, str] = {}
    for message in messages:
        calls, results = [], []
        for part in message.parts:
            if isinstance(part, FilePart):
                raise refuse_file(account, part)
            if isinstance(part, ToolCallPart):
                tool_names[part.call_id] = part.name
                calls.append(
                    {"id": part.call_id, "function": {"name": part.name, "arguments": object_of(part.arguments)}}
                )
            if isinstance(part, ToolResultPart):
                names = {"tool_call_id": part.call_id, "tool_name": tool_names.get(part.call_id, "")}
                results.append({"role": "tool", "content": part.content} | names)
        text = text_of(message.parts)
        images = [base64.b64encode(part.data).decode() for part in message.parts if isinstance(part, Image)]
        entries += results
        if text or images or calls or (message.role == "user" and not results):
            entry: dict[str, Any] = {"role": message.role, "content": text}
            entry |= {"images": images} if images else {}
            entries.append(entry | {"tool_calls": calls} if calls else entry)
    return entries
