"""Naming a thread after its first complete answer: a short question to the same model, behind the very prompt it has seen."""

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import msgspec
import structlog

from app.chat import counters
from app.chat.calls import Connect
from app.chat.ending import Ending
from app.chat.figures import estimated, filled
from app.chat.requests import keep_naming, note_naming
from app.database import GONE, fetch
from app.html.words import words_of
from app.parts import TextDelta, TextPart, Usage
from app.providers.base import ChatMessage, ChatRequest, Provider
from app.providers.client import on_repeat
from app.providers.errors import ProviderError

log = structlog.get_logger()

ASK = "Give this conversation a title of two to six words, in its language. Answer with the title alone."
MOST_SECONDS = 30.0
MOST_TOKENS = 400
MOST_CHARS = 80


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

    def attempt(self, ending: Ending, request: ChatRequest) -> dict[str, Any]:
        """What is noted of it, as `Ending.note_attempt` does of others."""
        # Without a word nobody knows what was taken, and what the server counted stands for itself.
        if self.said and not self.error:
            self.usage = filled(self.usage, estimated(request, [TextPart(self.said)]))
        return {
            "provider": ending.row["provider_name"],
            "model": ending.row["model_name"],
            "kind": ending.row.get("kind") or "",
            "provider_id": str(ending.row.get("provider_id") or ""),
            "error": self.error,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            "usage": msgspec.to_builtins(self.usage) if self.usage else None,
            **({"was_repeated": True} if self.was_repeated else {}),
        }


def naming(connect: Connect) -> Callable[[Ending], Coroutine[Any, Any, None]]:
    """What follows the end of an answer: a thread without a name gets one with its first complete answer."""

    async def after_end(ending: Ending) -> None:
        if ending.row["wants_title"] and ending.status == "complete" and ending.content:
            with contextlib.suppress(*GONE, asyncpg.PostgresError):
                await name_thread(connect(ending.row), ending, ending.content)

    return after_end


async def name_thread(provider: Provider, ending: Ending, content: str) -> None:
    """Ask the model for a title and store it; if that fails the first words of the question stay.

    The call is kept as every other one is: what was sent, how it ended, what it took.
    """
    if ending.request is None:
        return
    request = _request(ending.request, content)
    await keep_naming(ending.row["id"], provider.body(request))
    asked = Asked()
    on_repeat.set(asked.note_repeat)
    try:
        async with asyncio.timeout(MOST_SECONDS):
            await _ask(provider, request, asked)
    except (ProviderError, TimeoutError) as error:
        asked.error = error.code if isinstance(error, ProviderError) else "deadline"
        log.info("title_failed", thread_id=str(ending.row["thread"]), error=type(error).__name__)
    attempt = asked.attempt(ending, request)
    counters.note_naming(usage=asked.usage or Usage(), attempt=attempt)
    await note_naming(ending.row["id"], uuid.UUID(ending.row["model"]), attempt)
    if not asked.error and (title := clean_title(asked.said)):
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


def clean_title(said: str) -> str:
    """What a model said, as a title: its first line of words, without quotes, Markdown and labels."""
    said = re.sub(r"<think>.*?(</think>|$)", "", said, flags=re.DOTALL)
    lines = [line.strip(" \t#*_`\"'“”«».:") for line in said.splitlines()]
    line = next((line for line in lines if line), "")
    line = re.sub(r"^title\s*[:\-–]\s*", "", line, flags=re.IGNORECASE).strip(" \"'“”*_")
    line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= MOST_CHARS else line[:MOST_CHARS].rsplit(" ", 1)[0] + "…"


def _request(request: ChatRequest, content: str) -> ChatRequest:
    # An answer that was continued ends the prompt with what there was of it: here stands the whole.
    before = request.messages[:-1] if request.continues else request.messages
    answered = (*before, ChatMessage("assistant", (TextPart(content),)))
    parameters = msgspec.structs.replace(request.parameters, max_tokens=MOST_TOKENS, stop=())
    return ChatRequest(request.model, (*answered, ChatMessage("user", (TextPart(ASK),))), parameters)


async def _ask(provider: Provider, request: ChatRequest, asked: Asked) -> None:
    async with contextlib.aclosing(provider.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                asked.said += event.text
            elif isinstance(event, Usage):
                asked.usage = event
            if "\n" in asked.said.strip() or len(asked.said) > 4 * MOST_CHARS:
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
