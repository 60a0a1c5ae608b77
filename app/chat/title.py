"""Naming a thread after its first turn: a short question to the same model, behind the very prompt it has just seen."""

import asyncio
import re
import uuid
from contextlib import aclosing

import msgspec
import structlog

from app.chat.ending import Ending
from app.database import fetch
from app.live import News
from app.parts import TextDelta, TextPart
from app.providers.base import ChatMessage, ChatRequest, Provider
from app.providers.errors import ProviderError

log = structlog.get_logger()

ASK = "Give this conversation a title of two to six words, in its language. Answer with the title alone."
MOST_SECONDS = 30.0
MOST_TOKENS = 400
MOST_CHARS = 80


async def name_thread(provider: Provider, ending: Ending, content: str) -> None:
    """Ask the model for a title and store it; if that fails the first words of the question stay."""
    if ending.request is None:
        return
    try:
        async with asyncio.timeout(MOST_SECONDS):
            title = clean_title(await _ask(provider, _request(ending.request, content)))
    except (ProviderError, TimeoutError) as error:
        log.info("title_failed", thread_id=str(ending.row["thread"]), error=type(error).__name__)
        return
    if title:
        await store_title(ending.row["thread"], title, only_unnamed=True)


async def store_title(thread_id: uuid.UUID, title: str, *, only_unnamed: bool = False) -> None:
    """Set the title and tell the open pages of the thread and of its person."""
    rows = await fetch(
        "UPDATE thread SET title = $2, is_named = true, version = version + 1"
        ' WHERE id = $1 AND NOT (is_named AND $3) RETURNING "user", version',
        thread_id, title, only_unnamed,
    )  # fmt: skip
    for row in rows:
        for key, version in ((f"thread:{thread_id}", row["version"]), (f"user:{row['user']}", 0)):
            news = News(key=key, event="title", version=version, thread=str(thread_id), title=title)
            await fetch("SELECT pg_notify('parley_news', $1)", msgspec.json.encode(news).decode())


def clean_title(said: str) -> str:
    """What a model said, as a title: its first line of words, without quotes, Markdown and labels."""
    said = re.sub(r"<think>.*?(</think>|$)", "", said, flags=re.DOTALL)
    lines = [line.strip(" \t#*_`\"'“”«».:") for line in said.splitlines()]
    line = next((line for line in lines if line), "")
    line = re.sub(r"^title\s*[:\-–]\s*", "", line, flags=re.IGNORECASE).strip(" \"'“”*_")
    line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= MOST_CHARS else line[:MOST_CHARS].rsplit(" ", 1)[0] + "…"


def _request(request: ChatRequest, content: str) -> ChatRequest:
    answered = (*request.messages, ChatMessage("assistant", (TextPart(content),)))
    parameters = msgspec.structs.replace(request.parameters, max_tokens=MOST_TOKENS, stop=())
    return ChatRequest(request.model, (*answered, ChatMessage("user", (TextPart(ASK),))), parameters)


async def _ask(provider: Provider, request: ChatRequest) -> str:
    said = ""
    async with aclosing(provider.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                said += event.text
            if "\n" in said.strip() or len(said) > 4 * MOST_CHARS:
                break
    return said
