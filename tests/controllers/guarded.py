"""A small app behind the real guard, with the settings that a test wants: routes that say what they got, or fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import uvicorn
from litestar import Litestar, Request, Response, get, route

from app.controllers.errors import EXCEPTION_HANDLERS
from app.controllers.guard import DEPENDENCIES, Guard, route_checks
from app.controllers.pages import page
from app.controllers.visit import visit_of
from app.settings import current
from tests.people import ADDRESS, Browser
from tests.watching import until

FORM = {"content-type": "application/x-www-form-urlencoded"}
METHODS = ["POST", "PUT", "PATCH", "DELETE"]
FAILURES: dict[str, Exception] = {
    "bug": RuntimeError("secret detail"),
    "gone": ConnectionRefusedError("127.0.0.1:5432"),
    "restart": asyncpg.AdminShutdownError("terminating connection"),
    "full": asyncpg.DiskFullError("No space left on device"),
    "read-only": asyncpg.ReadOnlySQLTransactionError("cannot execute"),
    "value": asyncpg.DataError("invalid input for query argument"),
}


@get("/form")
async def form(request: Request[Any, Any, Any]) -> Response[bytes]:
    return page(request, "errors/show.html", {"status": 200, "sentence": "s" * 2_000, "request_id": "", "back": ""})


@route("/echo", http_method=METHODS, status_code=200)  # type: ignore[arg-type]  # a list of literals is a list of texts
async def echo(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"method": request.method, "form": visit_of(request).form, "body": (await request.body()).decode("latin-1")}


@get("/visit")
async def visit(request: Request[Any, Any, Any]) -> dict[str, Any]:
    found = visit_of(request)
    return {"address": found.address, "scheme": request.url.scheme}


@get("/failure")
async def failure(request: Request[Any, Any, Any]) -> None:
    raise FAILURES[request.query_params["of"]]


def guarded(*more: Any, **changes: Any) -> Litestar:
    """The small app, with more routes and its settings changed."""
    settings = msgspec.structs.replace(current(), **changes)
    app = Litestar(
        [form, echo, visit, failure, *more],
        dependencies=DEPENDENCIES,
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
        middleware=route_checks(settings),
    )
    app.asgi_handler = Guard(app.asgi_handler, settings)
    return app


class Visitor(Browser):
    """A browser of the small app: its forms are on another page."""

    form_path = "/form"

    def __init__(self, *more: Any, address: str = ADDRESS, peer: str = "127.0.0.1", **changes: Any) -> None:
        super().__init__(guarded(*more, **changes), address=address, peer=peer)


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The app on a real socket."""
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="websockets-sansio")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve())
    await until("the server listens", lambda: server.started)
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
