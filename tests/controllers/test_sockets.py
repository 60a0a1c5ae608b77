"""WebSockets pass the same checks as every request. The routes here are only the tests'."""

import asyncio
import types
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import WebSocket, websocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.controllers.guard import CurrentPrincipal, CurrentUser, owner_only
from app.database import transaction
from app.live import Lost, Reader
from app.tables.session import Session, announce_user_end
from app.tables.user import User
from tests.controllers.guarded import Visitor, serving
from tests.people import ADDRESS, add_user
from tests.watching import SECONDS, within

#: Of a client: no proxy of the environment, and all the time that a busy machine needs.
PATIENT: Any = {
    "proxy": None,
    "open_timeout": SECONDS,
    "ping_timeout": SECONDS,
    "close_timeout": SECONDS,
}
CLOSED = {"type": "websocket.close", "code": 1008, "reason": ""}


@websocket("/talk")
async def talk(
    socket: WebSocket[Any, Any, Any], current_principal: CurrentPrincipal, current_user: CurrentUser
) -> None:
    await socket.accept()
    await socket.send_text(f"{current_principal.kind} {current_user.name}")
    async for text in socket.iter_data(mode="text"):
        if text == "break":
            raise RuntimeError("secret detail")
        await socket.send_text(f"{current_user.name} said {text}")


@websocket("/owners", guards=[owner_only])
async def owners(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text("in")


@pytest.fixture
async def visitor(database: str) -> AsyncIterator[Visitor]:
    """A browser of the small app, which hears the news."""
    reader = Reader(database)
    with reader.view([]) as first:
        task = asyncio.create_task(reader.run())
        assert await first.take(timeout_seconds=SECONDS) == [Lost()]
    async with Visitor(talk, owners) as one:
        one.app.state.running = types.SimpleNamespace(reader=reader)
        yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def alice(visitor: Visitor) -> Visitor:
    await visitor.sign_in_as(await add_user("Alice"))
    return visitor


class Socket:
    """A WebSocket by hand."""

    def __init__(self, browser: Visitor, path: str = "/talk", **headers: str) -> None:
        known = {"host": "127.0.0.1:8000", "origin": ADDRESS, "cookie": f"parley={browser.cookie}"}
        known |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.scope: Any = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "path": path, "state": {},
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "ws", "subprotocols": [],
            "headers": [(name.encode(), value.encode()) for name, value in known.items() if value != "none"],
            "client": ("127.0.0.1", 40_000), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        self._app: Any = browser.app
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.hears: asyncio.Queue[Any] = asyncio.Queue()
        self.says.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._app(self.scope, self.says.get, self.hears.put))

    async def hear(self) -> Any:
        async with within("the server says something"):
            return await self.hears.get()

    def say(self, text: str) -> None:
        self.says.put_nowait({"type": "websocket.receive", "text": text})

    async def opened(self) -> "Socket":
        assert (await self.hear())["type"] == "websocket.accept"
        assert (await self.hear())["text"].startswith("session ")
        return self

    async def ended(self) -> None:
        async with within("the socket's handler ends"):
            await self.task


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": ""},
        {"origin": "none"},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "none", "origin": "none"},
        {"cookie": "none"},
        {"cookie": "parley=" + "A" * 43},
        {"path": "/nowhere"},
        {"path": "/form"},
        {"path": "/echo"},
        {"path": "/owners"},
    ],
)
async def test_what_may_not_be_opened_is_closed_before_it_is(alice: Visitor, headers: dict[str, str]) -> None:
    socket = Socket(alice, **headers)
    assert await socket.hear() == CLOSED
    await socket.ended()
    assert socket.hears.empty()


async def test_a_person_is_known_and_heard(alice: Visitor) -> None:
    socket = Socket(alice)
    accepted = await socket.hear()
    assert (accepted["type"], dict(accepted["headers"])[b"x-request-id"] != b"") == ("websocket.accept", True)
    assert (await socket.hear())["text"] == "session Alice"
    socket.say("hello")
    assert (await socket.hear())["text"] == "Alice said hello"
    socket.says.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await socket.ended()


async def test_the_owner_passes_a_guard(visitor: Visitor) -> None:
    await visitor.sign_in_as(await add_user("Olive", is_owner=True))
    socket = Socket(visitor, "/owners")
    assert (await socket.hear())["type"] == "websocket.accept"
    await socket.ended()


async def test_over_https_the_cookie_keeps_its_promise(alice: Visitor) -> None:
    socket = Socket(alice, cookie=f"__Host-parley={alice.cookie}")
    assert await socket.hear() == CLOSED
    behind = Visitor(talk, trusted_proxies=("127.0.0.1",), host="0.0.0.0")
    behind.app.state.running = alice.app.state.running
    behind.cookies = alice.cookies
    proxied = {"x_forwarded_proto": "https", "x_forwarded_for": "192.0.2.1"}
    secure = Socket(behind, cookie=f"__Host-parley={alice.cookie}", **proxied)
    await secure.opened()
    assert secure.scope["scheme"] == "wss"
    plain = Socket(behind, **proxied)
    assert await plain.hear() == CLOSED


async def test_signing_out_and_deactivation_end_it(alice: Visitor) -> None:
    socket = await Socket(alice).opened()
    assert await Session.end_all(alice.user.id)
    assert await socket.hear() == CLOSED
    await socket.ended()
    await alice.sign_in_as(alice.user)
    again = await Socket(alice).opened()
    async with transaction():
        await User.set_active(alice.user.id, False)
        await announce_user_end(alice.user.id)
    assert await again.hear() == CLOSED
    await again.ended()


async def test_another_persons_sign_out_does_not(alice: Visitor) -> None:
    socket = await Socket(alice).opened()
    bob = await add_user("Bob")
    await Session.start(bob, user_agent="", days=1)
    assert await Session.end_all(bob.id)
    socket.say("still here")
    assert (await socket.hear())["text"] == "Alice said still here"


async def test_a_process_that_ends_or_lost_the_news_says_come_back(alice: Visitor) -> None:
    socket = await Socket(alice).opened()
    alice.app.state.running.reader.end()
    assert await socket.hear() == {"type": "websocket.close", "code": 1012, "reason": ""}
    await socket.ended()


async def test_an_error_tells_nothing_of_itself(alice: Visitor) -> None:
    socket = await Socket(alice).opened()
    socket.say("break")
    assert await socket.hear() == {"type": "websocket.close", "code": 1011, "reason": ""}
    await socket.ended()


async def test_over_a_real_socket_a_refusal_is_403_and_a_sign_out_closes(alice: Visitor) -> None:
    cookie = {"cookie": f"parley={alice.cookie}"}
    async with serving(alice.app) as place:
        for path, origin, headers in (
            ("/talk", None, cookie),
            ("/talk", "http://evil.example", cookie),
            ("/talk", f"http://{place}", {}),
            (f"/{uuid.uuid4()}", f"http://{place}", cookie),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{place}{path}", origin=origin, additional_headers=headers, **PATIENT)  # type: ignore[arg-type]
            assert refused.value.response.status_code == 403
        async with connect(
            f"ws://{place}/talk", origin=f"http://{place}", additional_headers=cookie, **PATIENT
        ) as socket:  # type: ignore[arg-type]
            assert await socket.recv() == "session Alice"
            await Session.end_all(alice.user.id)
            async with within("the sign-out closes the socket"):
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            assert socket.close_code == 1008
