"""Changing settings while Parley runs: everything is looked at before anything is stored."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from app.database import transaction
from app.errors import Conflict
from app.instance import holding
from app.instance.rules import faults_of
from app.origins import origin_of
from app.settings import FIELDS, OPTIONS, Effective, effective, over_stored
from app.settings.values import from_text, sentence_of
from app.tables.setting import Setting, Stored
from app.words import gettext as _

log = structlog.get_logger()


class Change(msgspec.Struct, frozen=True):
    """What is wanted, looked at: nothing may be stored while there is a fault. `faults`: setting → a sentence.

    `origins`: what secrets among the chosen ones are for, where it is not the address that holds after the change.
    """

    chosen: Mapping[str, Any]
    taken_back: tuple[str, ...] = ()
    faults: Mapping[str, str] = {}
    origins: Mapping[str, str] = {}


async def check_texts(texts: Mapping[str, str]) -> Change:
    """What was typed for some settings; '' takes back what was set."""
    chosen: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, text in texts.items():
        if fault := fixed_fault(name):
            faults[name] = fault
        elif text:
            try:
                chosen[name] = from_text(name, text)
            except ValueError:  # msgspec's own, too
                faults[name] = sentence_of(name, text)
    taken_back = tuple(name for name, text in texts.items() if not text and name not in faults)
    return await check(Change(chosen, taken_back, faults))


async def check(change: Change, held: Effective | None = None, *, with_model: bool = True) -> Change:
    """The same with what is wrong with it as a whole, over what holds now or `held`.

    Without `with_model` the default model may be one that comes later.
    """
    held = held or effective()
    together = await faults_of(
        msgspec.structs.replace(held.values, **_after(change)), changed_by(change, held), with_model=with_model
    )
    return msgspec.structs.replace(change, faults=together | dict(change.faults))


def changed_by(change: Change, held: Effective | None = None) -> list[str]:
    """The settings that get another value than they hold now, or than they have in `held`."""
    values = (held or effective()).values
    return [name for name, value in _after(change).items() if getattr(values, name) != value]


def fixed_fault(name: str) -> str:
    """Why this one cannot be set while Parley runs; '' if it can."""
    field = FIELDS[name]
    if effective().sources[name] == "command line":
        return _("Set on the command line with %(option)s; change it there and restart.") % {"option": OPTIONS[name]}
    if effective().is_locked(name):
        return _("Set by the environment variable %(variable)s; change it there and restart.") % {
            "variable": field.variable
        }
    if not field.is_live:
        return _("Read once, at the start: set the environment variable %(variable)s and restart.") % {
            "variable": field.variable
        }
    return ""


async def save(change: Change, *, by: uuid.UUID | None) -> None:
    """Store a change that has no fault. It holds in this process when this returns, and everywhere a moment later.

    Raises `Conflict` if somebody changed meanwhile what it does not go together with.
    """
    async with transaction():
        await store(change, by=by)
    await holding.take()


async def store(change: Change, *, by: uuid.UUID | None, with_model: bool = True) -> None:
    """The same as a part of a transaction: nothing holds yet. Raises `Conflict`."""
    await Setting.lock()
    rows = await Setting.list_all()
    await bind_secrets(rows)
    stored = {row.name: row.value for row in rows if not row.fault}
    chosen = {
        name: value
        for name, value in change.chosen.items()
        if name not in stored or stored[name] != value or FIELDS[name].address
    }
    new = msgspec.structs.replace(change, chosen=chosen)
    if (await check(new, over_stored(stored), with_model=with_model)).faults:
        raise Conflict(
            _("Somebody changed settings at this very moment, and these do not go with them. Load the page again.")
        )
    taken_back = [row.name for row in rows if row.name in change.taken_back]
    if chosen or taken_back:
        after = {name: value for name, value in stored.items() if name not in taken_back} | chosen
        origins = {name: origin for name, origin in _origins(chosen, after).items() if name not in change.origins}
        await Setting.change(chosen=chosen, taken_back=taken_back, by=by, origins={**change.origins, **origins})
        # Which ones; never their values.
        log.info("settings_changed", chosen=sorted(chosen), taken_back=taken_back)


def _after(change: Change) -> dict[str, Any]:
    return dict(change.chosen) | {name: FIELDS[name].default for name in change.taken_back}


async def bind_secrets(rows: list[Stored]) -> None:
    """Say of secrets that an older version stored which origin they are for: that of the address that held so far."""
    usable = [row for row in rows if not row.fault]
    for row in usable:
        if FIELDS[row.name].address and not row.origin:
            values = {row.name: row.value for row in usable}
            await Setting.bind(row, _origins({row.name: row.value}, values)[row.name])
            log.info("setting_bound", setting=row.name)


def _origins(chosen: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """The origins that the chosen secrets are for, by the addresses that hold over what is stored after the change."""
    values = over_stored({name: value for name, value in after.items() if FIELDS[name].is_live}).values
    return {name: origin_of(getattr(values, address)) for name in chosen if (address := FIELDS[name].address)}
