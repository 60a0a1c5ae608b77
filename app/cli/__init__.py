"""The `parley` command, one file per group. What the environment gets wrong is one sentence there, never a trace."""

import sys
from typing import NoReturn

import typer

from app import __version__
from app.cli import config, doctor, migrate, owner, serve, worker
from app.cli.opening import CannotStart
from app.settings import BadSetting

commands = typer.Typer(
    help="Parley: a self-hosted AI chat.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.command("serve")(serve.serve)
commands.command("worker")(worker.worker)
commands.command("migrate")(migrate.migrate)
commands.command("doctor")(doctor.doctor)
commands.command("owner")(owner.owner)
commands.add_typer(config.commands, name="config")


@commands.callback(invoke_without_command=True)
def parley(version: bool = typer.Option(False, "--version", help="Show the version and end.")) -> None:
    """A self-hosted AI chat: every model, local or hosted, in one place.

    Settings come from the environment and from `parley config`: docs/operator-guide.md and .env.example.
    """
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command of this process's arguments."""
    try:
        commands()
    except (BadSetting, CannotStart, OSError) as error:
        _end(error)
    except BaseExceptionGroup as group:
        inner = _only_one_in(group)
        if not isinstance(inner, BadSetting | CannotStart | OSError):
            raise
        _end(inner)


def _only_one_in(error: BaseException) -> BaseException:
    """What ended a group of tasks, if it was one thing."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _end(error: BadSetting | CannotStart | OSError) -> NoReturn:
    sentence = str(error)
    if isinstance(error, OSError) and error.strerror:
        sentence = f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror}."
    elif isinstance(error, TimeoutError) and not sentence:  # a command waits for nothing else so
        sentence = "The database does not answer: it accepts the connection but sends nothing."
    typer.echo(f"parley: {sentence}", err=True)
    sys.exit(2 if isinstance(error, BadSetting) else 1)
