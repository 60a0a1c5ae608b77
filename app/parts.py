"""What a message is made of: its parts, the deltas a running answer grows by, and how the latter fold into the former."""

from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

import msgspec


class TextPart(msgspec.Struct, frozen=True, tag="text", omit_defaults=True):
    """Markdown, as the person or the model wrote it. `signature` is the provider's, sent back unchanged."""

    text: str
    signature: str | None = None


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning"):
    """What a model thought before it answered. `signature` is the provider's, sent back unchanged."""

    text: str
    duration_ms: int | None = None
    signature: str | None = None


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """A model asks for a tool. `arguments` is the JSON text exactly as the model wrote it, perhaps invalid.

    `signature` is the provider's, sent back unchanged.
    """

    call_id: str
    name: str
    arguments: str
    signature: str | None = None


class ToolResultPart(msgspec.Struct, frozen=True, tag="tool_result"):
    """What a tool answered to the call with the same id."""

    call_id: str
    content: str
    is_error: bool = False


class FilePart(msgspec.Struct, frozen=True, tag="file"):
    """A file that belongs to the message; its bytes live with the attachment."""

    attachment_id: str
    name: str
    media_type: str
    size_bytes: int


class ErrorPart(msgspec.Struct, frozen=True, tag="error"):
    """Why an answer ended early: a code for programs, a sentence for people."""

    code: str
    sentence: str


Part = TextPart | ReasoningPart | ToolCallPart | ToolResultPart | FilePart | ErrorPart

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "stopped", "failed", "interrupted"]


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    """The next piece of the answer's text; `signature`, where a provider signs, comes with the last piece."""

    text: str
    signature: str | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning"):
    """The next piece of the model's reasoning; `signature`, where a provider signs, comes with the last piece."""

    text: str
    signature: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call"):
    """The next piece of tool call number `index`; id and name stand in its first piece, arguments grow."""

    index: int
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str | None = None


Delta = TextDelta | ReasoningDelta | ToolCallDelta


class Usage(msgspec.Struct, frozen=True):
    """Tokens in (of which `cached_tokens` came from a prompt cache) and out. None: the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    is_exact: bool = True


class Finish(msgspec.Struct, frozen=True):
    """The model server said that the answer ends here, and why."""

    reason: FinishReason


def fold(deltas: Iterable[Delta]) -> tuple[Part, ...]:
    """Deltas in order → parts in order. Neighbours of one kind become one part; tool calls are told apart by index."""
    folded: list[tuple[tuple[str, int], list[Delta]]] = []
    for delta in deltas:
        key = _key(delta)
        if not folded or folded[-1][0] != key:
            folded.append((key, []))
        folded[-1][1].append(delta)
    return tuple(_part(pieces) for _, pieces in folded)


def join(before: Sequence[Part], after: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of an answer that was continued: text goes on in the part where it broke off."""
    if before and after and isinstance(before[-1], TextPart) and isinstance(after[0], TextPart):
        return (*before[:-1], TextPart(before[-1].text + after[0].text, after[0].signature), *after[1:])
    return (*before, *after)


def to_deltas(parts: Iterable[Part]) -> list[Delta]:
    """Parts → deltas that fold into them again: how a stored beginning of an answer is drawn before what follows it."""
    deltas: list[Delta] = []
    for index, part in enumerate(parts):
        match part:
            case TextPart(text=text, signature=signature):
                deltas.append(TextDelta(text, signature))
            case ReasoningPart(text=text, signature=signature):
                deltas.append(ReasoningDelta(text, signature))
            case ToolCallPart(call_id=call_id, name=name, arguments=arguments, signature=signature):
                deltas.append(ToolCallDelta(index, call_id, name, arguments, signature))
            case ToolResultPart() | FilePart() | ErrorPart():
                pass
            case _:
                assert_never(part)
    return deltas


def text_of(parts: Iterable[object]) -> str:
    """The text of the text parts alone: what search, export and titles read."""
    return "\n\n".join(part.text for part in parts if isinstance(part, TextPart))


def clean(text: str) -> str:
    """Text that Postgres can store: no NUL, no lone surrogates (each becomes U+FFFD)."""
    if text.isascii() and "\x00" not in text:
        return text  # every delta of every answer comes through here, and most are like this
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_part_list = msgspec.json.Decoder(tuple[Part, ...])


def encode_parts(parts: Sequence[Part]) -> str:
    """Parts → the JSON text of the `parts` column."""
    return msgspec.json.encode(tuple(parts)).decode()


def decode_parts(stored: str | bytes) -> tuple[Part, ...]:
    """The JSON text of the `parts` column → parts."""
    return _part_list.decode(stored)


def _key(delta: Delta) -> tuple[str, int]:
    match delta:
        case TextDelta():
            return ("text", 0)
        case ReasoningDelta():
            return ("reasoning", 0)
        case ToolCallDelta(index=index):
            return ("tool_call", index)
        case _:
            assert_never(delta)


def _part(pieces: list[Delta]) -> Part:
    first = pieces[0]
    match first:
        case TextDelta():
            said = [p for p in pieces if isinstance(p, TextDelta)]
            return TextPart("".join(p.text for p in said), _last_signature(said))
        case ReasoningDelta():
            thoughts = [p for p in pieces if isinstance(p, ReasoningDelta)]
            return ReasoningPart("".join(p.text for p in thoughts), signature=_last_signature(thoughts))
        case ToolCallDelta():
            calls = [p for p in pieces if isinstance(p, ToolCallDelta)]
            return ToolCallPart(
                call_id="".join(c.call_id for c in calls[:1]),
                name="".join(c.name for c in calls),
                arguments="".join(c.arguments for c in calls),
                signature=_last_signature(calls),
            )
        case _:
            assert_never(first)


def _last_signature(pieces: Sequence[Delta]) -> str | None:
    return next((piece.signature for piece in reversed(pieces) if piece.signature), None)
