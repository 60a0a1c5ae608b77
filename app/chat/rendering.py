"""The HTML of final answers: a cache beside their parts, filled when a page needs it.

Whatever an answer holds, its page is shown: rendering has a deadline, and is given up after two failures.
"""

import asyncio
import contextvars
import uuid
from collections.abc import Sequence

import structlog

from app.database import NO_ANSWER, fetch
from app.html.markdown import RENDERER_VERSION
from app.html.offload import RenderersBusy, render_in_steps
from app.html.renderers import RENDERERS
from app.tables.message import Message

log = structlog.get_logger()

#: An answer that failed so often is not rendered again until its text or the renderer changes.
MOST_FAILURES = 2
#: A page waits for all its answers together this much longer than a renderer may take for one.
PAGE_MARGIN_SECONDS = 2.0
#: HTML is stored this much later.
STORE_SECONDS = 0.1


def is_rendered(message: Message) -> bool:
    """Whether its HTML is that of this renderer, or of a newer one: another process may run a newer Parley."""
    return bool(message.html_version >= RENDERER_VERSION and not message.failed_renders)


def is_given_up(message: Message) -> bool:
    """Whether this renderer failed too often for this answer."""
    return bool(message.html_version >= RENDERER_VERSION and message.failed_renders >= MOST_FAILURES)


async def render_answers(messages: Sequence[Message], person: uuid.UUID, *, seconds: float | None = None) -> None:
    """Give final answers their HTML, all at once and within one deadline, and store it.

    What there was no time or no free renderer for, an answer lacks on this page: its colours, its formulas, or all of its
    HTML. It goes on being rendered for the next one.
    """
    found = [
        (message, _find_or_start(message, person))
        for message in messages
        if message.is_final and message.role == "assistant" and not (is_rendered(message) or is_given_up(message))
    ]
    if found:
        most = RENDERERS.deadline_seconds + PAGE_MARGIN_SECONDS if seconds is None else seconds
        await asyncio.wait([rendering.task for _, rendering in found], timeout=most)
    for message, rendering in found:
        rendering.put_into(message)


class _Rendering:
    """One answer that is being rendered, for all pages of this process that wait for it; it outlives their requests."""

    def __init__(self, message: Message, person: uuid.UUID) -> None:
        self.message = message
        self.html: str | None = None
        self._draft: str | None = None  # HTML that lacks colours or formulas
        self._failures: int | None = None
        # In a context of its own: no reader's language, no request's log, no transaction.
        self.task = asyncio.create_task(self._run(str(person)), context=contextvars.Context())

    @property
    def key(self) -> tuple[uuid.UUID, str]:
        """An answer in one version of its text."""
        return self.message.id, self.message.parts

    def put_into(self, message: Message) -> None:
        """What came of it so far."""
        if self.html is not None:
            message.html, message.html_version, message.failed_renders = self.html, RENDERER_VERSION, 0
        elif self._failures is not None:
            message.html, message.html_version, message.failed_renders = "", RENDERER_VERSION, self._failures
        elif self._draft is not None:
            message.html, message.html_version, message.failed_renders = self._draft, RENDERER_VERSION, 0

    async def _run(self, person: str) -> None:
        message = self.message
        work = asyncio.create_task(self._render(person))
        await asyncio.wait([work])  # does not raise: the outcome is judged below, whatever a renderer raises
        error = work.exception()
        if error is None:
            self.html = self._draft
            return _HTML.add(self)
        if not isinstance(error, RenderersBusy):  # that says nothing about the text
            log.warning("render_failed", message_id=str(message.id), error=type(error).__name__)
            self._failures = 1 + (message.failed_renders if message.html_version >= RENDERER_VERSION else 0)
            seen = message.html_version, message.failed_renders
            await _store(_FAILED, message.id, message.parts, RENDERER_VERSION, self._failures, *seen)
        del _under_way[self.key]

    async def _render(self, person: str) -> None:
        async for html in render_in_steps(self.message.part_list, dom=self.message.short, person=person):
            self._draft = html


#: What is being rendered, or was and is not stored yet.
_under_way: dict[tuple[uuid.UUID, str], _Rendering] = {}


def _find_or_start(message: Message, person: uuid.UUID) -> _Rendering:
    if (message.id, message.parts) not in _under_way:
        _under_way[message.id, message.parts] = _Rendering(message, person)
    return _under_way[message.id, message.parts]


class _Storing:
    """Stores HTML a moment after it was made, and what was made within that moment together. No page waits for it."""

    def __init__(self) -> None:
        self._made: list[_Rendering] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, rendering: _Rendering) -> None:
        self._made.append(rendering)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="store html")

    async def _run(self) -> None:
        while self._made:
            await asyncio.sleep(STORE_SECONDS)
            made, self._made = self._made, []
            await _store(
                _RENDERED, [str(each.message.id) for each in made], [each.message.parts for each in made],
                [each.html for each in made], RENDERER_VERSION,
            )  # fmt: skip
            for each in made:
                del _under_way[each.key]


_HTML = _Storing()


async def _store(statement: str, *arguments: object) -> None:
    """Without the database the page still shows what was rendered; it is rendered again for the next one."""
    try:
        await fetch(statement, *arguments)
    except NO_ANSWER as error:
        log.info("render_not_stored", error=type(error).__name__)


# The parts are compared, not a time or a state: HTML stands beside the parts that it was made from, or is not stored. A
# *Continue* that began meanwhile changes no parts; its end does, and empties the cache. A row that is locked is being
# changed or deleted: it is left out, so that this waits for nobody. Ids go as text, because asyncpg asks Postgres on each
# connection what an array of UUIDs is.
_RENDERED = """
UPDATE message SET html = made.html, html_version = $4, failed_renders = 0
FROM unnest($1::text[]::uuid[], $2::text[], $3::text[]) AS made (id, parts, html),
    (SELECT id FROM message WHERE id = ANY($1::text[]::uuid[]) FOR NO KEY UPDATE SKIP LOCKED) AS free
WHERE message.id = free.id AND made.id = free.id AND message.parts = made.parts::jsonb AND html_version <= $4
"""

# Two processes that fail at the same time count once.
_FAILED = """
UPDATE message SET html = '', html_version = $3, failed_renders = $4
WHERE id = $1 AND parts = $2::jsonb AND html_version = $5 AND failed_renders = $6
"""
