"""Starting a turn: the question, the empty answer, its generation and its job, all in one transaction or none."""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from app.chat.access import is_offered, may_use
from app.chat.admission import admit, admit_turn
from app.chat.new_message import NewMessage
from app.chat.sidebar import told
from app.chat.title import first_words
from app.database import as_row, fetch, fetch_row, new_id, transaction
from app.errors import Conflict, Invalid, NotFound
from app.jobs import enqueue, enqueued
from app.live import News
from app.parts import TextPart, encode_parts
from app.principals import may_write
from app.tables.message import Message
from app.words import gettext as _
from app.words import language

#: The index that lets a thread have one answer at a time that is not ended.
ONE_ANSWER = "generation_one_per_thread"
#: The foreign keys of what a turn writes a model into.
MODEL_KEYS = ("thread_model_fkey", "message_model_fkey")
#: How often a turn looks again because others came in between. Each of them got something done.
MOST_LOOKS = 50


class Turn(msgspec.Struct, frozen=True):
    """The ids of a question and its answer; `is_new` is false when the same request was seen before.

    `messages` are both as they were just stored, for who shows them; empty if that has to be read.
    """

    thread: uuid.UUID
    question: uuid.UUID
    answer: uuid.UUID
    is_new: bool
    messages: list[Message] = []


async def start_thread(user_id: uuid.UUID, new: NewMessage, *, options: str, system_prompt: str) -> Turn:
    """A new thread with its first turn. The request's id becomes the thread's, so that a double submit makes one thread.

    Raises `Invalid` when the model is not offered, `NotFound` when the id is another person's.
    """
    await admit_turn(user_id, new.request_id, new.request_id)
    async with transaction():
        with _only_known_models():
            await fetch(
                "WITH sent AS (UPDATE users SET draft = '' WHERE id = $2 AND draft <> '')"
                ' INSERT INTO thread (id, "user", title, model, options, system_prompt, created_at, updated_at)'
                " VALUES ($1, $2, $3, (SELECT id FROM model WHERE id = $4), $5, $6, now(), now()) ON CONFLICT (id) DO NOTHING",
                new.request_id, user_id, first_words(new.text), new.model, options, system_prompt,
            )  # fmt: skip
        return await _begin_turn(user_id, new.request_id, new, None)


async def start_turn(
    user_id: uuid.UUID, thread_id: uuid.UUID, new: NewMessage, *, instead_of: uuid.UUID | None = None
) -> Turn:
    """A question at the end of the active branch, and an empty answer in the queue. The same request gives the same turn.

    `instead_of`: a question of the thread; the new one stands beside it, as another version, and begins another branch.
    One statement, so one transaction. Raises `NotFound` (not this person's thread), `Conflict` (an answer is being
    written), `Invalid` (no such model).
    """
    await admit_turn(user_id, thread_id, new.request_id)
    return await _begin_turn(user_id, thread_id, new, instead_of)


async def _begin_turn(user_id: uuid.UUID, thread_id: uuid.UUID, new: NewMessage, instead_of: uuid.UUID | None) -> Turn:
    question, answer = new_id(), new_id()
    arguments = (
        thread_id, user_id, new.request_id, new.model, question, answer, new_id(),
        encode_parts([TextPart(new.text)]), new.text, instead_of, language(),
    )  # fmt: skip
    found = await _turn(arguments)
    if found is None or not found["is_known"]:
        raise NotFound(_("There is no such thread."))
    if found["question"]:
        first = await fetch_row("SELECT id FROM message WHERE parent = $1 ORDER BY id LIMIT 1", found["question"])
        return Turn(thread_id, found["question"], first["id"] if first else found["question"], is_new=False)
    if found["label"] is None:
        raise Invalid(_no_model(), field="model")
    drawn = _as_written(new, question, answer, found)
    return Turn(thread_id, question, answer, is_new=True, messages=drawn)


async def _turn(arguments: Sequence[Any]) -> asyncpg.Record | None:
    """What stands in the thread now; the turn is begun if it could be."""
    for _attempt in range(MOST_LOOKS):
        try:
            with _only_known_models():
                found = await fetch_row(_TURN, *arguments)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name == ONE_ANSWER:
                raise Conflict(_still_written()) from error
            continue  # the same request came in between on another way
        if found is None or found["is_current"]:
            return found
        # It waited for somebody else's turn, and saw the messages as they were before: it looks again.
    raise Conflict(_still_written())


def _as_written(new: NewMessage, question: uuid.UUID, answer: uuid.UUID, found: asyncpg.Record) -> list[Message]:
    """Both messages as their rows stand now, without asking for them."""
    now = datetime.now(UTC)
    shared = {"created_at": now, "finished_at": None, "content": "", "html": "", "html_version": 0, "failed_renders": 0,
              "error_code": "", "error_sentence": "", "finish_reason": "", "parts": "[]", "tried": "[]", "writers": "[]",
              "retry_at": None, "sender": None, "metadata": "{}"}  # fmt: skip
    return [
        as_row(Message, shared | {
            "id": question, "parent": found["leaf"], "depth": found["depth"], "role": "user", "status": "complete",
            "content": new.text, "model": None, "model_label": "", "is_demo": False,
        }),
        as_row(Message, shared | {
            "id": answer, "parent": question, "depth": found["depth"] + 1, "role": "assistant", "status": "queued",
            "model": new.model, "model_label": found["label"], "is_demo": found["is_demo"],
        }),
    ]  # fmt: skip


async def start_sibling(user_id: uuid.UUID, answer: Message, model: uuid.UUID | None) -> Turn:
    """Another answer to the same question ("Try again"), beside the old one, as the new end of the active branch."""
    await admit(user_id)
    async with transaction():
        thread = await _lock(user_id, _id(answer.thread), model or answer.model)
        answer_id, generation = new_id(), new_id()
        await _insert(
            _SIBLING,
            _id(answer.thread), answer.parent, answer.depth, answer_id, generation,
            model or answer.model, thread["label"], thread["is_demo"],
            _news(_id(answer.thread), thread["version"], "branch"), user_id, language(),
        )  # fmt: skip
        await enqueue("generation", str(generation))
    return Turn(_id(answer.thread), answer.parent or answer_id, answer_id, is_new=True)


async def continue_answer(user_id: uuid.UUID, answer: Message, *, instead: uuid.UUID | None = None) -> None:
    """Let the model go on where an answer broke off: a new generation of the same message.

    `instead`: goes on if the answer's own model is not offered any more.
    """
    await admit(user_id)
    async with transaction():
        thread = await _lock(user_id, _id(answer.thread), answer.model, instead)
        if not answer.can_continue:
            raise Conflict(_("This answer cannot be continued."))
        await _insert(
            _CONTINUATION,
            _id(answer.thread), answer.id, new_id(),
            _news(_id(answer.thread), thread["version"], "message", message=answer.id), user_id, language(),
            thread["model"], thread["label"], thread["is_demo"],
        )  # fmt: skip
        generation = await fetch_row("SELECT id FROM generation WHERE message = $1 AND state = 'queued'", answer.id)
        if generation is None:
            raise Conflict(_("This answer has changed meanwhile."))
        await enqueue("generation", str(generation["id"]))


async def _lock(user_id: uuid.UUID, thread_id: uuid.UUID, *models: uuid.UUID | None) -> asyncpg.Record:
    """The thread, with the first of these models that is offered. Raises `NotFound`, and `Invalid` if there is none."""
    if await fetch_row(_LOCK, thread_id, user_id) is None or not (thread := await fetch_row(_LOOK, thread_id, models)):
        raise NotFound(_("There is no such thread."))
    if thread["label"] is None:
        raise Invalid(_no_model(), field="model")
    return thread


async def _insert(statement: str, *arguments: Any) -> None:
    try:
        with _only_known_models():
            await fetch(statement, *arguments)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(_still_written()) from error


@contextlib.contextmanager
def _only_known_models() -> Iterator[None]:
    """A model that was deleted while the thread was waited for is refused as one that was gone before."""
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        if error.constraint_name in MODEL_KEYS:
            raise Invalid(_no_model(), field="model") from error
        raise


def _no_model() -> str:
    return _("Choose a model: that one is not available any more.")


def _still_written() -> str:
    return _("An answer is still being written in this thread. Wait for it, or stop it.")


def _news(
    thread_id: uuid.UUID, version: int, event: str, *messages: uuid.UUID,
    message: uuid.UUID | None = None, generation: uuid.UUID | None = None,
) -> str:  # fmt: skip
    news = News(
        key=f"thread:{thread_id}", event=event, version=version + 1, messages=tuple(map(str, messages)),
        message=str(message or ""), generation=str(generation or ""),
    )  # fmt: skip
    return msgspec.json.encode(news).decode()


def _id(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


# Two statements: after waiting for the lock, what other tables hold must be read with a new snapshot.
_LOCK = f"SELECT 1 FROM thread AS t WHERE t.id = $1 AND {may_write('$2')} FOR NO KEY UPDATE"

_LOOK = f"""
SELECT t.version, coalesce(l.depth + 1, 0) AS depth, m.id AS model, m.name AS label, p.kind = 'scripted' AS is_demo
FROM thread AS t
LEFT JOIN message AS l ON l.id = t.leaf
LEFT JOIN model AS m ON m.id = ANY($2::uuid[]) AND {is_offered()} AND {may_use('t."user"')}
LEFT JOIN provider AS p ON p.id = m.provider
WHERE t.id = $1 ORDER BY array_position($2::uuid[], m.id) LIMIT 1
"""

# What the new messages hang on, whether this very request was served before, what the model is called; and then the turn
# itself. The row of the thread is locked and, after waiting for it, read anew; the messages are not. A leaf that cannot
# be seen says so (`is_current`), and nothing is done.
_TURN = f"""
WITH mine AS MATERIALIZED (
    SELECT t.id, t.version, t.leaf FROM thread AS t WHERE t.id = $1 AND {may_write("$2")} FOR NO KEY UPDATE
), look AS MATERIALIZED (
    SELECT t.version, l.id AS leaf, coalesce(l.depth + 1, 0) AS depth, q.id AS question, m.id AS model, m.name AS label,
           p.kind = 'scripted' AS is_demo, $10::uuid IS NULL OR o.id IS NOT NULL AS is_known,
           q.id IS NOT NULL OR l.id IS NOT NULL OR CASE WHEN $10 IS NULL THEN t.leaf ELSE o.parent END IS NULL AS is_current
    FROM mine AS t
    LEFT JOIN message AS o ON o.id = $10 AND o.thread = t.id AND o.role = 'user'
    LEFT JOIN message AS l ON l.id = CASE WHEN $10 IS NULL THEN t.leaf ELSE o.parent END
    LEFT JOIN message AS q ON q.thread = t.id AND q.request_id = $3
    LEFT JOIN model AS m ON m.id = $4 AND {is_offered()} AND {may_use("$2::uuid")}
    LEFT JOIN provider AS p ON p.id = m.provider
), begun AS MATERIALIZED (
    SELECT * FROM look WHERE is_known AND is_current AND question IS NULL AND label IS NOT NULL
), question AS (
    INSERT INTO message (id, thread, parent, depth, role, status, parts, content, request_id, created_at, finished_at)
    SELECT $5, $1, leaf, depth, 'user', 'complete', $8, $9, $3, now(), now() FROM begun
), answer AS (
    INSERT INTO message (id, thread, parent, depth, role, status, model, model_label, is_demo, created_at)
    SELECT $6, $1, $5, depth + 1, 'assistant', 'queued', model, label, is_demo, now() FROM begun
), generation AS (
    INSERT INTO generation (id, message, thread, language, queued_at) SELECT $7, $6, $1, $11, now() FROM begun
), thread AS (
    UPDATE thread SET leaf = $6, model = begun.model, draft = CASE WHEN $10 IS NULL THEN '' ELSE thread.draft END,
        version = thread.version + 1, updated_at = now()
    FROM begun WHERE thread.id = $1
), job AS (
    {enqueued("generation", "$7::uuid::text", "begun")}
)
SELECT look.*, (SELECT pg_notify('parley_news', json_build_object(
    'key', 'thread:' || $1::text, 'event', CASE WHEN $10 IS NULL THEN 'turn' ELSE 'branch' END, 'version', version + 1,
    'messages', json_build_array($5::text, $6::text), 'generation', $7::text)::text)::text
    || {told("busy", "$1", "$2")} FROM begun)
FROM look
"""

_SIBLING = f"""
WITH answer AS (
    INSERT INTO message (id, thread, parent, depth, role, status, model, model_label, is_demo, created_at)
    VALUES ($4, $1, $2, $3, 'assistant', 'queued', $6, $7, $8, now())
), generation AS (
    INSERT INTO generation (id, message, thread, language, queued_at) VALUES ($5, $4, $1, $11, now())
), thread AS (
    UPDATE thread SET leaf = $4, version = version + 1, updated_at = now() WHERE id = $1
)
SELECT pg_notify('parley_news', $9), {told("busy", "$1", "$10")}
"""

_CONTINUATION = f"""
WITH answer AS (
    UPDATE message SET status = 'queued', finished_at = NULL, model = $7, model_label = $8, is_demo = $9,
        writers = CASE jsonb_array_length(writers)
        WHEN 0 THEN jsonb_build_array(jsonb_build_object('model', model, 'label', model_label)) ELSE writers END
    WHERE id = $2 AND status NOT IN ('queued', 'running') RETURNING id
), generation AS (
    INSERT INTO generation (id, message, thread, is_continuation, language, queued_at)
    SELECT $3, id, $1, true, $6, now() FROM answer
), thread AS (
    UPDATE thread SET version = version + 1, updated_at = now() WHERE id = $1
)
SELECT pg_notify('parley_news', $4), {told("busy", "$1", "$5")}
"""
