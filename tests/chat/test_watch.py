"""What an open page is told: from where it stood, in order, and nothing once it may not listen any more."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator

import pytest

from app.chat.cursor import Cursor
from app.chat.new_message import NewMessage
from app.chat.page_stream import page_stream
from app.chat.reachability import found_down
from app.chat.stop import stop
from app.chat.threads import delete_thread, my_message, my_thread
from app.chat.title import store_title
from app.chat.turn import Turn, start_turn
from app.chat.watch import Watch
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.live import Reader
from app.providers.errors import NotConnected
from app.tables.message import short
from app.tables.session import Session
from tests.chat.conftest import Chat
from tests.scripted import LAST_CHUNK, OPENAI, Send, Stall, Wait, chunk
from tests.server_events import Event, read_events
from tests.watching import until, within


@pytest.fixture
async def session(chat: Chat) -> uuid.UUID:
    found = new_id()
    await fetch(
        'INSERT INTO session (id, "user", token_hash, user_agent, created_at, seen_at, expires_at)'
        " VALUES ($1, $2, '', '', now(), now(), now() + interval '1 day')",
        found, chat.user,
    )  # fmt: skip
    return found


class Page:
    """The lines of one watch, as they come."""

    def __init__(self, watch: Watch) -> None:
        self.events: list[str] = []
        self.frames: list[str] = []
        self.places: list[tuple[str, str]] = []
        self.marks: list[str] = []
        self.last_id = ""
        self.is_over = False
        self._lines = watch.lines()
        self._task = asyncio.create_task(self._read())
        self._came = asyncio.Event()

    async def _read(self) -> None:
        async for lines in self._lines:
            for event in read_events(lines):
                self._see(event)
            self._came.set()
        self.is_over = True
        self._came.set()

    def _see(self, event: Event) -> None:
        name = "begun" if event.retry else event.name
        # The mark of the sidebar comes with every connection: what else is told is what counts here.
        self.marks += [event.data] if name == "sidebar" and event.data else []
        self.events += [name] if name not in ("", "sidebar") else []
        if event.id is not None:
            self.last_id = event.id
            self.frames += [] if name else [event.id]
            self.places.append((name or "frame", event.id))

    async def until(self, event: str) -> None:
        async with within(f"the event {event}, after {self.events}"):
            while not (event in self.events or (event == "end" and self.is_over) or (event == "frame" and self.frames)):
                self._came.clear()
                await self._came.wait()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def heard(page: Page) -> list[str]:
    """Its events without those of the sidebar: the page's own turn may be told a moment after it was opened."""
    return [event for event in page.events if event not in ("busy", "idle")]


@contextlib.asynccontextmanager
async def open_page(
    chat: Chat, reader: Reader, thread: uuid.UUID, session: uuid.UUID, cursor: Cursor
) -> AsyncIterator[Page]:
    page = Page(Watch(reader, thread, chat.user, session, cursor))
    try:
        yield page
    finally:
        await page.close()


async def begun(chat: Chat, gate: asyncio.Event) -> Turn:
    """An answer that has said two words and waits."""
    chat.server.script(
        OPENAI.head(), Send(chunk(OPENAI.text("One "))), Send(chunk(OPENAI.text("two"))), Wait(gate),
        Send(chunk(OPENAI.text(" three") + OPENAI.finish("stop")) + LAST_CHUNK),
    )  # fmt: skip
    turn = await chat.ask()
    await words_are_stored("One two")
    return turn


async def words_are_stored(text: str) -> None:
    said = "SELECT 1 FROM delta HAVING string_agg(body, '' ORDER BY seq) = $1"
    await until(f"the stored words {text!r}", lambda: fetch(said, text))


async def version_of(turn: Turn) -> int:
    return int((await fetch("SELECT version FROM thread WHERE id = $1", turn.thread))[0]["version"])


async def test_words_that_are_there_before_the_turn_is_heard_of_are_told(
    chat: Chat, reader: Reader, session: uuid.UUID
) -> None:
    """A fast model, a busy process: the page that asked has drawn an empty answer, and fetches nothing."""
    first = await chat.ask()
    await fetch("UPDATE generation SET state = 'ended'")
    await fetch("UPDATE message SET status = 'complete' WHERE id = $1", first.answer)
    await fetch(
        "CREATE FUNCTION speak_at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO delta (generation_id, seq, kind, body) VALUES (NEW.id, 1, 'text', 'Wait. '); RETURN NULL; END $$"
    )
    await fetch("CREATE TRIGGER speak_at_once AFTER INSERT ON generation FOR EACH ROW EXECUTE FUNCTION speak_at_once()")
    try:
        version = await version_of(first)
        async with open_page(chat, reader, first.thread, session, Cursor(version)) as page:
            await page.until("begun")
            turn = await start_turn(chat.user, first.thread, NewMessage("And?", chat.model, new_id()))
            await page.until("frame")
            name = short(turn.answer)
            told = [place for place in page.places if place[0] in ("turn", "frame")]
            assert told == [("turn", f"{version + 1}.{name}.0"), ("frame", f"{version + 1}.{name}.0.1")]
    finally:
        await fetch("DROP FUNCTION speak_at_once() CASCADE")


async def test_a_page_that_comes_back_gets_what_it_lacks_and_no_more(
    chat: Chat, worker: Worker, reader: Reader, session: uuid.UUID
) -> None:
    gate = asyncio.Event()
    turn = await begun(chat, gate)
    name, version = short(turn.answer), await version_of(turn)
    last = (await fetch("SELECT max(seq) AS seq FROM delta"))[0]["seq"]
    async with open_page(chat, reader, turn.thread, session, Cursor(version, name, 0)) as from_start:
        await from_start.until("frame")
        assert from_start.frames[0].startswith(f"{version}.{name}.0.")
    async with open_page(chat, reader, turn.thread, session, Cursor(version, name, last - 1)) as page:
        await page.until("frame")
        assert page.frames == [f"{version}.{name}.{last - 1}.{last}"]
        gate.set()
        await page.until("message")
        assert "branch" not in page.events
    assert not reader.viewers


async def test_what_a_page_claims_to_have_seen_is_never_confirmed(
    chat: Chat, worker: Worker, reader: Reader, session: uuid.UUID
) -> None:
    """Else a claim that was false once would be believed for ever: nothing would be told of what lies before it."""
    turn = await begun(chat, asyncio.Event())
    claim = Cursor(await version_of(turn), short(turn.answer), 99_999)
    async with open_page(chat, reader, turn.thread, session, claim) as page:
        await page.until("begun")
        assert page.marks
        assert page.last_id == ""


async def test_a_page_that_missed_something_draws_its_messages_again(
    chat: Chat, worker: Worker, reader: Reader, session: uuid.UUID
) -> None:
    turn = await chat.ask()
    await chat.final(turn.answer)
    async with open_page(chat, reader, turn.thread, session, Cursor(0)) as page:
        await page.until("branch")
    async with open_page(chat, reader, turn.thread, session, Cursor(await version_of(turn))) as page:
        await page.until("begun")
        await store_title(turn.thread, "A name")
        await page.until("title")
        assert heard(page) == ["begun", "title"]


async def test_a_page_that_was_cut_off_while_it_drew_its_messages_again_misses_no_word(
    chat: Chat, worker: Worker, reader: Reader, session: uuid.UUID
) -> None:
    gate, more = asyncio.Event(), asyncio.Event()
    chat.server.script(
        OPENAI.head(), Send(chunk(OPENAI.text("One "))), Wait(more), Send(chunk(OPENAI.text("two"))), Wait(gate),
    )  # fmt: skip
    turn = await chat.ask()
    await words_are_stored("One ")
    async with open_page(chat, reader, turn.thread, session, Cursor(0)) as page:
        await page.until("branch")
        here = page.last_id
    drawn = (await fetch("SELECT max(seq) AS seq FROM delta"))[0]["seq"]
    more.set()
    await words_are_stored("One two")
    async with open_page(chat, reader, turn.thread, session, Cursor.parse(here)) as page:
        await page.until("frame")
        assert page.frames == [f"{await version_of(turn)}.{short(turn.answer)}.{drawn}.{drawn + 1}"]


async def test_a_page_hears_of_a_stop_from_elsewhere(
    chat: Chat, worker: Worker, reader: Reader, session: uuid.UUID
) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One"))), Stall())
    turn = await chat.ask()
    drawn_empty = Cursor(await version_of(turn), short(turn.answer), 0)
    async with open_page(chat, reader, turn.thread, session, drawn_empty) as page:
        await page.until("frame")
        await stop(turn.answer)
        await page.until("message")


async def test_who_signed_out_before_the_stream_began_is_not_told_anything(
    chat: Chat, reader: Reader, session: uuid.UUID
) -> None:
    """The request was let in, then the sign-in ended, then the stream subscribed: no news will ever say so."""
    turn = await chat.ask()
    await Session.end(session, user_id=chat.user)
    async with open_page(chat, reader, turn.thread, session, Cursor()) as page:
        await page.until("end")
        assert page.events == ["signed_out"]


async def test_a_page_of_a_thread_that_is_gone_leaves(chat: Chat, reader: Reader, session: uuid.UUID) -> None:
    turn = await chat.ask()
    async with open_page(chat, reader, turn.thread, session, Cursor(await version_of(turn))) as page:
        await page.until("begun")
        await delete_thread(await my_thread(chat.user, turn.thread))
        await page.until("end")
        assert "gone" in page.events
    async with open_page(chat, reader, turn.thread, session, Cursor()) as page:
        await page.until("end")
        assert page.events == ["gone"]


async def test_a_page_without_scripts_grows_to_the_end_and_comes_back_when_it_was_cut(
    chat: Chat, worker: Worker, reader: Reader, session: uuid.UUID
) -> None:
    gate = asyncio.Event()
    turn = await begun(chat, gate)
    message, _ = await my_message(chat.user, turn.answer)
    growing = page_stream(reader, message, turn.thread, chat.user, session)
    assert "One two" in await anext(growing)
    reader.end()
    rest = [piece async for piece in growing]
    assert rest[-1] == '<meta http-equiv="refresh" content="1">'
    gate.set()
    await chat.final(turn.answer)
    last = [piece async for piece in page_stream(reader, message, turn.thread, chat.user, session)]
    assert "One two three" in "".join(last)
    assert "state-end" in "".join(last)


async def test_a_page_without_scripts_says_what_its_answer_waits_for_however_it_began(
    chat: Chat, reader: Reader, session: uuid.UUID
) -> None:
    """The pause was said after the page was looked up, and before its stream listened."""
    turn = await chat.ask()
    message, _ = await my_message(chat.user, turn.answer)
    await fetch(
        "UPDATE message SET error_sentence = 'Too busy.', retry_at = now() + interval '50 s' WHERE id = $1", turn.answer
    )
    growing = page_stream(reader, message, turn.thread, chat.user, session)
    assert re.search(r"Too busy\. Trying again in \d+ s\.", await anext(growing))


async def test_a_page_hears_that_the_list_of_models_has_changed_whosever_it_is(
    chat: Chat, reader: Reader, session: uuid.UUID
) -> None:
    turn = await chat.ask()
    async with open_page(chat, reader, turn.thread, session, Cursor(await version_of(turn))) as page:
        await page.until("begun")
        (provider,) = await fetch("SELECT id FROM provider")
        await found_down(provider["id"], NotConnected("Scripted cannot be reached."))
        await page.until("catalog")
        assert heard(page) == ["begun", "catalog"]
