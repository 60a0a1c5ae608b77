"""Shapes a prompt as every protocol requires, whatever the thread holds: each call answered, speakers alternating."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from app.parts import ErrorPart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from app.providers.base import ChatMessage, ChatRequest, Role

CONTINUE = "Continue exactly where you stopped. Repeat nothing and add no comment."
#: Said by the person where a thread begins with an answer, which strict templates refuse.
OPENING = "Begin."
#: Said by the model where a tool's result is the last there is of an answer: a question may not follow a result.
CUT_OFF = "…"


def in_turn(request: ChatRequest, *, prefills: bool) -> list[ChatMessage]:
    """The messages of a prompt: the system prompt first, then questions and answers in turn, each written the same way
    whatever follows it.

    Calls without a result, results without a call and messages that say nothing are left out, neighbours of one speaker
    are one message, and results stand in messages of their own. An answer to go on from stands last where the server
    continues it (`prefills`). Elsewhere a trailing answer is refused or answered, so the model is asked in words.
    See docs/decisions/0037-conversations-in-turn.md.
    """
    answered = _called(_answered(request.messages))
    spoken = [each for message in answered for each in _speakers(message)]
    said = [each for each in spoken if _says_something(each)]
    found = _alternating([*_of_system(said), *(each for each in said if each.role != "system")])
    if request.continues and not prefills and found and found[-1].role == "assistant":
        found.append(_words("user", CONTINUE))
    return found


def is_asked_to_go_on(body: Mapping[str, Any]) -> bool:
    """Whether the last message of a body asks in words to continue the answer before it."""
    messages: list[Any] = next((body[name] for name in ("messages", "contents", "input") if name in body), [])
    return bool(messages) and CONTINUE in str(messages[-1])


def _answered(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Without calls that have no result, which servers refuse. From the end: a result answers the last call of its id that
    stands before it, and the ids of some servers start again with each answer."""
    waiting: Counter[str] = Counter()
    found: list[ChatMessage] = []
    for message in reversed(messages):
        parts = []
        for part in reversed(message.parts):
            if isinstance(part, ToolResultPart):
                waiting[part.call_id] += 1
            elif isinstance(part, ToolCallPart):
                if not waiting[part.call_id]:
                    continue
                waiting[part.call_id] -= 1
            parts.append(part)
        found.append(msgspec.structs.replace(message, parts=tuple(reversed(parts))))
    return found[::-1]


def _called(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Without results that nothing asked for."""
    open_calls: Counter[str] = Counter()
    found: list[ChatMessage] = []
    for message in messages:
        parts = []
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                open_calls[part.call_id] += 1
            elif isinstance(part, ToolResultPart):
                if not open_calls[part.call_id]:
                    continue
                open_calls[part.call_id] -= 1
            parts.append(part)
        found.append(msgspec.structs.replace(message, parts=tuple(parts)))
    return found


def _speakers(message: ChatMessage) -> Iterator[ChatMessage]:
    """What an answer said, called, was told and said then is four things by three speakers: runs of parts that are all
    results of tools, or none of them."""
    start = 0
    for end in range(1, len(message.parts) + 1):
        is_result = isinstance(message.parts[start], ToolResultPart)
        if end == len(message.parts) or isinstance(message.parts[end], ToolResultPart) is not is_result:
            yield ChatMessage("tool" if is_result else message.role, message.parts[start:end])
            start = end
    if not message.parts:
        yield message


def _says_something(message: ChatMessage) -> bool:
    """Thoughts alone lead to nothing, and no dialect writes them."""
    return any(
        bool(part.text.strip()) if isinstance(part, TextPart) else not isinstance(part, ReasoningPart | ErrorPart)
        for part in message.parts
    )


def _of_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    parts = tuple(part for message in messages if message.role == "system" for part in message.parts)
    return [ChatMessage("system", parts)] if parts else []


def _alternating(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """After the system prompt the person speaks first, and no speaker has two messages in a row."""
    found: list[ChatMessage] = []
    for message in messages:
        last = found[-1].role if found else "system"
        if message.role == "assistant" and last == "system":
            found.append(_words("user", OPENING))
        elif message.role == "user" and last == "tool":
            found.append(_words("assistant", CUT_OFF))
        elif message.role == last and last in ("user", "assistant"):
            found[-1] = ChatMessage(last, (*found[-1].parts, *message.parts))
            continue
        found.append(message)
    return found


def _words(role: Role, text: str) -> ChatMessage:
    return ChatMessage(role, (TextPart(text),))
