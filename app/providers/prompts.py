"""A prompt as every protocol wants it, whatever became of it in the thread: each call answered, each speaker in turn."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from app.parts import ToolCallPart, ToolResultPart
from app.providers.base import ChatMessage


def in_turn(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages without calls that have no result, which servers refuse, and with the results in messages of their own.

    What an answer said, called, was told and said then is four things by three speakers: they stay in that order.
    """
    return [each for message in _answered(messages) for each in _speakers(message)]


def _answered(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """From the end: a result answers the last call of its id that stands before it. Some servers' ids begin anew each answer."""
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
        is_whole = len(parts) == len(message.parts)
        found.append(message if is_whole else msgspec.structs.replace(message, parts=tuple(reversed(parts))))
    return found[::-1]


def _speakers(message: ChatMessage) -> Iterator[ChatMessage]:
    """Runs of parts that are all results of tools, or none of them."""
    start = 0
    for end in range(1, len(message.parts) + 1):
        is_result = isinstance(message.parts[start], ToolResultPart)
        if end == len(message.parts) or isinstance(message.parts[end], ToolResultPart) is not is_result:
            yield ChatMessage("tool" if is_result else message.role, message.parts[start:end])
            start = end
    if not message.parts:
        yield message
