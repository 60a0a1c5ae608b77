"""`parley serve`: the web app, the worker and the embedded database in one process tree."""

import asyncio
import contextlib
import gc
import ipaddress
import os
import signal
import socket
import sys
import time
from typing import Annotated

import typer

from app import __version__
from app.cli.browser import can_open, forget_page, open_page
from app.cli.opening import (
    CannotStart,
    begin,
    open_keys,
    opened,
    prepare_schema,
    read_certificates,
    run,
    say,
    say_if_it_runs,
)
from app.cli.owner import owner_link
from app.settings import Settings, help_of


def serve(
    host: Annotated[str | None, typer.Option(help=help_of("host"))] = None,
    port: Annotated[int | None, typer.Option(help=help_of("port"))] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only answer requests; see `parley worker`.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help=help_of("demo"))] = False,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open the page that creates the owner in the browser.")
    ] = False,
) -> None:
    """Start Parley, with its own database unless DATABASE_URL names one."""
    gc.disable()  # until the start is over: nothing that a start makes is garbage
    settings = begin(host=host, port=port, demo=demo or None)
    run(_serve(settings, with_worker=not no_worker, opens_page=not no_open))


async def _serve(settings: Settings, *, with_worker: bool, opens_page: bool) -> None:
    began = time.monotonic()
    say(f"Parley {__version__}")
    say(f"Data folder: {settings.data}")
    read_certificates(settings)
    with contextlib.closing(_bind(settings)) as listener:
        async with opened(settings, "host") as url:
            open_keys(settings)
            await prepare_schema(url, may_migrate=not settings.database_url)
            try:
                await _answer(settings, url, listener, with_worker=with_worker, opens_page=opens_page, began=began)
            finally:
                forget_page(settings.data)
    say("Parley has ended.")


def _bind(settings: Settings) -> socket.socket:
    """Take the address before anything slow is begun. It refuses connections until the app listens."""
    try:
        return bind(settings.host, settings.port, "Choose another with --port.")
    except CannotStart:
        say_if_it_runs(settings)
        raise


def bind(host: str, port: int, advice: str) -> socket.socket:
    """A socket with this address. `advice`: what to do if another has it. Raises `CannotStart`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise CannotStart(f"PARLEY_HOST={host!r} is no address of this machine: {error.strerror}.") from error
    listener = socket.socket(found[0], found[1])
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(found[4])
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise CannotStart(f"{host}:{port} cannot be listened on: {reason}. {advice}") from error
    return listener


async def _answer(
    settings: Settings, url: str, listener: socket.socket, *, with_worker: bool, opens_page: bool, began: float
) -> None:
    from app.logs import without_rich

    with without_rich():
        from app.cli.front_door import open_door
        from app.cli.server import Server
        from app.main import create_app

    def ready() -> None:
        gc.collect()
        gc.freeze()
        gc.enable()
        say(f"Started in {time.monotonic() - began:.1f} s. Ctrl-C ends it.")
        if link:
            say(f"Create the owner account: {link}")
        say(f"Parley is ready: {address}")
        if link and opens_page and can_open(os.environ, platform=sys.platform, is_terminal=sys.stdout.isatty()):
            open_page(link, settings.data)

    app = create_app(settings, database_url=url, with_worker=with_worker)
    address = _address_of(listener)
    async with app.lifespan():
        link = await owner_link(settings, address)
        server = Server(app, ready, open_door(settings))

        def end(is_hurried: bool) -> None:
            if not server.should_exit:
                say("Ending …")
            server.end()
            app.state.running.begin_shutdown(is_hurried=is_hurried)

        loop = asyncio.get_running_loop()
        # Whoever presses Ctrl-C waits for the prompt; a service manager lets running answers go on.
        loop.add_signal_handler(signal.SIGINT, end, True)
        loop.add_signal_handler(signal.SIGTERM, end, False)
        await server.serve(sockets=[listener])


def _address_of(listener: socket.socket) -> str:
    """An address that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        say(f"Listening on every address of this machine, port {port}.")
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
