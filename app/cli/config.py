"""`parley config`: what settings hold and why, and changing those that can change while Parley runs."""

import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.opening import CannotStart, begin, open_keys, opened, prepare_schema, run, say
from app.settings import FIELDS, OPTIONS, BadSetting, Field, Settings, effective
from app.settings.values import to_text

if TYPE_CHECKING:
    from app.tables.setting import Stored

commands = typer.Typer(
    help="Settings: what holds, why, and changing it. Running processes follow at once.", no_args_is_help=True
)

Key = Annotated[str, typer.Argument(help="A setting's name, as `parley config list` shows it.")]
Look = Callable[[], Coroutine[Any, Any, None]]


@commands.command("list")
def show_all() -> None:
    """Show every setting, its value and where that comes from."""

    async def look() -> None:
        names, values = list(FIELDS), [_shown(field) for field in FIELDS.values()]
        widths = max(map(len, names)), min(60, max(map(len, values)))
        for name, value in zip(names, values, strict=True):
            say(f"{name:{widths[0]}}  {value:{widths[1]}}  {effective().sources[name]}")

    run(_over_database(begin(), look, must_exist=False))


@commands.command("get")
def get(key: Key) -> None:
    """Show the value of one setting, and nothing else."""
    settings, field = begin(), _known(key)

    async def look() -> None:
        say(_shown(field))

    run(_over_database(settings, look, must_exist=False))


@commands.command("explain")
def explain(key: Key) -> None:
    """Say everything about one setting."""
    settings, field = begin(), _known(key)

    async def look() -> None:
        await _explain(field)

    run(_over_database(settings, look, must_exist=False))


@commands.command("set")
def set_(
    key: Key, value: Annotated[str, typer.Argument(help="What it is to be; - reads it from standard input.")]
) -> None:
    """Set one: every running process follows at once."""
    settings, field = begin(), _known(key)
    text = sys.stdin.read() if value == "-" else value
    run(_over_database(settings, lambda: _change(field, text.replace("\0", "").strip())))


@commands.command("unset")
def unset(key: Key) -> None:
    """Take back what was set: then the default holds."""
    settings, field = begin(), _known(key)
    run(_over_database(settings, lambda: _change(field, None)))


def _known(key: str) -> Field:
    name = key.lower().removeprefix("parley_")
    if name not in FIELDS:
        raise BadSetting(f"There is no setting {key!r}: `parley config list` shows them all.")
    return FIELDS[name]


async def _over_database(settings: Settings, look: Look, *, must_exist: bool = True) -> None:
    """Do something with the stored values taken. Where no database was made yet, nothing is stored."""
    from app.embedded import EmbeddedPostgres

    if not must_exist and not settings.database_url and not EmbeddedPostgres(settings.data).is_made:
        await look()
        return
    from app import database
    from app.instance import holding

    async with contextlib.AsyncExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):  # what scripts read is the answer alone
            url = await stack.enter_async_context(_opened_aside(settings))
        open_keys(settings)
        await database.open_pool(url, size=4, name="parley config")
        stack.push_async_callback(database.close_pool)
        await holding.take()
        await look()


@contextlib.asynccontextmanager
async def _opened_aside(settings: Settings) -> Any:
    async with opened(settings, "either") as url:
        await prepare_schema(url, may_migrate=not settings.database_url)
        yield url


async def _change(field: Field, text: str | None) -> None:
    from app.instance import changing

    if text == "":
        raise BadSetting(f"{field.name} cannot be empty: `parley config unset {field.name}` takes back what was set.")
    if fault := changing.fixed_fault(field.name):
        raise CannotStart(f"{field.name}: {fault}")
    change = await changing.check_texts({field.name: text or ""})
    if fault := change.faults.get(field.name, ""):
        raise BadSetting(f"{field.name}: {fault}")
    await changing.save(change, by=None)
    say(f"{field.name} is {_shown(field) or 'empty'} ({effective().sources[field.name]}).")
    for name, reason in effective().ignored.items():
        if name in FIELDS and FIELDS[name].address == field.name:
            say(f"{name} is ignored: {reason}")


async def _explain(field: Field) -> None:
    held = effective()
    stored = await _stored(field.name)
    say(f"{field.name}: {field.help}")
    say(f"  value    {_shown(field) or 'none'}")
    say(f"  source   {_source(field, stored)}")
    say(f"  default  {to_text(field.default) or 'none'}")
    if field.choices:
        say(f"  choices  {', '.join(field.choices)}")
    outside = "the environment or the command line" if field.name in OPTIONS else "the environment"
    when = "at once, in every process" if field.is_live else f"at the next start; only {outside} sets it"
    say(f"  effect   {when}")
    is_locked = held.sources[field.name] == "environment"
    say(f"  variable {field.variable}{' (it is set, and locks the setting)' if is_locked else ''}")
    if option := OPTIONS.get(field.name):
        say(f"  option   {option} of `parley serve`, which wins over the variable")
    if reason := held.ignored.get(field.name, ""):
        say(f"  ignored  the stored value cannot be used: {reason}")


async def _stored(name: str) -> "Stored | None":
    from app.database import engine
    from app.tables.setting import Setting

    if engine.pool is None:
        return None
    return next((row for row in await Setting.list_all() if row.name == name), None)


def _source(field: Field, stored: "Stored | None") -> str:
    source = effective().sources[field.name]
    if source != "database" or stored is None:
        return source
    return f"database, set by {stored.changed_by or 'the command line'} at {stored.changed_at:%Y-%m-%d %H:%M} UTC"


def _shown(field: Field) -> str:
    """A value fit for a terminal: on one line, and no secret."""
    text = to_text(getattr(effective().values, field.name))
    if field.is_secret:
        return "(set, not shown)" if text else ""
    return text.replace("\n", "\\n")
