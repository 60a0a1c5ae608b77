"""The real program in parts, with people who use it: what an experiment is made of."""

import asyncio
import contextlib
import pathlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import asyncpg
import httpx

from app.database import new_id
from app.secrets import KEY_FILE, hash_token, new_token
from tests.conftest import StartProgram
from tests.faults.checker import Checker
from tests.faults.drawn_tab import DrawnTab
from tests.faults.ledger import Acknowledged, Ledger
from tests.faults.logs import check_logs
from tests.faults.nursery import Nursery
from tests.people import csrf_of
from tests.programs import Program
from tests.scripted import LAST_CHUNK, OPENAI, Paced, Script, Send, Wait, chunk
from tests.tab import ARTICLE, AS_HTMX
from tests.watching import PROGRAM_SECONDS, until
from tests.wire import Caller

#: One visitor sends more than a person would.
UNLIMITED = {"PARLEY_MAX_TURNS_PER_MINUTE": "0"}
_ID = re.compile(r'<article id="message-([0-9a-f-]{36})"')


class Site:
    """A database, a model server, and whatever web and worker processes an experiment starts on them."""

    def __init__(
        self, start: StartProgram, database: "asyncpg.Pool[asyncpg.Record]", url: str, data: pathlib.Path
    ) -> None:
        self.database = database
        self.url = url
        self.ledger = Ledger()
        self.checker = Checker(database, self.ledger)
        self.model = new_id()
        self.data = data
        self.programs: list[Program] = []
        self.secrets: list[str] = []
        self._start = start
        self._clients: list[httpx.AsyncClient] = []

    async def web(self, *, port: int = 0, environment: Mapping[str, str] | None = None, url: str = "") -> Program:
        """`parley serve --no-worker`."""
        return await self._started("serve", "--no-worker", "--port", str(port), environment=environment, url=url)

    async def serve(self, *, environment: Mapping[str, str] | None = None, url: str = "") -> Program:
        """`parley serve`: web and worker in one process."""
        return await self._started("serve", "--port", "0", environment=environment, url=url)

    async def worker(self, *, environment: Mapping[str, str] | None = None, url: str = "") -> Program:
        """`parley worker`."""
        return await self._started("worker", environment=environment, url=url, wait_for="worker is ready")

    async def nursery(self) -> Nursery:
        """What workers come from that are to be killed by the dozen."""
        new = Nursery(data=self.data, environment={"DATABASE_URL": self.url, "PARLEY_DRAIN_SECONDS": "1"})
        self.programs.append(new)
        await asyncio.to_thread(new.start)
        return new

    async def _started(
        self, *arguments: str, environment: Mapping[str, str] | None, url: str, wait_for: str | None = None
    ) -> Program:
        new = await self._start(
            *arguments,
            data=self.data,
            database_url=url or self.url,
            environment=UNLIMITED | dict(environment or {}),
            wait_for=wait_for,
        )
        self.programs.append(new)
        return new

    async def connect(self, model_server: str) -> None:
        """The model server as the owner's page would connect it."""
        await self._connect("Scripted", model_server, self.model, "lantern-7b")

    async def connect_spare(self, model_server: str) -> uuid.UUID:
        """Another one, whose model "spare" is tried next where the first one's does not answer. Returns the model's id."""
        spare = new_id()
        await self._connect("Spare", model_server, spare, "spare")
        await self.database.execute(
            "UPDATE model SET fallbacks = jsonb_build_array($2::text) WHERE id = $1", self.model, str(spare)
        )
        return spare

    async def _connect(self, name: str, model_server: str, model: uuid.UUID, model_name: str) -> None:
        provider = new_id()
        await self.database.execute(
            "INSERT INTO provider (id, kind, name, base_url, key_sealed, is_enabled, state, error, created_at, refreshed_at)"
            " VALUES ($1, 'openai', $2, $3, '', true, 'ok', '', now(), now() + interval '1 hour')",
            provider, name, model_server,
        )  # fmt: skip
        await self.database.execute(
            "INSERT INTO model (id, provider, name, seen_at) VALUES ($1, $2, $3, now())", model, provider, model_name
        )

    async def person(self, base_url: str, *, name: str = "Alice") -> "Visitor":
        """Somebody who is signed in, without the pages that lead there."""
        user, session, token = new_id(), new_id(), new_token()
        await self.database.execute(
            "INSERT INTO users (id, name, email, password_hash, is_owner, is_active, theme, send_key, speech, draft, created_at)"
            " VALUES ($1, $2, $3, '', $4, true, 'system', 'enter', 'all', '', now())",
            user, name, f"{user.hex}@example.org", name == "Olive",
        )  # fmt: skip
        await self.database.execute(
            'INSERT INTO session (id, "user", token_hash, user_agent, created_at, seen_at, confirmed_at, expires_at)'
            " VALUES ($1, $2, $3, 'a test', now(), now() + interval '1 hour', now(), now() + interval '1 day')",
            session, user, hash_token(token),
        )  # fmt: skip
        self.secrets += [token, f"{user.hex}@example.org"]
        return Visitor(self, self._client(base_url, token), user, session, token)

    async def device(self, person: "Visitor", base_url: str) -> "Visitor":
        """The same person by way of another web process."""
        return Visitor(self, self._client(base_url, person.token), person.user, person.session, person.token)

    def _client(self, base_url: str, token: str) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=40)
        client = httpx.AsyncClient(base_url=base_url, cookies={"parley": token}, timeout=PROGRAM_SECONDS, limits=limits)
        self._clients.append(client)
        return client

    async def row(self, statement: str, *arguments: Any) -> asyncpg.Record:
        """One row, which must be there."""
        row = await self.database.fetchrow(statement, *arguments)
        assert row is not None
        return row

    async def until(self, statement: str, *arguments: Any, seconds: float = PROGRAM_SECONDS) -> None:
        """Wait until a statement's first value is true."""
        try:
            await until(statement, lambda: self.database.fetchval(statement, *arguments), seconds)
        except AssertionError as error:
            states = "SELECT m.status, g.state, g.worker, count(*) FROM message m JOIN generation g ON g.message = m.id"
            error.add_note(str(await self.database.fetch(f"{states} GROUP BY 1, 2, 3")))
            raise

    async def until_final(self) -> None:
        """Wait until no answer is queued or running (I3)."""
        await self.until("SELECT NOT EXISTS (SELECT 1 FROM generation WHERE state <> 'ended')")

    async def keep_waiting(self) -> None:
        """What waits for a worker that is about to start is not given up, however long a busy machine takes to start it."""
        await self.database.execute(
            "UPDATE generation SET queued_at = now() + interval '5 minutes' WHERE state = 'queued'"
        )

    async def close(self) -> None:
        """The people go, then the programs end; then every log is read."""
        for client in self._clients:
            await client.aclose()
        await asyncio.gather(*(asyncio.to_thread(program.stop) for program in self.programs if program.is_running))
        texts = {turn.text for turn in self.ledger.turns} | {text[-60:] for text in self.ledger.shown.values()}
        key = (self.data / KEY_FILE).read_text().strip()
        check_logs({program.log_path for program in self.programs}, [*self.secrets, key], texts)


class Visitor:
    """Somebody's browser: sends, opens tabs, presses Stop; notes in the ledger what was acknowledged."""

    def __init__(self, site: Site, client: httpx.AsyncClient, user: uuid.UUID, session: uuid.UUID, token: str) -> None:
        self.site = site
        self.client = client
        self.user = user
        self.session = session
        self.token = token
        self._csrf = ""

    async def csrf(self) -> str:
        """What every form of this visitor carries."""
        if not self._csrf:
            self._csrf = csrf_of((await self.client.get("/")).text)
            self.site.secrets.append(self._csrf)
        return self._csrf

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """A form, as htmx sends it."""
        return await self.client.post(path, data=fields, headers={**AS_HTMX, "x-csrf-token": await self.csrf()})

    async def ask(self, text: str, thread: object = "", request_id: uuid.UUID | None = None) -> Acknowledged:
        """Send a question; into a new thread unless one is named. Raises `httpx.HTTPError` if it was not acknowledged."""
        request_id = request_id or new_id()
        path = f"/threads/{thread}/messages" if thread else "/threads"
        answer = await self.post(path, text=text, model=str(self.site.model), request_id=str(request_id))
        if answer.status_code not in (200, 303):
            raise httpx.HTTPStatusError(f"{answer.status_code}", request=answer.request, response=answer)
        ids = [uuid.UUID(found) for found in _ID.findall(answer.text)] or [None, None]
        thread = thread or answer.headers["location"].split("/")[2].partition("#")[0]
        turn = Acknowledged(uuid.UUID(str(thread)), request_id, ids[-2], ids[-1], text)
        self.site.ledger.turns.append(turn)
        return turn

    async def begin(self, text: str) -> Acknowledged:
        """A new thread, and the page that it leads to."""
        turn = await self.ask(text)
        page = await self.client.get(f"/threads/{turn.thread}")
        ids = [uuid.UUID(_ID.search(found[0])[1]) for found in ARTICLE.finditer(page.text)]  # type: ignore[index]
        return turn._replace(question=ids[-2], answer=ids[-1])

    def tab(self, thread: object, *, is_prose: bool = True) -> DrawnTab:
        """A tab on a thread, not opened yet. Of Markdown what shows may be redrawn as it comes, so it is not noted."""
        caller = Caller(str(self.client.base_url), f"parley={self.token}")
        return DrawnTab(caller, str(thread), self.site.ledger if is_prose else None)

    async def stop(self, message: object) -> httpx.Response:
        """Press Stop."""
        return await self.post(f"/messages/{message}/generation?_method=DELETE")


def words(tag: str, count: int) -> list[str]:
    """Words that name their place in an answer: a lost or doubled one shows."""
    return [f"{tag}{number} " for number in range(count)]


def paced(tag: str, count: int, per_second: float) -> Script:
    """A well-formed answer of numbered words at a steady pace."""
    return (OPENAI.head(), Paced(_chunks(tag, count), per_second))


def held(gate: asyncio.Event, tag: str, count: int, per_second: float, *, before: int) -> Script:
    """The same, but it waits for the gate after so many words: however slow the machine is, until then it is running."""
    chunks = _chunks(tag, count)
    return (OPENAI.head(), Paced(chunks[:before], per_second), Wait(gate), Paced(chunks[before:], per_second))


def _chunks(tag: str, count: int) -> tuple[bytes, ...]:
    last = chunk(OPENAI.finish("stop", (5, count))) + LAST_CHUNK
    return (*(chunk(OPENAI.text(word)) for word in words(tag, count)), last)


def at_once(tag: str, count: int) -> Script:
    """The same without any pause."""
    return (OPENAI.head(), Send(b"".join(_chunks(tag, count))))


@contextlib.asynccontextmanager
async def in_background(*works: Callable[[], Any]) -> AsyncIterator[None]:
    """Runs them until the end of the block; a failure of one is raised there."""
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
