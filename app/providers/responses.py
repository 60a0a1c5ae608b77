"""OpenAI's Responses API as a dialect: a ChatRequest → the body, its events → ours. Pure.

https://platform.openai.com/docs/api-reference/responses and …/responses-streaming. Nothing is kept there
(`store: false`), so what a model thought goes back in its encrypted form.
"""

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

import msgspec

from app.parts import (
    ErrorPart,
    FilePart,
    Finish,
    FinishReason,
    Part,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
    clean,
)
from app.providers import failures
from app.providers.amendments import unknown_field
from app.providers.answers import Reader
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Image
from app.providers.completions import data_url, refuse_file
from app.providers.counts import usage_of
from app.providers.errors import BadRequest, ProviderError
from app.providers.frames import SseFrame
from app.providers.http import Wire
from app.providers.prompts import in_turn
from app.providers.signatures import kept, own
from app.providers.whole_answers import response_events

KIND = "openai"
PATH = "/responses"
_NO_SUCH_PATH = (404, 405, 501)


def responses_body(account: Account, request: ChatRequest, amendments: frozenset[str]) -> dict[str, Any]:
    """The body of `POST /responses`. Amendments: names of fields to leave out, and `reasoning.summary`.

    A summary of its thoughts is asked for where a person chose how long the model thinks: others refuse to be asked.
    """
    parameters = request.parameters
    entries = [entry for message in in_turn(request, prefills=False) for entry in _items(account, message)]
    body: dict[str, Any] = {"model": request.model, "input": entries, "stream": True, "store": False}
    sampling = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "max_output_tokens": parameters.max_tokens,
    }
    body |= {name: value for name, value in sampling.items() if value is not None}
    if effort := parameters.reasoning_effort:
        body["reasoning"] = {"effort": effort} | ({} if "reasoning.summary" in amendments else {"summary": "auto"})
        body["include"] = ["reasoning.encrypted_content"]
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
                "strict": False,
            }
            for tool in request.tools
        ]
    return {name: value for name, value in body.items() if name not in amendments}


def amendment(body: dict[str, Any], error: BadRequest) -> str | None:
    """What to do without after this refusal; `chat`: without this API, in chat completions."""
    complaint = error.complaint
    if error.status in _NO_SUCH_PATH or "responses api" in complaint.lower():
        return "chat"
    if "summary" in body.get("reasoning", {}) and "summar" in complaint:
        return "reasoning.summary"
    if "include" in body and "encrypted" in complaint.lower():
        return "include"
    return unknown_field(("reasoning", "include", "temperature", "top_p", "max_output_tokens"), body, complaint)


class ResponsesReader(Reader[Event]):
    """Events of a streamed response → ours. The last one says how it ended; there is no other end marker."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._usage: Usage | None = None
        self._reason: FinishReason = "stop"
        self._calls: dict[int, int] = {}
        self._has_arguments: set[int] = set()
        self._has_text = False

    def read(self, frame: SseFrame) -> Sequence[Event] | None:
        event = self._wire.decode(frame.data, _Event)
        if event.object == "response":  # all of it at once
            return self._whole(self._wire.decode(frame.data, dict[str, Any]))
        event.type = event.type or frame.event
        return self._events(event)

    def passes_over(self, value: Any) -> bool:
        """Types of events are added now and then."""
        kind = value.get("type") if isinstance(value, dict) else None
        return isinstance(kind, str) and kind != "error" and not kind.startswith("response.")

    def _whole(self, response: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        try:
            for each in response_events(response):
                events += self._events(self._wire.decode(each, _Event)) or ()
        except ProviderError as error:
            self.failure = error  # what it said before it failed is told first
        return events

    def _events(self, event: "_Event") -> Sequence[Event] | None:
        match event.type:
            case "response.output_text.delta" | "response.refusal.delta":
                return self._text(event.delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return [ReasoningDelta(clean(event.delta))] if event.delta else ()
            case "response.reasoning_summary_part.added" if event.summary_index:
                return [ReasoningDelta("\n\n")]
            case "response.function_call_arguments.delta":
                return self._arguments(event.output_index, event.delta)
            case "response.function_call_arguments.done" if event.output_index not in self._has_arguments:
                return self._arguments(event.output_index, event.arguments or "")
            case "response.output_item.added":
                return self._begin_item(event.output_index, event.item or _Item())
            case "response.output_item.done":
                return self._end_item(event.output_index, event.item or _Item())
            case "response.completed" | "response.incomplete":
                self._end(event.response or _Response())
            case "response.failed" | "error":
                self._usage = _usage((event.response or _Response()).usage) or self._usage
                value = event.response.error if event.response else event.error or msgspec.to_builtins(event)
                raise failures.event(self._wire.account, value)
            case "response.cancelled":
                self._usage = _usage((event.response or _Response()).usage) or self._usage
                raise failures.cut(self._wire.account)
            case _:
                # Steps on the way, and what is repeated whole when it is done.
                return () if event.type.startswith("response.") else None
        return ()

    def end(self) -> Sequence[Event]:
        events: list[Event] = [self._usage] if self._usage else []
        return [*events, Finish(self._reason)] if self.is_complete else events

    def _text(self, delta: str) -> Sequence[Event]:
        self._has_text = self._has_text or bool(delta)
        return [TextDelta(clean(delta))] if delta else ()

    def _begin_item(self, index: int, item: "_Item") -> Sequence[Event]:
        if item.type == "message" and self._has_text:
            return [TextDelta("\n\n")]  # another message of the same answer
        if item.type != "function_call":
            return ()
        number = self._calls.setdefault(index, len(self._calls))
        if item.arguments:
            self._has_arguments.add(index)
        return [ToolCallDelta(number, *(clean(piece or "") for piece in (item.call_id, item.name, item.arguments)))]

    def _end_item(self, index: int, item: "_Item") -> Sequence[Event]:
        if item.type == "function_call" and index not in self._calls:
            return self._begin_item(index, item)
        signature = kept(KIND, item.encrypted_content) if item.type == "reasoning" else None
        return [ReasoningDelta("", signature)] if signature else ()

    def _arguments(self, index: int, delta: str) -> Sequence[Event]:
        number = self._calls.setdefault(index, len(self._calls))
        self._has_arguments.add(index)
        return [ToolCallDelta(number, arguments=clean(delta))] if delta else ()

    def _end(self, response: "_Response") -> None:
        self._usage = _usage(response.usage)
        match response.incomplete_details.reason if response.incomplete_details else None:
            case None:
                self._reason = "tool_calls" if self._calls else "stop"
            case "max_output_tokens":
                self._reason = "length"
            case "content_filter":
                self._reason = "content_filter"
            case _:
                raise failures.cut(self._wire.account)
        self.has_ended = self.is_complete = True


class _Item(msgspec.Struct):
    type: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    encrypted_content: str | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    usage: Any = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct):
    type: str = ""
    object: str = ""
    delta: str = ""
    arguments: str | None = None
    output_index: int = 0
    summary_index: int = 0
    item: _Item | None = None
    response: _Response | None = None
    error: Any = None
    message: str | None = None
    code: str | int | None = None


def _usage(value: Any) -> Usage | None:
    """Thinking is part of the output's count, and what was cached of the input's."""
    if not isinstance(value, dict):
        return None
    details = value.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return usage_of(value.get("input_tokens"), value.get("output_tokens"), cached)


def _items(account: Account, message: ChatMessage) -> list[dict[str, Any]]:
    """One message of ours → items in its parts' order; texts and pictures that follow each other are one message."""
    items: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for number, part in enumerate(message.parts):
        if isinstance(part, TextPart | Image):
            content += _content(part)
            continue
        items += _message(message.role, content)
        content = []
        items += _item(account, part, is_last=number == len(message.parts) - 1)
    return [*items, *_message(message.role, content)]


def _item(account: Account, part: Part, *, is_last: bool) -> Iterator[dict[str, Any]]:
    match part:
        case ReasoningPart(text=text, signature=stored):
            # Refused without what it led to: thoughts after which the model was stopped are left out.
            if (signature := own(KIND, stored)) and not is_last:
                summary = [{"type": "summary_text", "text": text}] if text else []
                yield {"type": "reasoning", "summary": summary, "encrypted_content": signature}
        case ToolCallPart(call_id=call_id, name=name, arguments=arguments):
            yield {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        case ToolResultPart(call_id=call_id, content=content):
            yield {"type": "function_call_output", "call_id": call_id, "output": content}
        case FilePart():
            raise refuse_file(account, part)
        case TextPart() | ErrorPart():
            return
        case _:
            assert_never(part)


def _content(part: TextPart | Image) -> list[dict[str, Any]]:
    if isinstance(part, Image):
        return [{"type": "input_image", "image_url": data_url(part), "detail": "auto"}]
    return [{"type": "input_text", "text": part.text}] if part.text else []


def _message(role: str, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Words alone are a string; that is also the only form in which an answer may be given without its id."""
    if not content:
        return []
    if any(each["type"] == "input_image" for each in content):
        return [{"role": role, "content": content}]
    return [{"role": role, "content": "\n\n".join(each["text"] for each in content)}]
