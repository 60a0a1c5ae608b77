"""An app with a worker and a model server, and every place at which a deadly text can come in."""

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

from app.chat import catalog
from app.database import fetch, fetch_row, new_id
from app.html.renderers import RENDERERS
from app.parts import clean
from app.providers.client import make_client
from app.settings import take_stored
from tests.chat.conftest import SETTINGS, working
from tests.e2e.model_server import ModelServer
from tests.people import Browser
from tests.scripted import LAST_CHUNK, OPENAI, Script, Send, Wait, chunk, whole
from tests.watching import PROGRAM_SECONDS, until

PROFILE = {"theme": "system", "send_key": "enter", "speech": "done"}
#: Answers of ours that say no: a text may be too long, or empty.
ACCEPTED = {200, 204, 303, 400, 413, 422}


class Poisoned:
    """Alice asks; Bob asks something harmless afterwards."""

    def __init__(self, alice: Browser, bob: Browser, server: ModelServer, provider: uuid.UUID) -> None:
        self.alice = alice
        self.bob = bob
        self.server = server
        self.provider = provider

    async def ask(self, browser: Browser, text: str, *scripts: Script) -> str | None:
        """A question by the form; the thread's path, or None where it was refused."""
        for script in scripts:
            self.server.script(*script)
        # Errors open the model's circuit, as they should: here every text is tried.
        closed = (
            "UPDATE model SET failures = 0, down_since = NULL, trial_at = NULL WHERE name = 'lantern-7b' RETURNING id"
        )
        model = await fetch_row(closed)
        assert model is not None
        form = {"text": text, "model": str(model["id"]), "request_id": str(new_id())}
        answer = await browser.post("/threads", data=form)
        assert answer.status_code in ACCEPTED
        if answer.status_code != 303:
            self.server.forget()  # or the next question gets this one's answer
            return None
        return answer.headers["location"]

    async def final(self, thread: str) -> str:
        """The status of the answer once it is final."""
        last = "SELECT status FROM message WHERE thread = $1 AND role = 'assistant' ORDER BY created_at DESC LIMIT 1"

        async def ended() -> str:
            [row] = await fetch(last, uuid.UUID(thread[-36:]))
            return "" if row["status"] in ("queued", "running") else str(row["status"])

        return str(await until("the answer is final", ended, PROGRAM_SECONDS))

    async def answers(self, text: str, *scripts: Script) -> None:
        """Ask, wait for the end, and look at all pages on which the poison stands."""
        thread = await self.ask(self.alice, text, *scripts)
        if thread is not None:
            assert await self.final(thread) in ("complete", "failed", "interrupted")
            await self.look(thread)

    async def look(self, *paths: str) -> None:
        """The first time a page is rendered, the second time it is stored."""
        for path in ("/", *paths, *paths):
            page = await self.alice.get(path)
            assert page.status_code == 200, path
            assert "</html>" in page.text

    async def check(self) -> None:
        """Bob is served as if nothing had been."""
        assert (await self.bob.get("/health")).status_code == 200
        thread = await self.ask(self.bob, "Hello", OPENAI.answer(("All ", "is ", "well.")))
        assert thread is not None
        assert await self.final(thread) == "complete"
        assert "All is well." in (await self.bob.get(thread)).text


async def in_the_question(site: Poisoned, text: str) -> None:
    await site.answers(text, OPENAI.answer(("Yes.",)))


async def in_the_answer(site: Poisoned, text: str) -> None:
    """The page is loaded in the middle of it, too."""
    pieces, gate = pieces_of(text), asyncio.Event()
    first, *rest = (Send(chunk(OPENAI.text(piece))) for piece in pieces)
    end = Send(chunk(OPENAI.finish()) + LAST_CHUNK)
    thread = await site.ask(site.alice, "Hello", (OPENAI.head(), first, Wait(gate), *rest, end))
    assert thread is not None
    if not text.isspace():
        await until("the answer's first words are stored", lambda: fetch("SELECT 1 FROM delta"), PROGRAM_SECONDS)
    await site.look(thread)
    gate.set()
    assert await site.final(thread) in ("complete", "failed")
    await site.look(thread)


async def in_the_thoughts(site: Poisoned, text: str) -> None:
    await site.answers("Hello", OPENAI.answer(("Yes.",), thoughts=pieces_of(text)))


async def in_the_models_title(site: Poisoned, text: str) -> None:
    site.server.title = text
    thread = await site.ask(site.alice, "Hello", OPENAI.answer(("Yes.",)))
    assert thread is not None
    assert await site.final(thread) == "complete"
    named = "SELECT 1 FROM generation WHERE thread = $1 AND naming::text LIKE '%duration_ms%'"
    await until("the thread is named", lambda: fetch(named, uuid.UUID(thread[-36:])), PROGRAM_SECONDS)
    await site.look(thread)


async def in_a_tool_call(site: Poisoned, text: str) -> None:
    call = OPENAI.written_call("1", text[:200], text)
    await site.answers("Hello", OPENAI.answer(("Yes.",), tool_calls=[call], reason="tool_calls"))


async def in_a_refusal(site: Poisoned, text: str) -> None:
    await site.answers("Hello", whole(OPENAI.error_body(text), 400))
    await site.answers("Hello", whole(text.encode("utf-8", "replace"), 400, "text/html"))


async def in_an_error_of_an_answer(site: Poisoned, text: str) -> None:
    await site.answers("Hello", OPENAI.stream(OPENAI.text("Well, "), OPENAI.error(text)))


async def in_place_of_a_frame(site: Poisoned, text: str) -> None:
    await site.answers("Hello", OPENAI.stream(OPENAI.text("Well, "), OPENAI.data(clean(text)), OPENAI.finish()))


async def in_the_name_of_a_model(site: Poisoned, text: str) -> None:
    names = json.dumps({"data": [{"id": "lantern-7b"}, {"id": text}]}).encode()
    site.server.answers[OPENAI.listing_path] = whole(names)
    async with make_client() as client:
        await catalog.refresh(site.provider, catalog.connector(client, SETTINGS))
    del site.server.answers[OPENAI.listing_path]
    await site.answers("Hello", OPENAI.answer(("Yes.",)))
    await fetch("DELETE FROM model WHERE name <> 'lantern-7b'")


async def in_the_title_of_a_thread(site: Poisoned, text: str) -> None:
    thread = await site.ask(site.alice, "Hello", OPENAI.answer(("Yes.",)))
    assert thread is not None
    await site.final(thread)
    for title in (text, text[:200]):
        assert (await site.alice.patch(thread, data={"title": title})).status_code in ACCEPTED
    await site.look(thread)


async def in_a_display_name(site: Poisoned, text: str) -> None:
    for name in (text, text[:100], text[:40]):
        assert (await site.alice.put("/profile", data=PROFILE | {"name": name})).status_code in ACCEPTED
    await site.look("/profile")


STAGES: dict[str, Callable[[Poisoned, str], Awaitable[None]]] = {
    re.sub("_", " ", stage.__name__): stage
    for stage in (
        in_the_question,
        in_the_answer,
        in_the_thoughts,
        in_the_models_title,
        in_a_tool_call,
        in_a_refusal,
        in_an_error_of_an_answer,
        in_place_of_a_frame,
        in_the_name_of_a_model,
        in_the_title_of_a_thread,
        in_a_display_name,
    )
}


def pieces_of(text: str, count: int = 5) -> list[str]:
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)]


@contextlib.asynccontextmanager
async def poisoned(database: str, alice: Browser, bob: Browser) -> AsyncIterator[Poisoned]:
    """With a worker in this process. The app is that of the browsers."""
    take_stored({"max_turns_per_minute": 0})
    async with ModelServer(("lantern-7b",)) as server, make_client() as client:
        provider = new_id()
        await fetch(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
            " VALUES ($1, 'openai', 'Scripted', $2, '', '', now(), true)",
            provider, server.url_for(OPENAI),
        )  # fmt: skip
        assert await catalog.refresh(provider, catalog.connector(client, SETTINGS)) == ""
        async with working(database, SETTINGS, names=True):
            yield Poisoned(alice, bob, server, provider)
    await RENDERERS.close()
