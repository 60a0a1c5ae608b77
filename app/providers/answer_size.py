"""How large an answer may become: counted event by event, and ended where it is more than anybody needs."""

from collections import Counter

from app.parts import ReasoningDelta, TextDelta, ToolCallDelta
from app.providers.base import Account, Limits
from app.providers.errors import BadAnswer
from app.words import gettext as _


class AnswerSize:
    """The bytes of one answer so far, and those of each of its tool calls."""

    def __init__(self, account: Account, limits: Limits) -> None:
        self._account = account
        self._limits = limits
        self._call_bytes: Counter[int] = Counter()
        self.bytes = 0

    def add(self, event: object) -> None:
        """Count what comes next. Raises `BadAnswer` for what is too much."""
        size = _size(event)
        self.bytes += size
        if self.bytes > self._limits.max_answer_bytes:
            raise too_large(self._account)
        if isinstance(event, ToolCallDelta):
            self._call_bytes[event.index] += size
            if self._call_bytes[event.index] > self._limits.max_call_bytes:
                sentence = _("%(name)s wrote more arguments for a tool than the %(most)s bytes that a call may have.")
                raise BadAnswer(sentence % {"name": self._account.name, "most": f"{self._limits.max_call_bytes:,}"})


def too_large(account: Account) -> BadAnswer:
    """An answer, a frame or a list that never seems to end."""
    sentence = _("%(name)s sent more than any answer may have, so the rest was not read.")
    return BadAnswer(sentence % {"name": account.name})


def _size(event: object) -> int:
    match event:
        case TextDelta() | ReasoningDelta():
            return len(event.text.encode()) + len(event.signature or "")
        case ToolCallDelta():
            words = len(event.name) + len(event.call_id) + len(event.signature or "")
            return len(event.arguments.encode()) + words
        case _:
            return 0
