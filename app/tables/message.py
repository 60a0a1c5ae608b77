"""One entry of a thread: a question, an answer, or what a tool said. Messages of a thread form a tree."""

import uuid
from datetime import UTC, datetime

import msgspec
from markupsafe import Markup
from piccolo.columns import (
    JSONB,
    UUID,
    Boolean,
    DoublePrecision,
    ForeignKey,
    Integer,
    Numeric,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.columns.base import OnDelete
from piccolo.constraints import Check
from piccolo.table import Table

from app.database import engine
from app.parts import Part, decode_parts
from app.tables.model import ModelRow
from app.tables.thread import Thread
from app.tables.user import User

RUNNING = ("queued", "running")


class Tried(msgspec.Struct, frozen=True):
    """A model that did not write the answer, and why."""

    model: str
    sentence: str


class Writer(msgspec.Struct, frozen=True):
    """A model that wrote a part of an answer: its id, as long as it is there, and its name."""

    model: uuid.UUID | None
    label: str


_tried = msgspec.json.Decoder(list[Tried])
_writers = msgspec.json.Decoder(list[Writer])


class Message(Table, tablename="message", db=engine):
    """`parts` is the truth; `content` the text of its text parts; `html` a cache of their rendering.

    `sender` is the person who wrote a question; null: the thread's own, or one who was deleted. `metadata` is for programs:
    no page shows it. Nothing writes either of them yet.

    `html_version` is the renderer that made `html`, or that failed `failed_renders` times: see `chat/rendering.py`.
    `status` is queued, running, complete, stopped, failed or interrupted. Times are in milliseconds.
    `request_id` is set on questions alone: with the thread it makes a turn unique for ever. `tried` names the models that
    were called before the one that wrote the answer, each with what failed. While `retry_at` is to come, `error_sentence`
    says why the model is called again only then. `writers`, of an answer that was continued: who wrote it, in order.
    """

    id = UUID(primary_key=True, default=None)
    thread = ForeignKey(references=Thread, null=False)
    sender = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    parent = UUID(default=None, null=True)
    depth = Integer(default=0)
    role = Varchar(length=20)
    type = Varchar(length=20, default="text")
    metadata = JSONB(default="{}")
    status = Varchar(length=20, default="complete")
    parts = JSONB(default="[]")
    content = Text()
    request_id = UUID(default=None, null=True)
    model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    model_label = Varchar(length=300)
    is_demo = Boolean(default=False)
    input_tokens = Integer(default=None, null=True)
    output_tokens = Integer(default=None, null=True)
    cached_tokens = Integer(default=None, null=True)
    usage_is_exact = Boolean(default=True)
    cost = Numeric(default=None, null=True)
    cost_is_partial = Boolean(default=False)
    first_token_ms = Integer(default=None, null=True)
    duration_ms = Integer(default=None, null=True)
    tokens_per_second = DoublePrecision(default=None, null=True)
    finish_reason = Varchar(length=30)
    error_code = Varchar(length=50)
    error_sentence = Text()
    tried = JSONB(default="[]")
    writers = JSONB(default="[]")
    retry_at = Timestamptz(default=None, null=True)
    html = Text()
    html_version = Integer(default=0)
    failed_renders = SmallInt(default=0)
    created_at = Timestamptz()
    finished_at = Timestamptz(default=None, null=True)

    message_role_check = Check("role IN ('user', 'assistant', 'system', 'tool')")

    @property
    def short(self) -> str:
        """The id's last 12 hexadecimal digits: what names the message's elements on a page."""
        return short(self.id)

    @property
    def part_list(self) -> tuple[Part, ...]:
        """The parts, decoded."""
        return decode_parts(self.parts)

    @property
    def waits_for_server(self) -> bool:
        """Whether it failed because its model server was away, or all that could have written it were."""
        return self.status == "failed" and self.error_code in ("all_down", "unreachable", "timed_out", "overloaded")

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more by itself."""
        return self.status not in RUNNING

    @property
    def can_continue(self) -> bool:
        """Whether the answer broke off in a way that the model can go on from."""
        broke_off = self.status in ("interrupted", "stopped") or self.finish_reason == "length"
        return self.role == "assistant" and self.is_final and broke_off and bool(self.content)

    @property
    def waits_seconds(self) -> float | None:
        """How long a running answer has been waited for."""
        return None if self.is_final else max(0.0, (datetime.now(UTC) - self.created_at).total_seconds())

    @property
    def retries_seconds(self) -> float | None:
        """In how many seconds the model is called again; None if nothing waits for that."""
        if self.is_final or self.retry_at is None:
            return None
        left = float((self.retry_at - datetime.now(UTC)).total_seconds())
        return left if left > 0 else None

    @property
    def tried_before(self) -> list[Tried]:
        """`tried`, decoded."""
        return _tried.decode(self.tried)

    @property
    def written_by(self) -> list[str]:
        """The names of the models that wrote it, if that were several; else empty."""
        names = [writer.label for writer in _writers.decode(self.writers)]
        return names if len(names) > 1 else []

    # What a page adds to a row while it draws it: `chat/tree.py` and `chat/drawing.py`.
    body = Markup()
    seq = 0
    is_back = False  # whoever could not be asked answers again
    source_note = ""  # why its source is shown instead of its HTML
    may_render_again = False
    sibling_index = 1
    sibling_count = 1
    previous_sibling: uuid.UUID | None = None
    next_sibling: uuid.UUID | None = None


def short(message_id: uuid.UUID) -> str:
    """The last 48 bits of an id as 12 hexadecimal digits: unique within a page, and short in every frame of a stream."""
    return message_id.hex[-12:]
