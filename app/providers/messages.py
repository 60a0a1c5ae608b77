"""Anthropic's Messages as a dialect: a ChatRequest → the body of `POST /messages`. Pure; answers: `message_events`.

https://platform.claude.com/docs/en/api/messages/create. Three choices are worth knowing:

* The prompt cache is asked for once, beside the messages (`cache_control` of the body): the server sets the mark on the
  last block by itself. A mark of ours would wander from message to message, and a request would not begin with the
  bytes of the one before it. https://platform.claude.com/docs/en/build-with-claude/prompt-caching#automatic-caching
* What a message becomes depends on that message alone, never on what follows it, for the same reason: but for calls of
  tools that nothing answers (`prompts`).
* Claude up to 4.5 thinks within a budget of tokens and goes on from an unfinished answer; later ones choose by themselves
  how long to think and refuse to go on. Names tell the two apart, and refusals correct the names (`amendment`).
"""

import base64
import re
from typing import Any, assert_never

import msgspec

from app.parts import ErrorPart, FilePart, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, text_of
from app.providers.amendments import unknown_field
from app.providers.base import Account, ChatMessage, ChatRequest, Image, Parameters, Role
from app.providers.completions import object_of, refuse_file
from app.providers.errors import BadRequest
from app.providers.message_events import blocks_of
from app.providers.prompts import CONTINUE, in_turn

#: What an answer may take where neither the person nor the model's description says: every Claude since 3.5 takes it.
DEFAULT_MAX_TOKENS = 8_192
HIGHEST_TEMPERATURE = 1.0
#: More is asked for only by the person: a limit takes its tokens from the room that Claude up to 4.1 has for the prompt.
MOST_UNASKED_TOKENS = 32_000
#: Tokens to think, by effort. They come on top of the answer's, which the server counts together.
BUDGETS = {"low": 2_048, "medium": 8_192, "high": 24_576}
LEAST_BUDGET = 1_024

_UP_TO_4_5 = re.compile(r"claude-(?:[123]\b|instant|v\d|[a-z]+-4(?:[-.][0-5](?!\d)|(?![-.]\d{1,2}(?!\d))))")
_LEAST_TOP_P_THINKING = 0.95
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_LIMIT = re.compile(r"max_tokens: \d+ > (\d{1,9})\b")


def messages_body(account: Account, request: ChatRequest, amendments: frozenset[str]) -> dict[str, Any]:
    """The body of a question, without what the server has refused before.

    Amendments: `prefill` (ask in words to go on), `adaptive` and `budget` (how the model wants to be told to think; both
    mean not at all), `unsigned` (send no reasoning back), `max_tokens=n` (the model's limit), and names of fields.
    """
    request = msgspec.structs.replace(request, messages=tuple(in_turn(request, prefills=True)))
    thinking = _thinking(request, amendments)
    answer_tokens = _answer_tokens(request, amendments)
    limit = _model_limit(request, amendments)
    budget = BUDGETS[request.parameters.reasoning_effort or "low"] if thinking else 0
    max_tokens = min(answer_tokens + budget, limit or answer_tokens + budget)
    if thinking.get("thinking", {}).get("type") == "enabled":
        budget = min(budget, max_tokens - 1)
        thinking = {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= LEAST_BUDGET else {}
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": max_tokens if thinking else answer_tokens,
        "messages": _messages(account, request, amendments, is_thinking=bool(thinking)),
        "stream": True,
        "cache_control": {"type": "ephemeral"},
    }
    if system := "\n\n".join(filter(None, (text_of(m.parts) for m in request.messages if m.role == "system"))):
        body["system"] = system
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in request.tools
        ]
    body |= thinking | _sampling(request.parameters, is_thinking=bool(thinking))
    return {name: value for name, value in body.items() if name not in amendments}


def amendment(body: dict[str, Any], error: BadRequest) -> str | None:
    """What to do without after this refusal, if the body has it. The sentences are the ones that the API is known for."""
    complaint = error.complaint
    if "prefill" in complaint and body["messages"][-1]["role"] == "assistant":
        return "prefill"
    if limit := _LIMIT.search(complaint):
        return f"max_tokens={limit[1]}"
    blocks = [block["type"] for message in body["messages"] for block in message["content"]]
    if "signature" in complaint and not {"thinking", "redacted_thinking"}.isdisjoint(blocks):
        return "unsigned"
    if "output_config" in body and "effort" in complaint.lower() and "thinking.type" not in complaint:
        return "output_config"
    if "thinking" in body and re.search(r"thinking|budget_tokens", complaint, re.IGNORECASE):
        return "budget" if body["thinking"]["type"] == "adaptive" else "adaptive"
    if "top_p" in body and re.search(r"temperature.{1,9}and.{1,9}top_p.{1,9}cannot both", complaint):
        return "top_p"
    named = next((name for name in ("temperature", "top_p", "top_k") if name in body and name in complaint), None)
    if named and "deprecated" in complaint:
        return named
    return unknown_field(("cache_control", "temperature", "top_p", "top_k"), body, complaint)


def cut_of(request: ChatRequest, body: dict[str, Any]) -> str:
    """The blanks that were cut off the end of an answer to go on from."""
    if not request.continues or body["messages"][-1]["role"] != "assistant":
        return ""
    texts = [part.text for part in request.messages[-1].parts if isinstance(part, TextPart) and part.text.strip()]
    return texts[-1][len(texts[-1].rstrip()) :] if texts else ""


def is_recent(model: str) -> bool:
    """Whether this is a Claude of 4.6 or later, by its name."""
    return "claude-" in model and not _UP_TO_4_5.search(model)


def _thinking(request: ChatRequest, amendments: frozenset[str]) -> dict[str, Any]:
    """The fields that make a model think; none where that was not asked for, or cannot be had.

    Within a turn, after a tool, the API wants the thoughts that led to the call. Where they were another provider's, or
    unsigned, the turn is ended without thinking.
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
    """
    effort = request.parameters.reasoning_effort
    if effort is None or {"adaptive", "budget"} <= amendments or not _has_its_thoughts(request, amendments):
        return {}
    if "adaptive" in amendments or (is_recent(request.model) and "budget" not in amendments):
        return {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": effort}}
    return {"thinking": {"type": "enabled", "budget_tokens": BUDGETS[effort]}}


def _has_its_thoughts(request: ChatRequest, amendments: frozenset[str]) -> bool:
    for message in reversed(request.messages):
        if message.role == "user":
            return True
        if any(isinstance(part, ToolCallPart) for part in message.parts) and (
            "unsigned" in amendments
            or not any(blocks_of(part) for part in message.parts if isinstance(part, ReasoningPart))
        ):
            return False
    return True


def _answer_tokens(request: ChatRequest, amendments: frozenset[str]) -> int:
    limit = _model_limit(request, amendments)
    asked = request.parameters.max_tokens
    tokens = min(limit or DEFAULT_MAX_TOKENS, MOST_UNASKED_TOKENS) if asked is None else asked
    return min(tokens, limit or tokens)


def _model_limit(request: ChatRequest, amendments: frozenset[str]) -> int | None:
    limits = [int(name.removeprefix("max_tokens=")) for name in amendments if name.startswith("max_tokens=")]
    return min([*limits, *filter(None, [request.max_output_tokens])], default=None)


def _sampling(parameters: Parameters, *, is_thinking: bool) -> dict[str, Any]:
    """Temperatures end at 1 here. Who thinks takes neither a temperature nor `top_k`, and `top_p` only from 0.95 on.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
    """
    temperature, top_p = parameters.temperature, parameters.top_p
    fields = {
        "temperature": None if temperature is None or is_thinking else min(temperature, HIGHEST_TEMPERATURE),
        "top_p": None if is_thinking and top_p is not None and top_p < _LEAST_TOP_P_THINKING else top_p,
        "top_k": None if is_thinking else parameters.top_k,
        "stop_sequences": [stop for stop in parameters.stop if stop.strip()] or None,  # blank ones are refused
    }
    return {name: value for name, value in fields.items() if value is not None}


def _messages(
    account: Account, request: ChatRequest, amendments: frozenset[str], *, is_thinking: bool
) -> list[dict[str, Any]]:
    """The prompt without its system messages. An answer to go on from stands last, where the model goes on from it."""
    entries: list[dict[str, Any]] = []
    for message in request.messages:
        role = "assistant" if message.role == "assistant" else "user"  # who says what a tool found, too
        blocks = _blocks(account, message, amendments) if message.role != "system" else []
        if not blocks:
            continue
        if entries and entries[-1]["role"] == role:  # the results of one round belong together
            entries[-1]["content"] += blocks
        else:
            entries.append({"role": role, "content": blocks})
    if request.continues and entries and entries[-1]["role"] == "assistant":
        if is_thinking or "prefill" in amendments or is_recent(request.model):
            entries.append({"role": "user", "content": [{"type": "text", "text": CONTINUE}]})
        else:
            last = entries[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()  # refused otherwise; the reader knows what it cut
    return entries


def _blocks(account: Account, message: ChatMessage, amendments: frozenset[str]) -> list[dict[str, Any]]:
    has_call = any(isinstance(part, ToolCallPart) for part in message.parts)
    # Without a call the thoughts of an earlier answer need not come back, and cost tokens.
    is_thought_sent = has_call and "unsigned" not in amendments
    parts = (part for part in message.parts if is_thought_sent or not isinstance(part, ReasoningPart))
    return [block for part in parts for block in _written(account, part, message.role)]


def _written(account: Account, part: Part | Image, role: Role) -> list[dict[str, Any]]:
    match part:
        case TextPart(text=text):
            return [{"type": "text", "text": text}] if text.strip() else []  # blank ones are refused
        case ReasoningPart():
            return blocks_of(part)
        case ToolCallPart():
            call = {"id": _id(part.call_id), "name": part.name, "input": object_of(part.arguments)}
            return [{"type": "tool_use", **call}]
        case FilePart():
            raise refuse_file(account, part)
        case Image(media_type=media_type, data=data):
            source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
            return [{"type": "image", "source": source}] if role != "assistant" else []
        case ToolResultPart():
            return [_result(part)]
        case ErrorPart():
            return []
        case _:
            assert_never(part)


def _result(part: ToolResultPart) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": _id(part.call_id), "content": part.content}
    return result | {"is_error": True} if part.is_error else result


def _id(call_id: str) -> str:
    """The id of a call in the letters that the API takes: another provider's may have others."""
    return _NO_ID.sub("_", call_id) or "_"
