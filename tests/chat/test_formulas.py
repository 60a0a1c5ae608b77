"""Formulas of a running answer: a page that watches, a fresh one and the one without scripts show the same, poison or not."""

import asyncio
import contextlib
import re
import uuid

import pytest

from app.chat.cursor import Cursor
from app.chat.drawing import draw
from app.chat.page_stream import page_stream
from app.chat.threads import my_message
from app.chat.tree import find_message
from app.chat.turn import Turn
from app.chat.watch import Watch
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.html.stream import AnswerView
from app.live import Reader
from app.tables.message import short
from tests.chat.conftest import Chat
from tests.html.page import Page, parse, read_frame
from tests.renderers import SECONDS
from tests.scripted import LAST_CHUNK, OPENAI, Send, Wait, chunk
from tests.server_events import read_events
from tests.watching import until

pytestmark = pytest.mark.usefixtures("broken_renderers")

#: The answer, and the pieces in which it comes: a page looks after each.
PIECES = [
    "Let $x$ be, and $y_{[[piece cra",
    "sh]]}$ t",
    "oo.\n\n- \\(a < b\\) and $c$",
    " words\n- $d$ ",
    "more\n\n$$\\frac{a}{b}$$\n\n|",
    " $e$ | f |\n|---|---|\n| $g$ | h",
    " $i$ $j_{[[piece abort]]}$ and $k$ |",
]


class Watcher:
    """A page that has watched the answer from its first word."""

    def __init__(self, name: str) -> None:
        self.page = Page(AnswerView(name).html())
        self.seq = 0

    async def read(self, watch: Watch) -> None:
        async with contextlib.aclosing(watch.lines()) as lines:
            async for several in lines:
                for event in read_events(several):
                    if event.data and event.id and not event.name:
                        self.seq = int(event.id.rpartition(".")[2])
                        self.page.apply(read_frame(event.data), self.seq)


async def running(chat: Chat, gates: list[asyncio.Event]) -> Turn:
    pieces = [(Wait(gate), Send(chunk(OPENAI.text(piece)))) for piece, gate in zip(PIECES, gates, strict=False)]
    end = Send(chunk(OPENAI.finish("stop")) + LAST_CHUNK)
    chat.server.script(OPENAI.head(), *(step for steps in pieces for step in steps), Wait(gates[-1]), end)
    return await chat.ask()


async def until_stored(text: str) -> int:
    said = "SELECT max(seq) AS seq FROM delta HAVING string_agg(body, '' ORDER BY seq) = $1"
    (row,) = await until(f"the stored words {text!r}", lambda: fetch(said, text))
    return int(row["seq"])


async def test_a_page_that_watches_equals_a_fresh_one_and_the_one_without_scripts(
    chat: Chat, worker: Worker, reader: Reader
) -> None:
    gates = [asyncio.Event() for _ in [*PIECES, "end"]]
    turn = await running(chat, gates)
    watcher = Watcher(short(turn.answer))
    (row,) = await fetch("SELECT version FROM thread WHERE id = $1", turn.thread)
    session = await signed_in(chat)
    watch = Watch(reader, turn.thread, chat.user, session, Cursor(row["version"], short(turn.answer), 0))
    watching = asyncio.create_task(watcher.read(watch))
    message, _ = await my_message(chat.user, turn.answer)
    for number, gate in enumerate(gates[:-1], 1):
        gate.set()
        seq = await until_stored("".join(PIECES[:number]))
        await until(f"the page at {seq}", lambda: watcher.seq >= seq, 120)  # noqa: B023
        (fresh,) = await draw([await find_message(turn.answer)], chat.user)
        assert watcher.page.html() == parse(str(fresh.body)).inner()
        async with contextlib.aclosing(page_stream(reader, message, turn.thread, chat.user, session)) as growing:
            assert await anext(growing) == f'<div class="state">{fresh.body}</div>\n'
    shown = watcher.page.html()
    assert shown.count("<math") == 8
    assert shown.count('<code class="math-error" dir="ltr">') == 3  # behind the second that fails none is tried
    gates[-1].set()
    await chat.final(turn.answer)
    (final,) = await draw([await find_message(turn.answer)], chat.user, seconds=SECONDS)
    assert formulas(final.body) == formulas(shown)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def formulas(html: str) -> list[str]:
    return re.findall(r'<math.*?</math>|<code class="math-error".*?</code>', parse(html).inner())


async def signed_in(chat: Chat) -> uuid.UUID:
    found = new_id()
    await fetch(
        'INSERT INTO session (id, "user", token_hash, user_agent, created_at, seen_at, expires_at)'
        " VALUES ($1, $2, '', '', now(), now(), now() + interval '1 day')",
        found, chat.user,
    )  # fmt: skip
    return found
