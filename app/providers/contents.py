"""Gemini's contents as a dialect: a ChatRequest → the body of `generateContent`, chunks of its stream → events. Pure.

https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thinking and …/thought-signatures.
"""

import base64
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
from app.providers.completions import object_of, refuse_file
from app.providers.counts import total_of, usage_of
from app.providers.end_of_answer import EndOfAnswer, read_reason
from app.providers.errors import BadRequest, Filtered, GaveUp
from app.providers.frames import SseFrame
from app.providers.generation_config import CAN_BE_LEFT_OUT, generation_config
from app.providers.http import Wire
from app.providers.prompts import in_turn
from app.providers.signatures import kept, own
from app.words import gettext as _

KIND = "gemini"
_OUR_CALL = "gemini_call_"
_ENDS: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FILTERS = frozenset(
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION"
    " ESCALATION PUP_LIMITED_DISABLED MODEL_ARMOR".split()
)


def contents_body(account: Account, request: ChatRequest, amendments: frozenset[str]) -> dict[str, Any]:
    """The body of a question, without what the server has refused before.

    Amendments: `systemInstruction` (Gemma knows none: it becomes the first thing said), `thinkingLevel` (models before
    Gemini 3 take a budget in tokens), `thinkingConfig` (models that do not think), and names in `generationConfig`.
    """
    instruction = [{"text": part.text} for part in _system_parts(request.messages)]
    contents = _contents(account, request)
    if instruction and "systemInstruction" in amendments:
        contents = _merged([{"role": "user", "parts": instruction}, *contents])
        instruction = []
    body: dict[str, Any] = {"contents": contents}
    if instruction:
        body["systemInstruction"] = {"parts": instruction}
    if request.tools:
        named = [
            {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.schema}
            for tool in request.tools
        ]
        body["tools"] = [{"functionDeclarations": named}]
    if config := generation_config(account, request, amendments):
        body["generationConfig"] = config
    return body


def amendment(body: dict[str, Any], error: BadRequest) -> str | None:
    """What to do without after this refusal, if the body has it."""
    complaint = error.complaint.lower()
    if "systemInstruction" in body and ("developer instruction" in complaint or "system instruction" in complaint):
        return "systemInstruction"
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig")
    if thinking is None or "think" not in complaint:
        return unknown_field(CAN_BE_LEFT_OUT, config, error.complaint)
    return "thinkingLevel" if "thinkingLevel" in thinking and "level" in complaint else "thinkingConfig"


class ContentsReader(Reader[Event]):
    """Chunks of a streamed answer → events. There is no end marker: a finish reason, and then the body's end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._usage: Usage | None = None
        self._end = EndOfAnswer()
        self._has_text = False
        self._calls = 0

    def end(self) -> Sequence[Event]:
        events: list[Event] = [self._usage] if self._usage else []
        if self.is_complete:
            reason = self._end.reason or "stop"
            events.append(Finish("tool_calls" if self._calls and reason == "stop" else reason))
        return events

    def read(self, frame: SseFrame) -> Sequence[Event] | None:
        chunk = self._wire.decode(frame.data, _Chunk)
        self._usage = _usage(chunk.usage_metadata) or self._usage
        if chunk.prompt_feedback and (reason := chunk.prompt_feedback.block_reason):
            raise self._filtered(reason, chunk.prompt_feedback.block_reason_message)
        if chunk.error or not chunk.candidates:
            return None
        candidate = chunk.candidates[0]
        parts = (candidate.content and candidate.content.parts) or []
        events = [event for part in parts for event in self._read_part(part)]
        said = read_reason(candidate.finish_reason, _ENDS)
        reason = self._finish(candidate.finish_reason, candidate.finish_message) if said else None
        has_text = any(part.text or part.function_call for part in parts)
        self._end.see(reason, has_text=has_text)
        self.is_complete = self._end.is_sure
        return events

    def passes_over(self, value: Any) -> bool:
        return isinstance(value, dict) and bool(value.get("usageMetadata") or value.get("promptFeedback"))

    def close(self) -> None:
        self.is_complete = self._end.reason is not None

    def _read_part(self, part: "_Part") -> Iterator[Event]:
        signature = kept(KIND, part.thought_signature)
        if part.function_call:
            yield self._call(part.function_call, signature)
        elif not (part.text or signature):
            return
        elif part.thought:
            yield ReasoningDelta(clean(part.text or ""), signature)
        else:
            self._has_text = self._has_text or bool(part.text)
            yield TextDelta(clean(part.text or ""), signature)

    def _call(self, call: "_FunctionCall", signature: str | None) -> ToolCallDelta:
        index, self._calls = self._calls, self._calls + 1
        arguments = clean(msgspec.json.encode({} if call.args is None else call.args).decode())
        return ToolCallDelta(index, clean(call.id or f"{_OUR_CALL}{index}"), clean(call.name), arguments, signature)

    def _finish(self, said: str, message: str | None) -> FinishReason | None:
        reason = said.upper()
        if reason in _FILTERS and not (self._has_text or self._calls):
            raise self._filtered(reason, message)
        if reason not in _ENDS and reason not in _FILTERS:
            sentence = _("%(name)s ended the answer for a reason of its own: %(reason)s.")
            said = failures.shown(self._wire.account, reason)
            self.failure = GaveUp(sentence % {"name": self._wire.account.name, "reason": said})
            self.has_ended = True
            return None
        return _ENDS.get(reason, "content_filter")

    def _filtered(self, reason: str, message: str | None) -> Filtered:
        said = failures.shown(self._wire.account, message or reason)
        sentence = _("%(name)s ended this for safety reasons%(because)s")
        return Filtered(sentence % {"name": self._wire.account.name, "because": f": {said}"})


class _Camel(msgspec.Struct, rename="camel"):
    pass


class _FunctionCall(_Camel):
    name: str = ""
    id: str | None = None
    args: Any = None


class _Part(_Camel):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None


class _Content(_Camel):
    parts: list[_Part] | None = None


class _Candidate(_Camel):
    content: _Content | None = None
    finish_reason: Any = None
    finish_message: str | None = None


class _PromptFeedback(_Camel):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Chunk(_Camel):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _PromptFeedback | None = None
    usage_metadata: Any = None
    error: Any = None


def _usage(value: Any) -> Usage | None:
    """Thoughts are billed as output and counted beside it; the prompt's count includes what was cached."""
    if not isinstance(value, dict):
        return None
    output = total_of(value.get("candidatesTokenCount"), value.get("thoughtsTokenCount"))
    return usage_of(value.get("promptTokenCount"), output, value.get("cachedContentTokenCount"))


def _system_parts(messages: Sequence[ChatMessage]) -> Iterator[TextPart]:
    for message in messages:
        if message.role == "system":
            yield from (part for part in message.parts if isinstance(part, TextPart))


def _contents(account: Account, request: ChatRequest) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    contents = [
        {"role": "model" if message.role == "assistant" else "user", "parts": parts}
        for message in in_turn(request, prefills=False)
        if message.role != "system"
        and (parts := [written for part in message.parts for written in _written(account, part, names)])
    ]
    return _merged(contents)


def _merged(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of one role as one: Gemini wants the roles to take turns, and the results of parallel calls together."""
    merged: list[dict[str, Any]] = []
    for content in contents:
        if merged and merged[-1]["role"] == content["role"]:
            merged[-1] = {"role": content["role"], "parts": [*merged[-1]["parts"], *content["parts"]]}
        else:
            merged.append(content)
    return merged


def _written(account: Account, part: Part | Image, names: dict[str, str]) -> list[dict[str, Any]]:
    """One part of ours → none or one of theirs, with its signature. `names` learns which call id belongs to which tool."""
    match part:
        case TextPart(text=text, signature=signature):
            return [{"text": text} | _signed(signature)] if text or own(KIND, signature) else []
        case ReasoningPart(text=text, signature=signature):
            return [{"text": text, "thought": True} | _signed(signature)] if own(KIND, signature) else []
        case ToolCallPart(call_id=call_id, name=name, signature=signature):
            names[call_id] = name
            call = _identity(call_id) | {"name": name, "args": object_of(part.arguments)}
            return [{"functionCall": call} | _signed(signature)]
        case ToolResultPart(call_id=call_id, content=content, is_error=is_error):
            response = {"error" if is_error else "output": content}
            return [{"functionResponse": _identity(call_id) | {"name": names.get(call_id, ""), "response": response}}]
        case Image(media_type=media_type, data=data):
            return [{"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}]
        case FilePart():
            raise refuse_file(account, part)
        case ErrorPart():
            return []
        case _:
            assert_never(part)


def _signed(stored: str | None) -> dict[str, Any]:
    signature = own(KIND, stored)
    return {"thoughtSignature": signature} if signature else {}


def _identity(call_id: str) -> dict[str, Any]:
    """The id of a call, unless it is one that we gave because Gemini gave none."""
    return {} if call_id.startswith(_OUR_CALL) else {"id": call_id}
