"""When an answer is at its end: finish reasons as servers word them, and whether one can be believed. Pure."""

import re
from collections.abc import Mapping

from app.parts import FinishReason

_NONE = frozenset({"", "null", "none", "nil", "undefined", "unspecified", "finish_reason_unspecified"})
_KNOWN: dict[str, FinishReason] = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_length", "token_limit"), "length"),
    **dict.fromkeys(("model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "sensitive", "refusal"), "content_filter"),
    **dict.fromkeys(("blocklist", "prohibited_content", "recitation", "spii"), "content_filter"),
}
#: OpenRouter says error, vLLM abort, DeepSeek insufficient_system_resource, Zhipu network_error: no end, a failure.
_FAILURE = re.compile(r"error|abort|cancel|fail|interrupt|time_?d?_?out|insufficient|overload|unavailable|disconnect")


def read_reason(said: object, special: Mapping[str, FinishReason] | None = None) -> FinishReason | None:
    """A finish reason as a server words it → ours; None where it says none. `special`: what a dialect words on its own."""
    word = said.strip().lower() if isinstance(said, str) else ""
    if word in _NONE:
        return None
    return (special or {}).get(word) or _KNOWN.get(word, "stop")


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
