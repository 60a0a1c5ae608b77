"""What a model thought is told from what it said, and the tokens of its chat template are dropped, while it streams.

See docs/decisions/0038-marks-of-models.md.
"""

import itertools
from collections.abc import Iterator
from typing import Literal

from app.parts import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from app.providers.base import Event
from app.providers.code_spans import CodeSpans
from app.providers.marks import (
    ANSWER,
    ANSWER_END,
    BARE_CLOSING,
    FIRST,
    FIRST_OR_BARE,
    Mark,
    Pending,
    begins_next_turn,
    closes,
    look,
    look_bare,
)

_PIECE_CHARS = 1_000  # a whole answer at once is read in such pieces: what is held back is copied with every step
_MAX_LEADING_SPACE = 64  # an endless run of blanks is text, not a mark to wait for
_BEFORE_QUOTED = " \t\"'`“„«‹(（「"
_BEHIND_QUOTED = " \t\"'`”“»›)）」,.;:!?，。"
#: What ends a message within an answer of gpt-oss.
_MESSAGE_ENDS = frozenset({"<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|start|>assistant"})


class Splitter:
    """Pieces of text → reasoning and text deltas, the same however the text was cut into pieces.

    Thoughts stand at the beginning. Template tokens are dropped at both ends of what is said and of what is thought.
    Elsewhere, and within code, both are the model speaking about them. Held back is only what may yet be a mark.
    Nothing is said after the end of the turn and the beginning of the person's next one.
    `unmarked` is what text without marks is: `thinking` where a server says that it is.
    """

    def __init__(self, written: str = "", *, unmarked: Literal["thinking", "text"] = "text") -> None:
        self._unmarked = unmarked
        self._thoughts: Splitter | None = None  # splits what comes as thoughts
        self._held = ""
        self._run = ""  # tokens, and blanks behind them: dropped unless words follow
        self._state: Literal["start", "thinking", "text"] = "start"
        self._closing = ""
        self._is_marked = False  # a mark was dropped before this part: the blanks around it go with it
        self._is_harmony = False
        self._is_wrapped = False  # in `<answer>`
        self._may_be_lone = True  # a closing tag may belong to an opening one that stood in the prompt
        self._struck = 0
        self._speaks_of_tokens = False
        self._is_over = False  # the next speaker's turn began: all that follows is made up
        self._last_kind: type[Delta] | None = None
        self._code = CodeSpans(written)

    def pass_on(self, event: Event) -> list[Event]:
        """An event of a reader, its text told apart."""
        match event:
            case TextDelta(text=text, signature=None) if self._is_plain(text):
                self._code.add(text)
                return [event]
            case TextDelta(text=text, signature=signature):
                deltas: list[Event] = [*self._end_thoughts(), *self.feed(text)]
                return [*deltas, TextDelta("", signature)] if signature else deltas
            case ReasoningDelta(text=text, signature=signature):
                self._may_be_lone = False
                deltas = [*self._interrupt(ReasoningDelta)]
                self._thoughts = self._thoughts or Splitter(unmarked="thinking")
                if signature:
                    return [*deltas, *self._end_thoughts(), event]
                return [*deltas, *self._thoughts.feed(text)]
            case ToolCallDelta():
                return [*self._end_thoughts(), *self._interrupt(ToolCallDelta), event]
            case Usage() | Finish():
                return [*self.end(), event]
            case _:
                return [event]

    def _end_thoughts(self) -> list[TextDelta | ReasoningDelta]:
        thoughts, self._thoughts = self._thoughts, None
        return thoughts.end() if thoughts else []

    def _is_plain(self, text: str) -> bool:
        """Most deltas are: words in the middle of an answer, without anything that a mark may begin with."""
        is_within = self._state == "text" and self._last_kind is TextDelta and not self._is_marked
        return is_within and not (self._held or self._run or self._is_over) and not FIRST.search(text)

    def feed(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """What can be told by now; a piece that may yet become a mark is held back."""
        pieces = (text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS))
        return _merged(delta for piece in pieces for delta in self._advance(piece))

    def end(self) -> list[TextDelta | ReasoningDelta]:
        """What was held back, now that nothing follows."""
        deltas = [*self._end_thoughts(), *_merged(self._advance("", is_last=True))]
        self._run = ""
        return deltas

    def _interrupt(self, kind: type[Delta]) -> list[TextDelta | ReasoningDelta]:
        """Something else comes between, so what was held back belongs before it; blanks alone may wait."""
        is_blank = self._state == "start" and not self._held.strip()
        deltas = [] if is_blank or not (self._held or self._run) else self.end()
        self._last_kind = kind
        if self._state == "text":
            self._state = "start"
        return deltas

    def _advance(self, piece: str, *, is_last: bool = False) -> Iterator[TextDelta | ReasoningDelta]:
        if self._is_over:
            return
        self._held += piece
        is_waiting = False
        while self._held and not is_waiting:
            if self._state == "start":
                is_waiting = self._begin(is_last=is_last)
                continue
            first = (FIRST_OR_BARE if self._closing == BARE_CLOSING else FIRST).search(self._held)
            yield from self._say(self._take(first.start() if first else len(self._held)))
            if not self._held:
                break
            mark = self._look(self._held, is_last=is_last)
            is_waiting = mark is Pending.PENDING or self._needs_more(mark, is_last=is_last)
            if is_waiting:
                break
            if not (isinstance(mark, Mark) and self._is_meant(mark)):
                yield from self._say(self._take(self._note(mark)))
            elif not self._end_part(mark):
                self._run += self._take(mark.size)
                if begins_next_turn(self._run) and not self._speaks_of_tokens:
                    self._is_over, self._held = True, ""

    def _look(self, text: str, *, is_last: bool) -> Mark | Pending | None:
        may_be_bare = self._closing == BARE_CLOSING or (self._state == "start" and self._unmarked == "text")
        return look(text, is_last=is_last) or (look_bare(text, is_last=is_last) if may_be_bare else None)

    def _begin(self, *, is_last: bool) -> bool:
        """At the start of a part: whether more must come before it can be told what this is."""
        stripped = self._held.lstrip()
        if (self._code.is_open() and not self._is_marked) or len(self._held) - len(stripped) > _MAX_LEADING_SPACE:
            self._begin_part(self._unmarked)
            return False
        mark = self._look(stripped, is_last=is_last) if stripped else Pending.PENDING
        if mark is Pending.PENDING:
            if is_last:
                self._begin_part(self._unmarked)
            return not is_last
        if not isinstance(mark, Mark) or (mark.kind == "answer" and not self._follows_thought()):
            self._begin_part(self._unmarked)
            return False
        if mark.tag == "<s>" and len(stripped) == mark.size and not is_last:
            return True
        if mark.tag == "<s>" and stripped[mark.size : mark.size + 1] not in ("", " ", "\n", "<", "["):
            self._begin_part(self._unmarked)  # struck out
            return False
        self._held = stripped[mark.size :]
        self._is_marked = True
        self._is_wrapped = self._is_wrapped or mark.tag == ANSWER
        if mark.kind == "opening":
            self._begin_part("thinking", mark.closing)
        elif mark.kind == "channel":
            self._is_harmony = True
            self._begin_part("text" if mark.tag == "final" else "thinking")
        return False

    def _begin_part(self, state: Literal["thinking", "text"], closing: str = "") -> None:
        self._state, self._closing = state, closing
        self._may_be_lone = self._may_be_lone and state == self._unmarked
        if self._last_kind not in (None, self._kind()):
            self._code = CodeSpans()

    def _follows_thought(self) -> bool:
        return self._last_kind is ReasoningDelta or (self._is_marked and not self._may_be_lone)

    def _needs_more(self, mark: Mark | Pending | None, *, is_last: bool) -> bool:
        """A closing tag is told from a quoted one by what stands around it."""
        is_closing = isinstance(mark, Mark) and mark.kind == "closing" and len(self._held) == mark.size
        return is_closing and not is_last and (self._state == self._unmarked or self._before() in _BEFORE_QUOTED)

    def _is_meant(self, mark: Mark) -> bool:
        """Whether it is a mark here, and not the model speaking about marks."""
        behind = self._held[mark.size : mark.size + 1]
        if self._state == "thinking" and closes(mark.tag, self._closing):
            is_other = mark.tag != self._closing  # then prose may speak of it, too
            before, after = (
                (_BEFORE_QUOTED, _BEHIND_QUOTED) if is_other else (_BEFORE_QUOTED.strip(), _BEHIND_QUOTED.strip())
            )
            return not (self._before() in before and behind and behind in after)
        if self._code.is_open() or mark.kind == "opening":
            return False
        if mark.kind == "closing":
            is_prose = self._before() in _BEFORE_QUOTED and behind in _BEHIND_QUOTED  # so is the end of the text
            return self._state == self._unmarked and self._may_be_lone and not is_prose
        if mark.kind == "answer":
            return mark.tag == ANSWER_END and self._is_wrapped
        if mark.tag == "<s>":
            return self._run.rstrip().endswith("</s>")
        return not (mark.tag == "</s>" and self._struck)

    def _note(self, mark: Mark | Pending | None) -> int:
        """Remember a mark that is only spoken of; how many characters it has."""
        if not isinstance(mark, Mark):
            return 1
        if mark.kind == "opening":
            self._may_be_lone = False
        if mark.tag in ("<s>", "</s>"):
            self._struck = max(0, self._struck + (1 if mark.tag == "<s>" else -1))
        return mark.size

    def _end_part(self, mark: Mark) -> bool:
        """End what is said or thought, if the mark does that. Tokens of gpt-oss are read at the start of the next part."""
        if mark.kind == "closing":
            self._held = self._held[mark.size :]
            self._may_be_lone = False
        elif not (self._is_harmony and (mark.kind == "channel" or mark.tag in _MESSAGE_ENDS)):
            return False
        self._state, self._is_marked, self._run = "start", True, ""
        return True

    def _before(self) -> str:
        return self._run[-1:] or self._code.last

    def _take(self, size: int) -> str:
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _say(self, text: str) -> Iterator[TextDelta | ReasoningDelta]:
        """Words of the current part. Tokens stand in the middle once words follow them."""
        if self._run and not text.strip():
            self._run += text
            return
        self._speaks_of_tokens = self._speaks_of_tokens or bool(self._run)
        text, self._run = self._run + text, ""
        kind = self._kind()
        if self._is_marked and (text := text.lstrip()):
            self._is_marked = False
            text = self._gap() + text
        if text:
            self._code.add(text)
            self._last_kind = kind
            yield kind(text)

    def _kind(self) -> type[TextDelta | ReasoningDelta]:
        return ReasoningDelta if self._state == "thinking" else TextDelta

    def _gap(self) -> str:
        """Between two parts of one kind that only a mark kept apart: a blank line."""
        if self._last_kind is not self._kind():
            return ""
        return "\n\n" if self._code.last != "\n" else "\n"


def _merged(deltas: Iterator[TextDelta | ReasoningDelta]) -> list[TextDelta | ReasoningDelta]:
    """Neighbours of one kind as one delta."""
    runs = itertools.groupby(deltas, type)
    return [kind("".join(delta.text for delta in run)) for kind, run in runs]
