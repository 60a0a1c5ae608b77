"""The ledger of a load client: every turn that was acknowledged, and everything that any page has shown."""

import uuid
from typing import NamedTuple


class Acknowledged(NamedTuple):
    """A success answer to a send, as the sender understood it. The answer to a new thread's form names no messages."""

    thread: uuid.UUID
    request_id: uuid.UUID
    question: uuid.UUID | None
    answer: uuid.UUID | None
    text: str


class Ledger:
    """`turns` that were acknowledged; `shown`: the longest text that any page showed of an answer."""

    def __init__(self) -> None:
        self.turns: list[Acknowledged] = []
        self.shown: dict[uuid.UUID, str] = {}
        self.torn: list[str] = []

    def saw(self, message: str, text: str) -> None:
        """A page shows this text of an answer. What it showed before must be its beginning."""
        key = uuid.UUID(message)
        before = self.shown.get(key, "")
        longer, shorter = (text, before) if len(text) >= len(before) else (before, text)
        if not longer.startswith(shorter):
            self.torn.append(f"{message}: {before!r} then {text!r}")
        self.shown[key] = longer
