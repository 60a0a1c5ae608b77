"""The app: its routes, what they are given, how their errors look. The only file that wires."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.types import ControllerRouterHandler, Scope

from app import lifespan
from app.api import ROUTES as API_ROUTES
from app.api import metrics
from app.chat.calls import Connect
from app.chat.health import Process
from app.controllers import ROUTES, health
from app.controllers.errors import EXCEPTION_HANDLERS
from app.controllers.guard import DEPENDENCIES, Guard, route_checks
from app.controllers.limiter import PLACES, Limiter
from app.live import Reader
from app.settings import Settings


def create_app(settings: Settings, *, database_url: str = "", with_worker: bool = True) -> Litestar:
    """The web app over a migrated database. With `with_worker` it writes answers too."""

    @contextlib.asynccontextmanager
    async def live(app: Litestar) -> AsyncIterator[None]:
        async with lifespan.run(database_url or settings.database_url, settings, with_worker=with_worker) as running:
            _set_state(app, running)
            yield

    return _guarded([*ROUTES, *API_ROUTES], settings, lifespan=[live])


def create_worker_app(settings: Settings, running: lifespan.Running) -> Litestar:
    """What a worker answers, over its running parts: whether it lives, and its figures."""
    app = _guarded([health.show, metrics.show], settings, has_pages=False)
    _set_state(app, running)
    return app


def _guarded(
    routes: Sequence[ControllerRouterHandler], settings: Settings, *, has_pages: bool = True, **options: Any
) -> Litestar:
    app = Litestar(
        route_handlers=routes,
        dependencies={
            **DEPENDENCIES,
            "live": Provide(_reader, sync_to_thread=False),
            "client": Provide(_client, sync_to_thread=False),
            "connect": Provide(_connect, sync_to_thread=False),
            "process": Provide(_process, sync_to_thread=False),
            "metrics_token": Provide(lambda: settings.metrics_token, sync_to_thread=False),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
        # Bodies are read as `opt["body"]` says; Litestar's own limit would come second.
        request_max_body_size=None,
        # Bodies are read before the limiter: a slow one holds no place.
        middleware=[*route_checks(settings), DefineMiddleware(Limiter, places=_places)],
        **options,
    )
    app.asgi_handler = Guard(app.asgi_handler, settings, has_pages=has_pages)
    return app


def _set_state(app: Litestar, running: lifespan.Running) -> None:
    """What requests use of the running process."""
    app.state.running = running
    app.state.places = asyncio.Semaphore(PLACES)


def _places(scope: Scope) -> asyncio.Semaphore:
    found: asyncio.Semaphore = scope["litestar_app"].state.places
    return found


def _reader(state: State) -> Reader:
    found: Reader = state.running.reader
    return found


def _client(state: State) -> httpx.AsyncClient:
    found: httpx.AsyncClient = state.running.client
    return found


def _connect(state: State) -> Connect:
    found: Connect = state.running.connect
    return found


def _process(state: State) -> Process:
    found: Process = state.running.process
    return found
