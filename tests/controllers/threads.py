"""A thread of Alice's with a question and a finished answer, made without a worker; a preset and a slash-prompt of hers."""

import uuid

import msgspec

from app.chat.new_message import NewMessage
from app.chat.options import Options
from app.chat.presets import NewPreset, add_preset
from app.chat.slash_prompts import NewSlashPrompt, add_slash_prompt
from app.chat.turn import start_thread
from app.database import fetch, new_id
from app.tables.user import User


class Conversation(msgspec.Struct, frozen=True):
    """The ids of what was made, and whose it is."""

    user: uuid.UUID

    provider: uuid.UUID
    model: uuid.UUID
    thread: uuid.UUID
    question: uuid.UUID
    answer: uuid.UUID
    preset: uuid.UUID
    slash_prompt: uuid.UUID


async def add_model(name: str = "quiet-model") -> tuple[uuid.UUID, uuid.UUID]:
    """A provider that nobody listens at, and a model of it."""
    provider, model = new_id(), new_id()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at)"
        " VALUES ($1, 'openai', 'Nobody', 'http://127.0.0.1:9/v1', '', '', now())",
        provider,
    )
    await fetch("INSERT INTO model (id, provider, name, seen_at) VALUES ($1, $2, $3, now())", model, provider, name)
    return provider, model


async def converse(user: User, text: str = "How far is the moon?", answer: str = "About *384,400 km*.") -> Conversation:
    """A thread with one finished turn, and what else she has."""
    provider, model = await add_model()
    turn = await start_thread(user.id, NewMessage(text, model, new_id()), options="{}", system_prompt="")
    await fetch("UPDATE generation SET state = 'ended', ended_at = now() WHERE thread = $1", turn.thread)
    await fetch(
        "UPDATE message SET status = 'complete', finish_reason = 'stop', content = $2, parts = $3 WHERE id = $1",
        turn.answer, answer, msgspec.json.encode([{"type": "text", "text": answer}]).decode(),
    )  # fmt: skip
    await fetch("DELETE FROM pgqueuer")
    preset = await add_preset(user.id, NewPreset("Hers", model, "quiet-model", Options("Be brief.")))
    slash_prompt = await add_slash_prompt(user.id, NewSlashPrompt("hers", "", "Hello {{name}}"))
    return Conversation(user.id, provider, model, turn.thread, turn.question, turn.answer, preset, slash_prompt)
