"""The cast of every test: Alice (it is hers), Bob (must not see it), Olive (the owner), and a browser signed out.

Each is an HTTP client on the app itself, as the browser would be: it keeps cookies and sends a form's token along.
"""

import asyncio
import contextlib
import copy
import functools
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from litestar import Litestar

from app import database as app_database
from app.main import create_app
from app.settings import Settings, settings
from app.tables.session import Session
from app.tables.user import User
from tests.watching import until

ADDRESS = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")

_CSRF = re.compile(r'name="_csrf" value="([^"]+)"|"X-CSRF-Token": "([^"]+)"')


class Browser(httpx.AsyncClient):
    """An HTTP client that is somebody's browser. `user` is who is signed in.

    A request that changes something brings the token of a page that was loaded with the same cookie; `request(csrf=…)`
    sends another one, and None sends none.
    """

    user: User
    #: A page that shows a form to who is signed out.
    form_path = "/sign-in"

    def __init__(self, app: Litestar, *, address: str = ADDRESS, peer: str = "127.0.0.1", **options: Any) -> None:
        transport = httpx.ASGITransport(app, client=(peer, 40_000))  # type: ignore[arg-type]  # Litestar types it closer
        super().__init__(transport=transport, base_url=address, **options)
        self.app = app
        self._csrf: tuple[str, str] = ("", "")

    async def request(self, method: str, url: Any, *, csrf: str | None = "", **options: Any) -> httpx.Response:
        if method in UNSAFE and csrf is not None:
            options["headers"] = {"x-csrf-token": csrf or await self.csrf(), **(options.get("headers") or {})}
        return await super().request(method, url, **options)

    async def csrf(self) -> str:
        """The token of this browser's forms, out of a page."""
        if not self._csrf[0] or self._csrf[0] != self.cookie:
            path = "/profile" if hasattr(self, "user") and self.cookie else self.form_path
            page = await super().request("GET", path, follow_redirects=True)
            self._csrf = (self.cookie, csrf_of(page.text))
        return self._csrf[1]

    @property
    def cookie(self) -> str:
        """The secret of this browser's cookie."""
        return next((cookie.value or "" for cookie in self.cookies.jar if cookie.name.endswith("parley")), "")

    async def sign_in_as(self, user: User) -> None:
        """What signing in leaves behind, without the page."""
        token = await Session.start(user, user_agent=f"{user.name}'s browser", days=30)
        assert token is not None
        self.user = user
        self.cookies.set("parley", token, domain="127.0.0.1", path="/")


def csrf_of(text: str) -> str:
    """The token in a page."""
    found = _CSRF.search(text)
    assert found is not None, f"no form in {text[:500]}"
    return found[1] or found[2]


@functools.cache
def password_hash() -> str:
    """Of `PASSWORD`, with the least work."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


async def add_user(name: str, *, is_owner: bool = False) -> User:
    """A person with the address name@example.org and the password of all."""
    email = f"{name.lower()}@example.org"
    return await User.add(name=name, email=email, password_hash=password_hash(), is_owner=is_owner)


@functools.cache
def _app_over(database: str) -> tuple[Litestar, Any]:
    """The app of this test process, whose lifespan begins anew for each test; and its guard, for which a test may put another.

    Registering a hundred routes takes longer than most tests.
    """
    made = create_app(settings, database_url=database, with_worker=False)
    return made, made.asgi_handler


@pytest.fixture
async def app(database: str) -> AsyncIterator[Litestar]:
    """The app without a worker, running on empty tables."""
    # It opens its own pool.
    await app_database.close_pool()
    made, guard = _app_over(database)
    made.asgi_handler = copy.copy(guard)
    async with _in_one_task(made):
        # Streams that were open before end once, so that their pages begin again.
        await until("the app listens to the database", lambda: made.state.running.reader.is_listening)
        yield made


@contextlib.asynccontextmanager
async def _in_one_task(made: Litestar) -> AsyncIterator[None]:
    """The app's lifespan. It must end in the task that it began in, and a fixture ends in another one."""
    is_ready, is_over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with made.lifespan():
            is_ready.set()
            await is_over.wait()

    task = asyncio.create_task(live())
    await asyncio.wait((task, asyncio.ensure_future(is_ready.wait())), return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
        yield
    finally:
        is_over.set()
        await task


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[Browser]:
    """A browser that is signed out."""
    async with Browser(app) as browser:
        yield browser


@pytest.fixture
async def olive(app: Litestar) -> AsyncIterator[Browser]:
    """The owner's browser."""
    async with Browser(app) as browser:
        await browser.sign_in_as(await add_user("Olive", is_owner=True))
        yield browser


@pytest.fixture
async def alice(app: Litestar, olive: Browser) -> AsyncIterator[Browser]:
    """A member's browser."""
    async with Browser(app) as browser:
        await browser.sign_in_as(await add_user("Alice"))
        yield browser


@pytest.fixture
async def bob(app: Litestar, olive: Browser) -> AsyncIterator[Browser]:
    """Another member's browser."""
    async with Browser(app) as browser:
        await browser.sign_in_as(await add_user("Bob"))
        yield browser


__all__ = ["PASSWORD", "Browser", "Settings", "add_user", "csrf_of"]
