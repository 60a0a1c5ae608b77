"""The scripted model server as browser tests want it: titles are answered apart, so that tests script answers alone."""

import asyncio
from collections.abc import Iterable, Sequence

from app.chat.title import ASK
from tests.scripted import (
    DIALECTS,
    LAST_CHUNK,
    OPENAI,
    Dialect,
    Paced,
    Request,
    Script,
    ScriptedServer,
    Send,
    Wait,
    chunk,
    whole,
)

TITLE = "Lanterns over the harbour"


class ModelServer(ScriptedServer):
    """Answers what asks for a title with `title`, and everything else as `ScriptedServer`. Wants `key`, if it has one."""

    def __init__(self, models: Sequence[str] = ("lantern-7b", "tide-2b"), *, key: str = "") -> None:
        super().__init__(models)
        self.title = TITLE
        self.key = key

    @property
    def asked(self) -> list[Request]:
        """The questions of people: without those for titles."""
        return [request for request in self.questions if not _asks_for_title(request)]

    def forget(self) -> None:
        """Begin anew: no scripts, no requests."""
        self.requests.clear()
        self.scripts.clear()
        self._queue.clear()
        self.title = TITLE

    def say(self, *pieces: str, dialect: Dialect = OPENAI, thoughts: Iterable[str] = (), reason: str = "stop") -> None:
        """Queue an answer in these pieces, all at once."""
        self.script(*dialect.answer(pieces, thoughts=thoughts, usage=(12, len(pieces)), reason=reason))

    def say_slowly(self, *pieces: str, per_second: float) -> None:
        """Queue an answer at a steady pace."""
        self.script(*OPENAI.answer(pieces, usage=(12, len(pieces)), per_second=per_second))

    def say_until(self, gate: asyncio.Event, before: Iterable[str], after: Iterable[str] = ()) -> None:
        """Queue an answer that waits in its middle until the gate is opened."""
        first, rest = ([chunk(OPENAI.text(piece)) for piece in pieces] for pieces in (before, after))
        last = chunk(OPENAI.finish("stop", (12, len(first) + len(rest)))) + LAST_CHUNK
        self.script(OPENAI.head(), *map(Send, first), Wait(gate), Paced((*rest, last), 100))

    def _answer_to(self, request: Request) -> Script:
        if self.key and not any(
            dialect.key_headers(self.key).items() <= request.headers.items() for dialect in DIALECTS
        ):
            return whole(OPENAI.error_body("Incorrect API key provided"), 401)
        for dialect in DIALECTS:
            if dialect.is_question(request) and _asks_for_title(request):
                return dialect.answer([self.title], usage=(20, 5))
        return super()._answer_to(request)


def _asks_for_title(request: Request) -> bool:
    return any(ASK in str(dialect.messages(request.json)[-1]) for dialect in DIALECTS if dialect.is_question(request))
