"""`parley worker`: writes answers for web processes that run elsewhere, and answers no requests."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from app import __version__
from app.cli.opening import begin, open_keys, opened, prepare_schema, read_certificates, run, say
from app.cli.serve import bind
from app.settings import Settings

if TYPE_CHECKING:
    from app.lifespan import Running


def worker() -> None:
    """Write answers: as many workers as you like, on one database."""
    gc.disable()
    run(_worker(begin()))


async def _worker(settings: Settings) -> None:
    from app.logs import without_rich

    with without_rich():
        from app import lifespan
    say(f"Parley {__version__}, worker")
    read_certificates(settings)
    async with opened(settings, "guest") as url:
        open_keys(settings)
        await prepare_schema(url, may_migrate=False)
        async with lifespan.run(url, settings, with_worker=True) as running, _answering(settings, running):
            ending = asyncio.Event()

            def end(is_hurried: bool) -> None:
                if not ending.is_set():
                    say("Ending …")
                ending.set()
                running.begin_shutdown(is_hurried=is_hurried)

            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, end, True)
            loop.add_signal_handler(signal.SIGTERM, end, False)
            gc.collect()
            gc.freeze()
            gc.enable()
            say("Parley's worker is ready.")
            await ending.wait()
    say("The worker has ended.")


@contextlib.asynccontextmanager
async def _answering(settings: Settings, running: "Running") -> AsyncIterator[None]:
    """Answer /health and /metrics on a port of its own, where one is set."""
    if not settings.worker_port:
        yield
        return
    from app.cli.front_door import open_door
    from app.cli.server import Server
    from app.main import create_worker_app

    listener = bind(settings.host, settings.worker_port, "Choose another PARLEY_WORKER_PORT.")
    with contextlib.closing(listener):
        is_ready = asyncio.Event()
        server = Server(create_worker_app(settings, running), is_ready.set, open_door(settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await is_ready.wait()
        say(f"Answering /health and /metrics on {settings.host}:{listener.getsockname()[1]}.")
        try:
            yield
        finally:
            server.end()
            await serving
