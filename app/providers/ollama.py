"""Ollama's own protocol: `/api/chat` in newline-delimited JSON, and what it knows of its models.

Always with `num_ctx`, `truncate: false` and `shift: false`: left alone, Ollama takes a small context window and
silently drops what does not fit (https://github.com/ollama/ollama/blob/main/docs/api.md).
"""

import base64
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import httpx
import msgspec

from app.parts import (
    FilePart,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
    clean,
    text_of,
)
from app.providers import failures
from app.providers.amendments import Amendments, Question, converse
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Image, Limits, Model, Provider
from app.providers.completions import object_of, refuse_file, tool_entry
from app.providers.counts import usage_of
from app.providers.errors import BadRequest
from app.providers.frames import NdjsonDecoder, SseFrame
from app.providers.http import Reader, Wire
from app.providers.ollama_keeping import DEFAULT_CONTEXT_WINDOW, OllamaKeeping
from app.providers.ollama_models import read_models, read_version
from app.providers.probing import takes_questions
from app.providers.prompts import in_turn


class Ollama(Provider, OllamaKeeping):
    """An Ollama server. An unfinished answer stands last in the prompt: Ollama's templates leave it open and go on.

    The default `num_ctx` may be more than a model was trained for; Ollama itself lowers it then.
    """

    kind = "ollama"
    usual_paths = ("",)
    endpoints = r"/api/(?:chat|generate|tags|show|ps|version|pull|push|create|copy|delete|embed|embeddings)"
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
        self.listed_as, models = await read_models(self.wire)
        return models

    async def takes_questions(self) -> bool:
        return await takes_questions(self.wire, "/api/chat", {"model": "", "messages": [], "stream": False})

    async def server_version(self) -> str:
        return await read_version(self.wire)

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
        body: dict[str, Any] = {
            "model": request.model,
            "messages": _messages(self.account, in_turn(request, prefills=True)),
            "stream": True,
            "truncate": False,
            "shift": False,
            "options": {name: value for name, value in options.items() if value is not None},
        }
        if request.tools:
            body["tools"] = [tool_entry(tool.name, tool.description, tool.schema) for tool in request.tools]
        amendments = self.amendments.of(request.model)
        if parameters.reasoning_effort and "think" not in amendments:
            body["think"] = True if "think_level" in amendments else parameters.reasoning_effort
        return body

    def refused(self, model: str) -> frozenset[str]:
        return self.amendments.parameters(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        def question() -> Question:
            return Question("/api/chat", self.body(request), NdjsonDecoder, LineReader, amendment)

        async with aclosing(converse(self.wire, self.amendments, request, question)) as events:
            async for event in events:
                yield event


def amendment(body: dict[str, Any], error: BadRequest) -> str | None:
    """Only some models know how long to think (`think value … is not supported`), and some do not think at all."""
    if "think" not in body or "think" not in error.sentence.lower():
        return None
    return "think_level" if isinstance(body["think"], str) and "value" in error.sentence else "think"


class LineReader(Reader[Event]):
    """Lines of a streamed chat → events."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._usage: Usage | None = None
        self._reason: FinishReason = "stop"
        self._tool_calls = 0

    def read(self, frame: SseFrame) -> Sequence[Event]:
        line = self._wire.decode(frame.data, _Line)
        if line.error:
            message, code = failures.text_of_error(line.error)
            raise failures.classify(self._wire.account, 0, message, code)
        events = self._events(line.message) if line.message else []
        if line.done:
            self.has_ended = self.is_complete = True
            self._usage = usage_of(line.prompt_eval_count, line.eval_count)
            # Ollama says "stop" after tool calls too.
            self._reason = "length" if line.done_reason == "length" else "tool_calls" if self._tool_calls else "stop"
        return events

    def end(self) -> Sequence[Event]:
        events: list[Event] = [self._usage] if self._usage else []
        return [*events, Finish(self._reason)] if self.is_complete else events

    def _events(self, message: "_Message") -> list[Event]:
        events: list[Event] = []
        if message.thinking:
            events.append(ReasoningDelta(clean(message.thinking)))
        if message.content:
            events.append(TextDelta(clean(message.content)))
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
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


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
