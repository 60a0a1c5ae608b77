"""OpenAI's chat completions as a dialect: a ChatRequest → the body, frames → events. Several providers speak it.

https://platform.openai.com/docs/api-reference/chat/streaming; differences of other servers are met where they are cheap
and named at the line that does so. Pure.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from app.parts import (
    FilePart,
    Finish,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
    clean,
    text_of,
)
from app.providers import failures
from app.providers.amendments import unknown_field
from app.providers.answers import Reader
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Image
from app.providers.counts import usage_of
from app.providers.end_of_answer import EndOfAnswer, is_failure, read_reason
from app.providers.errors import BadRequest
from app.providers.frames import SseFrame
from app.providers.http import Wire
from app.providers.prompts import in_turn
from app.words import gettext as _

_CAN_BE_LEFT_OUT = (
    *("reasoning_effort", "temperature", "top_p", "top_k", "repeat_penalty", "stop"),
    *("max_tokens", "max_completion_tokens", "stream"),
)


def messages_of(account: Account, request: ChatRequest, *, prefills: bool) -> list[dict[str, Any]]:
    """The prompt as the `messages` of a body."""
    return [entry for message in in_turn(request, prefills=prefills) for entry in _entries(account, message)]


def chat_body(
    account: Account,
    request: ChatRequest,
    *,
    takes: frozenset[str],
    prefills: bool = False,
    amendments: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The body of `POST /chat/completions`, with those of the parameters that the server `takes`.

    Amendments: the names of fields to leave out, and `max_completion_tokens` (OpenAI's reasoning models call it that).
    """
    parameters = request.parameters
    sampling = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "top_k": parameters.top_k,
        "repeat_penalty": parameters.repeat_penalty,
        "max_tokens": parameters.max_tokens,
        "stop": list(parameters.stop) or None,
        "reasoning_effort": parameters.reasoning_effort,
    }
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages_of(account, request, prefills=prefills),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body |= {name: value for name, value in sampling.items() if name in takes and value is not None}
    if request.tools:
        body["tools"] = [tool_entry(tool.name, tool.description, tool.schema) for tool in request.tools]
    if "stream" in amendments:
        amendments |= {"stream_options"}
    renamed = {"max_tokens": "max_completion_tokens"} if "max_completion_tokens" in amendments else {}
    return {renamed.get(name, name): value for name, value in body.items() if name not in amendments}


def amendment(body: dict[str, Any], error: BadRequest) -> str | None:
    """What to do without after this refusal, if the body has it."""
    complaint = error.complaint
    for known, better in (("stream_options", "stream_options"), ("max_tokens", "max_completion_tokens")):
        if known in body and better in complaint:
            return better
    name = unknown_field(_CAN_BE_LEFT_OUT, body, complaint)
    return "max_tokens" if name == "max_completion_tokens" else name


def tool_entry(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A tool as OpenAI and Ollama declare it."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def refuse_file(account: Account, part: FilePart) -> BadRequest:
    """A file's bytes live with its attachment; a provider can only send what was put in its place before."""
    return BadRequest(_("The file %(file)s cannot be sent to %(name)s.") % {"file": part.name, "name": account.name})


def data_url(image: Image) -> str:
    """A picture as a URL that holds it."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def object_of(arguments: str) -> dict[str, Any]:
    """Some want an object where others send the model's text; what is none is shown to the model as it was."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"invalid_json": arguments}


def written(arguments: Any) -> str | None:
    """The arguments of a call as text; some servers send them as the object that they are."""
    is_text = arguments is None or isinstance(arguments, str)
    return arguments if is_text else msgspec.json.encode(arguments).decode()


class ChatReader(Reader[Event]):
    """Frames of a streamed chat completion → events."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._usage: Usage | None = None
        self._end = EndOfAnswer()
        self._has_tool_calls = False
        self._has_begun = False

    def read(self, frame: SseFrame) -> Sequence[Event] | None:
        chunk = self._wire.decode(frame.data, _Chunk)
        self._usage = _usage(chunk.usage) or self._usage
        if chunk.error or not chunk.choices:
            return None
        choice = chunk.choices[0]
        if choice.error:
            raise failures.event(self._wire.account, choice.error)
        if is_failure(choice.finish_reason):
            raise failures.cut(self._wire.account)
        reason = read_reason(choice.finish_reason)
        if choice.delta is None and choice.message is not None:
            reason = reason or "stop"  # all of it at once, and some give no reason then
        said = choice.delta or (None if self._has_begun else choice.message) or _Delta(content=choice.text)
        events = self._events(said)
        self._has_begun = self._has_begun or bool(events)
        self._end.see(reason, has_text=said.says_something())
        self.is_complete = self._end.is_sure
        return events or None

    def passes_over(self, value: Any) -> bool:
        return isinstance(value, dict) and (isinstance(value.get("choices"), list) or bool(value.get("usage")))

    def done(self) -> None:
        """It completes an answer without a finish reason, too: some servers give none."""
        self.has_ended = True
        self.is_complete = self._end.reason is not None or not self.unknown

    def close(self) -> None:
        self.is_complete = self._end.reason is not None

    def end(self) -> Sequence[Event]:
        events: list[Event] = [self._usage] if self._usage else []
        if self.is_complete:
            events.append(Finish(self._end.reason or ("tool_calls" if self._has_tool_calls else "stop")))
        return events

    def _events(self, delta: "_Delta") -> list[Event]:
        events: list[Event] = []
        if thought := delta.reasoning_content or delta.reasoning:
            events.append(ReasoningDelta(clean(thought)))
        for kind, text in _pieces(delta.content):
            if text:
                events.append(ReasoningDelta(clean(text)) if kind == "thinking" else TextDelta(clean(text)))
        if delta.refusal:
            events.append(TextDelta(clean(delta.refusal)))
        for position, call in enumerate(delta.tool_calls or ()):
            self._has_tool_calls = True
            function = call.function or _Function()
            index = position if call.index is None else call.index  # Gemini's compatible server gives no index
            pieces = (call.id, function.name, written(function.arguments))
            events.append(ToolCallDelta(index, *(clean(piece or "") for piece in pieces)))
        return events


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Piece(msgspec.Struct):
    """A piece of what Mistral's reasoning models say: text, or a list of such pieces that they thought.

    https://docs.mistral.ai/studio-api/conversations/reasoning#handling-thinking-chunks
    """

    type: Any = None
    text: Any = None
    thinking: Any = None


class _Delta(msgspec.Struct):
    content: str | list[_Piece] | None = None
    reasoning_content: str | None = None  # DeepSeek, llama.cpp, vLLM
    reasoning: str | None = None  # OpenRouter, Ollama, newer vLLM
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def says_something(self) -> bool:
        return any((self.content, self.reasoning_content, self.reasoning, self.refusal, self.tool_calls))


class _Choice(msgspec.Struct):
    """`message` is the whole of it: from servers that do not stream what they were asked to. `text` is what older ones say."""

    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: Any = None
    error: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


def _pieces(content: "str | list[_Piece] | None") -> Iterator[tuple[Literal["text", "thinking"], str]]:
    """What is said and what is thought, in order. Pieces of other types (references, pictures) have no words for us."""
    if isinstance(content, str):
        yield "text", content
        return
    for piece in content or ():
        if piece.type in ("text", "output_text") and isinstance(piece.text, str):
            yield "text", piece.text
        if piece.type == "thinking":
            thoughts = piece.thinking if isinstance(piece.thinking, list) else [{"text": piece.thinking}]
            found = (thought.get("text") for thought in thoughts if isinstance(thought, dict))
            yield from (("thinking", thought) for thought in found if isinstance(thought, str) and thought)


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if cached is None:
        cached = value.get("prompt_cache_hit_tokens")  # DeepSeek: a part of `prompt_tokens`, as the other is
    return usage_of(value.get("prompt_tokens"), value.get("completion_tokens"), cached)


def _entries(account: Account, message: ChatMessage) -> list[dict[str, Any]]:
    """A message with results alone or without → entries: each result is one of its own, and an empty answer is none."""
    for part in message.parts:
        if isinstance(part, FilePart):
            raise refuse_file(account, part)
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    if results:
        return [{"role": "tool", "tool_call_id": result.call_id, "content": result.content} for result in results]
    calls = [
        {"id": part.call_id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    content = _content(message)
    if not (content or calls or message.role == "user"):
        return []
    entry: dict[str, Any] = {"role": message.role, "content": content}
    return [entry | {"tool_calls": calls} if calls else entry]


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    """Words alone are a string, which every server reads; with pictures among them it is a list, in order."""
    if not any(isinstance(part, Image) for part in message.parts):
        return text_of(message.parts)
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Image):
            content.append({"type": "image_url", "image_url": {"url": data_url(part)}})
        elif isinstance(part, TextPart) and part.text:
            content.append({"type": "text", "text": part.text})
    return content
