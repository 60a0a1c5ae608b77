"""Naming a thread after its first complete answer: a short question to the same model, behind the very prompt it has seen,
or to the model that the setting `title_model` names."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import asyncpg
import msgspec
import structlog

from app.chat import counters
from app.chat.access import is_offered
from app.chat.calls import Connect
from app.chat.circuit import IS_SILENT
from app.chat.ending import Ending
from app.chat.figures import estimated, filled
from app.chat.reachability import IS_DOWN
from app.chat.requests import keep_naming, note_naming
from app.chat.title_rules import believed_title
from app.database import GONE, fetch, fetch_row
from app.html.words import words_of
from app.parts import TextDelta, TextPart, Usage, text_of
from app.providers.base import ChatMessage, ChatRequest, Parameters, Provider
from app.providers.client import on_repeat
from app.providers.errors import ProviderError
from app.settings import Settings
from app.settings.schema import TITLE_OFF

log = structlog.get_logger()

ASK = "Give this conversation a title of two to six words, in its language. Answer with the title alone."
MOST_SECONDS = 30.0
MOST_TOKENS = 400
#: What was said beyond this is no title.
MOST_READ_CHARS = 320
#: What another model than the thread's is shown of the question, and of the answer: enough to name them.
MOST_SHOWN_CHARS = 4_000
#: A title must have a word of so much of the question: to read a megabyte would hold up everyone.
MOST_COMPARED_CHARS = 20_000

#: The model that is asked for a title: the columns of a claim's candidate that a call takes.
Namer = Mapping[str, Any]


class Asked:
    """The call that asks for a title, as it goes."""

    def __init__(self) -> None:
        self.said = ""
        self.error = ""
        self.usage: Usage | None = None
        self.was_repeated = False
        self._started = time.monotonic()

    def note_repeat(self) -> None:
        """As `Ending.note_repeat`."""
        self.was_repeated = True

    def attempt(self, namer: Namer, request: ChatRequest) -> dict[str, Any]:
        """What is noted of it, as `Ending.note_attempt` does of others."""
        # Without a word nobody knows what was taken, and what the server counted stands for itself.
        if self.said and not self.error:
            self.usage = filled(self.usage, estimated(request, [TextPart(self.said)]))
        return {
            "provider": namer["provider_name"],
            "model": namer["model_name"],
            "kind": namer.get("kind") or "",
            "provider_id": str(namer.get("provider_id") or ""),
            "error": self.error,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            "usage": msgspec.to_builtins(self.usage) if self.usage else None,
            **({"was_repeated": True} if self.was_repeated else {}),
        }


def naming(connect: Connect, settings: Settings) -> Callable[[Ending], Coroutine[Any, Any, None]]:
    """What follows the end of an answer: a thread without a name gets one with its first complete answer."""

    async def after_end(ending: Ending) -> None:
        if ending.row["wants_title"] and ending.status == "complete" and ending.content:
            with contextlib.suppress(*GONE, asyncpg.PostgresError):
                if namer := await _find_namer(ending.row, settings.title_model):
                    await name_thread(connect(namer), namer, ending)

    return after_end


async def name_thread(provider: Provider, namer: Namer, ending: Ending) -> None:
    """Ask a model for a title and store it; if that fails, or is none, the first words of the question stay.

    The call is kept as every other one is: what was sent, how it ended, what it took.
    """
    if ending.request is None:
        return
    is_its_own = str(namer["model"]) == str(ending.row["model"])
    request = (_request if is_its_own else _short_request)(ending.request, namer["model_name"], ending.content)
    await keep_naming(ending.row["id"], provider.body(request))
    asked = Asked()
    on_repeat.set(asked.note_repeat)
    try:
        async with asyncio.timeout(MOST_SECONDS):
            await _ask(provider, request, asked)
    except (ProviderError, TimeoutError) as error:
        asked.error = error.code if isinstance(error, ProviderError) else "deadline"
        log.info("title_failed", thread_id=str(ending.row["thread"]), error=type(error).__name__)
    attempt = asked.attempt(namer, request)
    counters.note_naming(usage=asked.usage or Usage(), attempt=attempt)
    await note_naming(ending.row["id"], uuid.UUID(str(namer["model"])), attempt)
    # Small models name what they like: a title of theirs must have a word of the question.
    is_small = provider.is_bundled(namer["model_name"])
    question = _question(ending.request)[:MOST_COMPARED_CHARS]
    title = believed_title(asked.said[: MOST_READ_CHARS + 1], question, must_share_a_word=is_small)
    if title and not asked.error:
        await store_title(ending.row["thread"], title, only_unnamed=True)


async def store_title(thread_id: uuid.UUID, title: str, *, only_unnamed: bool = False) -> None:
    """Set the title and tell the open pages of the thread and of its person."""
    await fetch(_STORE, thread_id, title, only_unnamed)


def first_words(text: str) -> str:
    """The beginning of a question as a title: at most 60 characters, without Markdown, cut between words."""
    beginning = text[:2000]
    words = words_of(beginning) or " ".join(beginning.split())
    if len(words) <= 60:
        return words
    return words[:60].rsplit(" ", 1)[0].rstrip(",;:.") + "…"


async def _find_namer(row: Namer, title_model: str) -> Namer | None:
    """The model that is to name a thread; None if none is, or the one that should is gone, hidden or not answering."""
    if not title_model:
        return row
    return None if title_model == TITLE_OFF else await fetch_row(_NAMER, title_model)


def _request(request: ChatRequest, model: str, content: str) -> ChatRequest:
    # An answer that was continued ends the prompt with what there was of it: here stands the whole.
    before = request.messages[:-1] if request.continues else request.messages
    answered = (*before, ChatMessage("assistant", (TextPart(content),)))
    parameters = msgspec.structs.replace(request.parameters, max_tokens=MOST_TOKENS, stop=())
    return ChatRequest(model, (*answered, ChatMessage("user", (TextPart(ASK),))), parameters)


def _short_request(request: ChatRequest, model: str, content: str) -> ChatRequest:
    """For a model that has not seen the thread: its question and answer in words, however small its window is."""
    question = ChatMessage("user", (TextPart(_question(request)[:MOST_SHOWN_CHARS]),))
    answer = ChatMessage("assistant", (TextPart(content[:MOST_SHOWN_CHARS]),))
    messages = (question, answer, ChatMessage("user", (TextPart(ASK),)))
    return ChatRequest(model, messages, Parameters(max_tokens=MOST_TOKENS))


def _question(request: ChatRequest) -> str:
    """What the thread's first complete answer answers."""
    return next((text_of(message.parts) for message in reversed(request.messages) if message.role == "user"), "")


async def _ask(provider: Provider, request: ChatRequest, asked: Asked) -> None:
    async with contextlib.aclosing(provider.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                asked.said += event.text
            elif isinstance(event, Usage):
                asked.usage = event
            if "\n" in asked.said.strip() or len(asked.said) > MOST_READ_CHARS:
                break


_TELL = """pg_notify('parley_news', json_build_object('key', %s, 'event', 'title', 'version', %s,
    'thread', $1::uuid::text, 'title', $2::text)::text)"""

_STORE = f"""
WITH named AS (
    UPDATE thread SET title = $2, is_named = true, version = version + 1
    WHERE id = $1 AND NOT (is_named AND $3) RETURNING "user" AS person, version
)
SELECT {_TELL % ("'thread:' || $1::uuid::text", "version")}, {_TELL % ("'user:' || person::text", "0")}
FROM named
"""

# The model that the setting names, for everybody's threads. One that does not answer at the moment is not called.
_NAMER = f"""
SELECT m.id AS model, m.name AS model_name, m.engine::text AS engine, p.id AS provider_id, p.kind, p.name AS provider_name,
    p.base_url, p.base_url_sealed, p.key_sealed, p.allows_private
FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE $1 IN (m.name, p.name || '/' || m.name) AND {is_offered()} AND p.is_enabled AND m.is_embedding IS NOT TRUE
    AND NOT ({IS_DOWN} OR {IS_SILENT})
ORDER BY p.created_at LIMIT 1
"""
