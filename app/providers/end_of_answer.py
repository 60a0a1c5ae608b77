"""When an answer is at its end: finish reasons as servers word them, and whether one can be believed. Pure."""

import re
from collections.abc import Mapping

from app.parts import FinishReason

#: What says that there is more to come.
_NONE = re.compile(
    r"|null|none|nil|nan|n/?a|undefined|(finish_reason_)?unspecified|false|not_?(yet_)?(finished|stopped|done)"
    r"|unfinished|incomplete|(in_?)?progress(ing)?|running|ongoing|pending|processing|generating|streaming|continu(e|ing)"
)
#: Every server has words of its own, but they are made of these.
_MEANINGS: tuple[tuple[re.Pattern[str], FinishReason], ...] = (
    (
        re.compile(r"filter|safety|sensitive|refus|blocked|blocklist|prohibit|recitation|spii|moderat|guardrail"),
        "content_filter",
    ),
    (re.compile(r"tool|function"), "tool_calls"),
    (re.compile(r"length|max|limit|context|truncat"), "length"),
)
#: OpenRouter says error, vLLM abort, DeepSeek insufficient_system_resource, Zhipu network_error: no end, a failure.
_FAILURE = re.compile(
    r"error|exception|abort|cancel|fail|interrupt|time_?d?_?out|insufficient|overload|unavailable|disconnect|preempt"
    r"|shut_?down|killed|crash"
)


def read_reason(said: object, special: Mapping[str, FinishReason] | None = None) -> FinishReason | None:
    """A finish reason as a server words it → ours; None where it says none. `special`: what a dialect words on its own."""
    word = said.strip().lower() if isinstance(said, str) else ""
    if _NONE.fullmatch(word.replace(" ", "_").replace("-", "_")):
        return None
    found = (meaning for words, meaning in _MEANINGS if words.search(word))
    return (special or {}).get(word) or next(found, "stop")


def is_failure(said: object) -> bool:
    """Whether a finish reason says that the answer broke off."""
    return isinstance(said, str) and _FAILURE.search(said.lower()) is not None


class EndOfAnswer:
    """What a server says of the end of an answer, weighed against what it goes on to say.

    Some give a finish reason with every piece of text. So a reason is believed at once only where it comes alone and after
    all text; one that came with text, or that text followed, needs the end of the body, or an end marker, to confirm it.
    `reason` is the one that nothing followed.
    """

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        self.is_sure = False
        self._has_text = False
        self._was_given = False
        self._is_doubtful = False

    def see(self, reason: FinishReason | None, *, has_text: bool) -> None:
        """Take what one frame says: a finish reason, a piece of the answer, both or neither."""
        if has_text:
            self._is_doubtful = self._is_doubtful or self._was_given or reason is not None
            self._has_text, self.reason, self.is_sure = True, None, False
        if reason is None:
            return
        self._was_given = True
        if self.reason is None or reason != "stop":  # said twice, the one that says more counts
            self.reason = reason
        self.is_sure = self._has_text and not self._is_doubtful
