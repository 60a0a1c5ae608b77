"""A running answer as HTML: what a fresh page draws, and what a page that watches must change.

    <div class="body" id="b-x"> ..finished blocks.. <div class="tail" id="t-x" data-seq="57">..open block..</div></div>

Both are one function of the deltas, so that a page loaded mid-stream and one that watched from the start are equal.
Both are marked HTML (pieces.py): formulas are drawn afterwards, so that none is converted here.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final, Literal, NamedTuple, assert_never

from app.html.blocks import Blocks
from app.html.bounds import Room
from app.html.by_block import draw_by_block, may_be_cut
from app.html.markdown import draw_whole, normal
from app.html.source import as_source
from app.html.spine import Change
from app.parts import (
    Delta,
    ErrorPart,
    FilePart,
    Part,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from app.words import gettext as _

Swap = Literal["beforebegin", "beforeend", "innerHTML", "delete"]

_SWAPS: Final[dict[Swap, str]] = {
    "beforebegin": " hx-swap=before",
    "beforeend": " hx-swap=append",
    "innerHTML": "",  # htmx's default
    "delete": " hx-swap=delete",
}


#: So many characters of a tool call's arguments and of its name are drawn: the rest of one line is not seen anyway.
MOST_DRAWN: Final = 2_000
MOST_NAME: Final = 200


class Op(NamedTuple):
    """One change of a page: `target` is a CSS selector that finds exactly one element."""

    target: str
    swap: Swap
    html: str


def frame(ops: Iterable[Op]) -> str:
    """The changes as htmx partials. May hold line ends: an SSE writer must send each line in its own `data:` field."""
    return "".join(f"<hx-partial hx-target={_quoted(op.target)}{_SWAPS[op.swap]}>{op.html}</hx-partial>" for op in ops)


def render_parts(parts: Sequence[Part], *, dom: str, reasoning_label: str | None = None) -> str:
    """What stands in the body of a final message, as marked HTML (pieces.py): formulas and colours are still to come.

    Files and errors are not drawn here: the message's template does. Each text is drawn at once, so that what resolves
    late does. A message that exceeds a bound is drawn as its stream was, block by block: only what exceeds it is source,
    and nothing else changes when the answer ends.
    """
    room, blocks_room = Room(), Room()
    whole = _draw_parts(parts, dom, reasoning_label, room, draw_whole)
    if not room.was_exceeded and room.has_most_left and not any(map(may_be_cut, _texts_of(parts))):
        return whole
    by_block = _draw_parts(parts, dom, reasoning_label, blocks_room, draw_by_block)
    return by_block if room.was_exceeded or blocks_room.was_exceeded else whole


def source_of(parts: Sequence[Part]) -> str:
    """The same with every text as it was written, escaped: for an answer that cannot be rendered. Nothing in it is parsed."""
    return "".join(_part(part, None, lambda text: as_source(normal(text))) for part in parts)


class AnswerView:
    """A running answer. `dom` is the short id in `b-{dom}` and `t-{dom}`: letters, digits, hyphens."""

    def __init__(self, dom: str, room: Room | None = None) -> None:
        self.seq = 0
        self._dom = dom
        self._tail = f"#t-{dom}"
        self._key: tuple[str, int] | None = None
        self._part_number = 0
        self._room = room or Room()
        self._blocks = Blocks("", self._room)
        self._call = _Call()
        self._done: list[str] = []
        self._thoughts: list[str] = []
        # Since the last step: what is finished and goes before the tail; how much was done when the tail moved
        # away; whether another part is open now.
        self._new: list[str] = []
        self._moved_at: int | None = None
        self._is_switched = False

    def feed(self, deltas: Iterable[Delta], seq: int) -> list[Op]:
        """Takes the next deltas, of which the last is number `seq`, and steps."""
        for delta in deltas:
            self.take(delta)
        return self.step(seq)

    def take(self, delta: Delta) -> None:
        """Takes the next delta. What it changes is found by `step`."""
        if not isinstance(delta, ToolCallDelta) and not delta.text:
            return
        key = _key(delta)
        if key != self._key:
            self._switch(key)
        if isinstance(delta, ToolCallDelta):
            self._call.feed(delta)
        else:
            self._blocks.feed(delta.text)

    def step(self, seq: int) -> list[Op]:
        """What a page must do that shows the answer as it was at the last step; the last delta is number `seq`.

        The targets of all operations stand on the page before the first is done, as htmx looks them up beforehand: put
        the operations of one step into one frame, and those of two steps into two.
        """
        self.seq = seq
        ops = self._ops() if self._key else []
        self._new, self._moved_at, self._is_switched = [], None, False
        return ops

    def _ops(self) -> list[Op]:
        finished, change = self._part.step()
        self._put(finished)
        ops = [Op(self._tail, "beforebegin", "".join(self._new))] if self._new else []
        if self._moved_at is not None:
            ops.append(Op(self._tail, "delete", ""))
            ops.append(Op(f"#b-{self._dom}", "beforeend", "".join(self._done[self._moved_at :]) + self._open_html()))
        elif self._is_switched:
            ops.append(Op(self._tail, "innerHTML", self._part.tail()))
        elif change:
            swap: Swap = "beforeend" if change.is_append else "innerHTML"
            ops.append(Op(self._tail + change.path, swap, change.html))
        return ops

    def html(self) -> str:
        """The whole body, as a fresh page draws it, its formulas apart."""
        return f'<div class="body" id="b-{self._dom}">{"".join(self._done)}{self._open_html()}</div>'

    def _open_html(self) -> str:
        inner = self._part.tail() if self._key else ""
        tail = f'<div class="tail" id="t-{self._dom}" data-seq="{self.seq}">{inner}</div>'
        return _reasoning_html(_("Thinking"), "".join(self._thoughts) + tail) if self._is_reasoning else tail

    @property
    def _is_reasoning(self) -> bool:
        return self._key == _REASONING

    @property
    def _part(self) -> "Blocks | _Call":
        return self._call if self._key and self._key[0] == "tool_call" else self._blocks

    def _switch(self, key: tuple[str, int]) -> None:
        """Ends the open part and begins the next; the tail moves where reasoning begins or ends."""
        if self._key:
            self._put(self._part.finish())
        moves = self._is_reasoning or key == _REASONING
        if self._is_reasoning:
            self._done.append(_reasoning_html(_("Thinking"), "".join(self._thoughts)))
            self._thoughts.clear()
        if moves and self._moved_at is None:
            self._moved_at = len(self._done)
        self._is_switched = True
        self._key = key
        self._part_number += 1
        if key[0] == "tool_call":
            self._call = _Call()
        else:
            self._blocks = Blocks(_footnote_prefix(self._dom, self._part_number), self._room)

    def _put(self, finished: str) -> None:
        if finished:
            (self._thoughts if self._is_reasoning else self._done).append(finished)
            if self._moved_at is None:
                self._new.append(finished)


class _Call:
    """A tool call while its arguments are being written; of many only the beginning is drawn."""

    def __init__(self) -> None:
        self._name = ""
        self._arguments: list[str] = []
        self._room = MOST_DRAWN
        self._is_renamed = True
        self._sent = 0

    def feed(self, delta: ToolCallDelta) -> None:
        self._is_renamed = self._is_renamed or bool(delta.name)
        self._name += delta.name
        if delta.arguments and self._room >= 0:
            more = normal(delta.arguments)
            self._arguments.append(escape(_cut(more, self._room), False))
            self._room -= len(more)

    def step(self) -> tuple[str, Change | None]:
        new = "".join(self._arguments[self._sent :])
        self._sent = len(self._arguments)
        if self._is_renamed:
            self._is_renamed = False
            return "", Change("", False, self.tail())
        return "", Change(" code", True, new) if new else None

    def tail(self) -> str:
        return _call_html(self._name, "".join(self._arguments))

    def finish(self) -> str:
        return self.tail()


_REASONING: Final = ("reasoning", 0)


def _key(delta: Delta) -> tuple[str, int]:
    match delta:
        case TextDelta():
            return ("text", 0)
        case ReasoningDelta():
            return _REASONING
        case ToolCallDelta(index=index):
            return ("tool_call", index)
        case _:
            assert_never(delta)


def _footnote_prefix(dom: str, part_number: int) -> str:
    return f"{dom}-{part_number}-"


def _texts_of(parts: Sequence[Part]) -> list[str]:
    return [part.text for part in parts if isinstance(part, TextPart | ReasoningPart)]


def _draw_parts(
    parts: Sequence[Part], dom: str, reasoning_label: str | None, room: Room, draw: Callable[..., str]
) -> str:
    return "".join(
        _part(part, reasoning_label, functools.partial(draw, prefix=_footnote_prefix(dom, number), room=room))
        for number, part in enumerate(parts, 1)
    )


def _part(part: Part, reasoning_label: str | None, html_of: Callable[[str], str]) -> str:
    match part:
        case TextPart(text=text):
            return html_of(text)
        case ReasoningPart(text=text):
            if not text.strip():
                return ""
            label = reasoning_label or _thought_for(part.duration_ms)
            return _reasoning_html(label, html_of(text))
        case ToolCallPart(name=name, arguments=arguments):
            return _call_html(name, escape(_cut(normal(arguments), MOST_DRAWN), False))
        case ToolResultPart(content=content, is_error=is_error):
            label = escape(_("Tool failed") if is_error else _("Tool result"))
            shown = escape(normal(content), False)
            return f'<details class="tool-result"><summary>{label}</summary><pre tabindex="0">\n{shown}</pre></details>'
        case FilePart() | ErrorPart():
            return ""
        case _:
            assert_never(part)


def _thought_for(duration_ms: int | None) -> str:
    if duration_ms is None:
        return _("Thought")
    return _("Thought for {seconds} s").format(seconds=max(1, round(duration_ms / 1000)))


def _reasoning_html(label: str, thoughts: str) -> str:
    head = f'<details class="reasoning"><summary>{escape(label)}</summary><div class="thoughts">'
    return f"{head}{thoughts}</div></details>"


def _call_html(name: str, arguments: str) -> str:
    """One line. `arguments` is HTML already."""
    shown = escape(_cut(normal(name), MOST_NAME), False)
    return f'<div class="tool-call"><span class="name">{shown}</span><code>{arguments}</code></div>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _quoted(selector: str) -> str:
    return f'"{selector}"' if " " in selector or ">" in selector else selector
