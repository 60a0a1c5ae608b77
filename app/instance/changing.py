"""Changing settings while Parley runs: everything is looked at before anything is stored."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog

from app.instance import holding
from app.instance.rules import faults_of
from app.settings import FIELDS, effective
from app.settings.values import from_text, sentence_of
from app.tables.setting import Setting
from app.words import gettext as _

log = structlog.get_logger()


class Change(msgspec.Struct, frozen=True):
    """What is wanted, looked at: nothing may be stored while there is a fault. `faults`: setting → a sentence."""

    chosen: Mapping[str, Any]
    taken_back: tuple[str, ...] = ()
    faults: Mapping[str, str] = {}


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


async def check(change: Change, *, with_model: bool = True) -> Change:
    """The same with what is wrong with it as a whole. Without `with_model` the default model may be one that comes later."""
    held = effective()
    after = dict(change.chosen) | {name: FIELDS[name].default for name in change.taken_back}
    changed = [name for name, value in after.items() if getattr(held.values, name) != value]
    together = await faults_of(msgspec.structs.replace(held.values, **after), changed, with_model=with_model)
    return msgspec.structs.replace(change, faults=together | dict(change.faults))


def fixed_fault(name: str) -> str:
    """Why this one cannot be set while Parley runs; '' if it can."""
    field = FIELDS[name]
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
    """Store a change that has no fault. It holds in this process when this returns, and everywhere a moment later."""
    await Setting.change(chosen=change.chosen, taken_back=list(change.taken_back), by=by)
    note(change.chosen, change.taken_back)
    await holding.take()


def note(chosen: Iterable[str], taken_back: Iterable[str] = ()) -> None:
    """Put into the log which settings were changed; never their values."""
    log.info("settings_changed", chosen=sorted(chosen), taken_back=sorted(taken_back))
