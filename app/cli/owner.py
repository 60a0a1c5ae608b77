"""`parley owner`: make the owner, give them a new name, address and password, or print the address that creates one."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.opening import CannotStart, begin, opened, prepare_schema, run, say
from app.settings import Settings

if TYPE_CHECKING:
    from app.tables.user import User


def owner(
    email: Annotated[str | None, typer.Option(help="The owner's address, asked for unless given.")] = None,
    name: Annotated[str | None, typer.Option(help="The owner's name, asked for unless given.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input, not from the terminal.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Print the address, with its token, that creates the owner in a browser.")
    ] = False,
) -> None:
    """Make the owner of a new instance, or let one in again who lost the password."""
    settings = begin()
    if link:
        run(_with_database(settings, lambda: _say_link(settings)))
    else:
        run(_with_database(settings, lambda: _make_or_reset(email, name, password_stdin=password_stdin)))


async def owner_link(settings: Settings, address: str) -> str:
    """Where the owner is created, with the token that only this console knows; '' once there is an owner."""
    from app.controllers.first_run import first_run_token
    from app.tables.user import User

    if await User.has_owner():
        return ""
    return f"{(settings.public_url or address).rstrip('/')}/first-run?token={first_run_token()}"


async def _with_database(settings: Settings, act: Callable[[], Awaitable[None]]) -> None:
    from app import database

    async with opened(settings, "either") as url:
        await prepare_schema(url, may_migrate=not settings.database_url)
        await database.open_pool(url, size=4, name="parley owner")
        try:
            await act()
        finally:
            await database.close_pool()


async def _say_link(settings: Settings) -> None:
    """With the port that is set: one that was chosen with --port is not known here."""
    from app.instance import holding

    await holding.take()  # the public URL may be stored
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  not listened on
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    if not (link := await owner_link(settings, address)):
        raise CannotStart("This instance has an owner. `parley owner` gives them a new password.")
    say(f"Create the owner account: {link}")


async def _make_or_reset(email: str | None, name: str | None, *, password_stdin: bool) -> None:
    from app.database import transaction
    from app.errors import Invalid
    from app.secrets import hash_password
    from app.tables.session import Session
    from app.tables.user import User

    found = next((user for user in await User.list_all() if user.is_owner), None)
    name = name or _ask("Name", found.name if found else None)
    email = (email or _ask("Email", found.email if found else None)).lower()
    password = _checked(name, email, _read_password(from_stdin=password_stdin))
    password_hash = await hash_password(password)
    try:
        async with transaction():
            await User.lock_owners()
            if found is None:
                await User.add(name=name, email=email, password_hash=password_hash, is_owner=True)
            else:
                await _reset(found, name=name, email=email, password_hash=password_hash)
                await Session.end_all(found.id)
    except Invalid as error:
        raise CannotStart(error.sentence) from error
    say(f"{name} <{email}> is the owner." if found is None else f"{name} <{email}> can sign in with the new password.")


async def _reset(found: "User", *, name: str, email: str, password_hash: str) -> None:
    from app.errors import Invalid
    from app.tables.user import User

    other = await User.find_by_email(email)
    if other is not None and other.id != found.id:
        raise Invalid("Somebody else uses this address already.", field="email")
    await found.change(name=name, email=email, password_hash=password_hash, is_active=True)


def _ask(what: str, present: str | None) -> str:
    if not sys.stdin.isatty():
        raise CannotStart(f"Nobody can be asked here: give --{what.lower()}, and the password with --password-stdin.")
    answer: str = typer.prompt(what, default=present)
    return answer.strip()


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _checked(name: str, email: str, password: str) -> str:
    """The password as it is stored. The rules are those of the form in the browser. Raises `CannotStart`."""
    import msgspec

    from app.controllers import forms

    rules = {"name": (forms.Name, name), "email": (forms.Email, email), "password": (forms.NewPassword, password)}
    sentences = {
        "name": "The name must have 1 to 100 characters.",
        "email": f"{email!r} is no email address.",
        "password": f"The password must have at least {forms.LEAST_PASSWORD_CHARS} characters.",
    }
    for field, (rule, value) in rules.items():
        try:
            msgspec.convert(value, rule)
        except msgspec.ValidationError as error:
            raise CannotStart(sentences[field]) from error
    if fault := forms.password_fault(password, email=email):
        raise CannotStart(fault)
    return forms.normalised(password)
