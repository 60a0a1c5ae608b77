"""Anthropic's Messages as a dialect: the events of a streamed message → ours, and signed reasoning both ways. Pure.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from app.parts import Finish, FinishReason, ReasoningDelta, ReasoningPart, TextDelta, ToolCallDelta, Usage, clean
from app.providers import failures
from app.providers.answers import Reader
from app.providers.base import Event
from app.providers.counts import total_of, usage_of
from app.providers.end_of_answer import EndOfAnswer, is_failure, read_reason
from app.providers.frames import SseFrame
from app.providers.http import Wire
from app.providers.signatures import kept, own
from app.providers.whole_answers import message_events

KIND = "anthropic"

#: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
_FINISH_REASONS: dict[str, FinishReason] = {"pause_turn": "length"}  # the server wants to be asked to go on
_IN = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class MessageReader(Reader[Event]):
    """Events of a streamed message → events. `message_stop` ends it, or the end of the body after a stop reason.

    `owed` are the blanks that were cut off an answer to go on from: those that come again are not said twice.
    """

    def __init__(self, wire: Wire, owed: str = "") -> None:
        self._wire = wire
        self._owed = owed
        self._usage: dict[str, Any] = {}
        self._end = EndOfAnswer()
        self._calls: dict[int | None, _Call] = {}
        self._thoughts: list[tuple[int | None, str]] = []

    def read(self, frame: SseFrame) -> Sequence[Event] | None:
        event = self._wire.decode(frame.data, _Event)
        if event.type == "message":  # all of it at once
            whole = message_events(self._wire.decode(frame.data, dict[str, Any]))
            return [said for each in whole for said in self._events(self._wire.decode(each, _Event)) or ()]
        events = self._events(event)
        self._end.see(None, has_text=bool(events))
        return events

    def passes_over(self, value: Any) -> bool:
        """New types of events may be added, says the documentation."""
        kind = value.get("type") if isinstance(value, dict) else None
        return isinstance(kind, str) and not kind.startswith(("message", "content_block", "error"))

    def close(self) -> None:
        self.is_complete = self._end.reason is not None

    def _events(self, event: "_Event") -> Sequence[Event] | None:
        match event.type:
            case "message_start":
                self._count((event.message or _Message()).usage)
            case "content_block_start":
                return self._begin(event.index, event.content_block or _Block())
            case "content_block_delta":
                return self._go_on(event.index, event.delta or _Delta())
            case "content_block_stop":
                return self._stop(event.index)
            case "message_delta":
                self._count(event.usage)
                said = event.delta.stop_reason if event.delta else None
                if is_failure(said):
                    raise failures.cut(self._wire.account)
                self._end.see(read_reason(said, _FINISH_REASONS), has_text=False)
            case "message_stop":
                self.has_ended = self.is_complete = True
            case _:
                return None
        return ()

    def end(self) -> Sequence[Event]:
        usage = self._total()
        events: list[Event] = [usage] if usage else []
        return [*events, Finish(self._end.reason or "stop")] if self.is_complete else events

    def _begin(self, index: int | None, block: "_Block") -> list[Event]:
        match block.type:
            case "text":
                return self._say(block.text)
            case "thinking":
                self._thoughts.append((0, ""))
                return self._think(block.thinking, block.signature)
            case "redacted_thinking":
                self._thoughts.append((None, block.data or ""))
                return self._think("", "")
            case "tool_use":
                call = self._calls[index] = _Call(len(self._calls), block.input)
                self._thoughts = []
                return [ToolCallDelta(call.number, clean(block.id or ""), clean(block.name or ""))]
        return []  # blocks of tools that run on the server: we ask for none

    def _go_on(self, index: int | None, delta: "_Delta") -> list[Event]:
        match delta.type:
            case "text_delta":
                return self._say(delta.text)
            case "thinking_delta" | "signature_delta":
                if not self._thoughts:
                    self._thoughts.append((0, ""))
                return self._think(delta.thinking, delta.signature)
            case "input_json_delta":
                call = self._calls.get(index)
                if call and delta.partial_json:
                    call.has_arguments = True
                    return [ToolCallDelta(call.number, arguments=clean(delta.partial_json))]
        return []

    def _stop(self, index: int | None) -> list[Event]:
        """A call without arguments has no deltas; a server that does not stream them gives them at the start."""
        call = self._calls.get(index)
        if call is None or call.has_arguments:
            return []
        call.has_arguments = True
        return [ToolCallDelta(call.number, arguments=clean(msgspec.json.encode(call.input or {}).decode()))]

    def _say(self, text: str | None) -> list[Event]:
        said = clean(text or "")
        while self._owed and said:
            if said[0] != self._owed[0]:
                self._owed = ""
                break
            said, self._owed = said[1:], self._owed[1:]
        if not said:
            return []
        self._thoughts = []
        return [TextDelta(said)]

    def _think(self, text: str | None, signature: str | None) -> list[Event]:
        """The next of the reasoning, whose last piece carries the signatures of all of it."""
        thought = clean(text or "")
        size, before = self._thoughts[-1]
        if size is not None:
            self._thoughts[-1] = (size + len(thought), before + (signature or ""))
        if not signature and size is not None:
            return [ReasoningDelta(thought)] if thought else []
        return [ReasoningDelta(thought, kept(KIND, _sealed(self._thoughts)))]

    def _count(self, usage: Any) -> None:
        """Counts are cumulative: later ones replace earlier ones."""
        if isinstance(usage, dict):
            self._usage |= {name: usage[name] for name in (*_IN, "output_tokens") if usage.get(name) is not None}

    def _total(self) -> Usage | None:
        """All tokens in, those from and for the prompt cache included, which the API counts apart.

        https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance. The count of a
        message that has only begun says nothing of tokens out.
        """
        tokens_in = total_of(*(self._usage.get(name) for name in _IN))
        tokens_out = self._usage.get("output_tokens") if self.is_complete or self._end.reason else None
        return usage_of(tokens_in, tokens_out, self._usage.get("cache_read_input_tokens"))


def blocks_of(part: ReasoningPart) -> list[dict[str, Any]]:
    """Reasoning as the blocks in which Anthropic sent it; none for what it did not sign."""
    signature = own(KIND, part.signature)
    if signature is None:
        return []
    blocks: list[dict[str, Any]] = []
    start = 0
    for size, sealed in _opened(signature, part.text):
        if size is None:
            blocks.append({"type": "redacted_thinking", "data": sealed})
        elif sealed:
            blocks.append({"type": "thinking", "thinking": part.text[start : start + size], "signature": sealed})
        start += size or 0
    return blocks


def _sealed(thoughts: list[tuple[int | None, str]]) -> str:
    """The one signature that a part has room for. Several blocks, or a redacted one, become a list: sizes in characters
    (none: redacted) and signatures. Only they begin with a bracket."""
    (size, signature), *others = thoughts
    if size is not None and not others and not signature.startswith("["):
        return signature
    return msgspec.json.encode(thoughts).decode()


def _opened(signature: str, text: str) -> list[tuple[int | None, str]]:
    if not signature.startswith("["):
        return [(len(text), signature)]
    try:
        return msgspec.json.decode(signature, type=list[tuple[int | None, str]])
    except msgspec.DecodeError:
        return []


class _Call:
    """A tool call under way: its number among the calls of this message, and the arguments given at its start."""

    def __init__(self, number: int, given: Any) -> None:
        self.number = number
        self.input = given
        self.has_arguments = False


class _Message(msgspec.Struct):
    usage: Any = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int | None = None
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Any = None
