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
from app.providers.amendments import Amendments, Question, converse, unknown_field
from app.providers.answers import Reader
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Image, Limits, Model, Provider
from app.providers.completions import object_of, refuse_file, tool_entry, written
from app.providers.counts import usage_of
from app.providers.end_of_answer import EndOfAnswer, is_failure, read_reason
from app.providers.errors import BadRequest
from app.providers.frames import SseFrame
from app.providers.http import NDJSON, Wire
from app.providers.ollama_keeping import DEFAULT_CONTEXT_WINDOW, OllamaKeeping
from app.providers.ollama_models import read_models, read_version
from app.providers.probing import takes_questions
from app.providers.prompts import in_turn

_CAN_BE_LEFT_OUT = ("temperature", "top_p", "top_k", "repeat_penalty", "num_predict", "stop")


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

    @classmethod
    def model_name(cls, typed: str) -> str:
        return typed if ":" in typed.rpartition("/")[2] else f"{typed}:latest"

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
        amendments = self.amendments.of(request.model)
        body: dict[str, Any] = {
            "model": request.model,
            "messages": _messages(self.account, in_turn(request, prefills=True)),
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

        async with aclosing(converse(self.wire, self.amendments, request, question)) as events:
            async for event in events:
                yield event


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
        events: list[Event] = [self._usage] if self._usage else []
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
            events.append(TextDelta(clean(message.content)))
        for call in message.tool_calls or ():
            arguments = clean(written(call.function.arguments) or "{}")
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
