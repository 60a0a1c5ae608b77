"""What a command begins with: its settings, its log, its loop, and a database that answers."""

import asyncio
import contextlib
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Literal

import typer

import app.settings
from app.settings import Settings
from app.settings.values import to_text

#: `host`: starts the embedded Postgres and is the only one to. `guest`: uses the one that `parley serve` runs.
#: `either`: a short command, guest if there is a host and host if not.
Role = Literal["host", "guest", "either"]


class CannotStart(Exception):
    """The environment does not allow what was asked; the text is one sentence for the console."""


def begin(**options: object) -> Settings:
    """The settings, options over environment, and the log set up by them. Raises `BadSetting`."""
    app.settings.take_options({name: to_text(value) for name, value in options.items() if value is not None})
    settings = app.settings.settings
    from app import logs
    from app.instance import consistency

    consistency.check_given(app.settings.effective())

    logs.configure(settings)
    return settings


def say(sentence: str) -> None:
    """One line on the console about what goes on, at once. A closed pipe, a closed terminal or a full disk under it is
    no reason to stop, nor to ignore Ctrl-C.
    """
    with contextlib.suppress(OSError):
        typer.echo(sentence)


def run(command: Coroutine[Any, Any, None]) -> None:
    """Run a command on a loop. SIGTERM and Ctrl-C cancel it, so that whatever it opened is closed; exit code 130."""
    import uvloop

    async def cancellable() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        await command

    try:
        uvloop.run(cancellable())
    except asyncio.CancelledError:
        raise SystemExit(130) from None


@contextlib.asynccontextmanager
async def opened(settings: Settings, role: Role) -> AsyncIterator[str]:
    """The address of a Postgres that answers, embedded or not. Raises `CannotStart`."""
    if settings.database_url:
        from app.cli.postgres import open_address

        yield await open_address(settings.database_url)
        return
    from app.embedded import EmbeddedFailed, hold

    try:
        if role == "guest" or (role == "either" and is_held(settings.data)):
            yield await _find(settings.data)
        else:
            with hold(settings.data):
                async with _started(settings.data) as url:
                    yield url
    except EmbeddedFailed as error:
        raise CannotStart(str(error)) from error


def open_keys(settings: Settings) -> None:
    """Find out now whether stored secrets can be read. Makes the key file of a new instance. Raises `BadSetting`."""
    from app.secrets import open_keyring

    open_keyring(settings.secret_key, settings.data)


def read_certificates(settings: Settings) -> None:
    """Find out now whether the file of certificates that is named is one. Raises `BadSetting`."""
    if settings.ca_file:
        from app.certificates import make_context

        make_context(settings.ca_file)


async def prepare_schema(url: str, *, may_migrate: bool) -> None:
    """Bring the database to this version, or check that it is. Raises `CannotStart`."""
    from app import database, schema

    await database.open_pool(url, size=4, name="parley schema", statement_timeout_seconds=None)
    try:
        if may_migrate:
            done = await schema.migrate()
            if done:
                say(f"Migrated the database: {', '.join(done)}.")
        else:
            await schema.check()
    except schema.SchemaMismatch as error:
        raise CannotStart(str(error)) from error
    finally:
        await database.close_pool()


@contextlib.asynccontextmanager
async def _started(data: pathlib.Path) -> AsyncIterator[str]:
    from app.embedded import EmbeddedPostgres

    postgres = EmbeddedPostgres(data)
    began = time.monotonic()
    say("Starting the database …" if postgres.is_made else f"Making a database in {data} …")
    watching = None
    try:
        url = await postgres.start()
        say(f"The database runs ({time.monotonic() - began:.1f} s).")
        watching = asyncio.create_task(postgres.supervise())
        yield url
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        await postgres.stop()


def say_if_it_runs(settings: Settings) -> None:
    """Raises `CannotStart` if another Parley holds the data folder: the likeliest reason why its address is taken."""
    from app.embedded import FolderLocked, hold

    if settings.database_url or not is_held(settings.data):
        return
    try:
        with hold(settings.data):
            pass
    except FolderLocked as error:
        raise CannotStart(str(error)) from error


async def _find(data: pathlib.Path) -> str:
    """The server that another process of ours runs; waited for if that one is just starting it."""
    from app.embedded import EmbeddedPostgres

    deadline = time.monotonic() + 30
    while is_held(data) and time.monotonic() < deadline:
        if url := await EmbeddedPostgres(data).find():
            return url
        await asyncio.sleep(0.1)
    raise CannotStart(f"No Parley runs in {data}: start `parley serve` there first, or set DATABASE_URL.")


def is_held(data: pathlib.Path) -> bool:
    """Whether a Parley runs in this data folder."""
    from app.embedded import FolderLocked, hold

    if not (data / "lock").exists():
        return False
    try:
        with hold(data):
            return False
    except FolderLocked:
        return True
