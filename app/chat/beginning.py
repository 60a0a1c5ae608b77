"""What a new thread begins with: its model and its options, from a preset or from what the person and the instance say."""

import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from app.chat import catalog
from app.chat.options import Options
from app.chat.presets import options_of, usable_preset
from app.database import fetch_row
from app.settings import settings
from app.tables.thread import Thread
from app.tables.user import User
from app.words import gettext as _


class Beginning(msgspec.Struct, frozen=True):
    """`model` is None if nobody chose one that is there. `gone` is a sentence about the model that a preset misses."""

    model: uuid.UUID | None
    preset: uuid.UUID | None = None
    options: Options | None = None
    gone: str = ""


async def find_beginning(user: User, preset_id: uuid.UUID | None, models: Sequence[asyncpg.Record]) -> Beginning:
    """Of these models and this preset (one's own, or shared by the owner). Raises `NotFound`.

    The preset's model comes first, then the person's default, else the one they used last, then the instance's default. A
    starter model that was used last does not stand in the way of a better one that was connected since.
    """
    chosen = await usable_preset(user.id, preset_id) if preset_id else None
    last = await _last_used(user.id)
    has_better = any(model["is_available"] and not model["is_bundled"] for model in models)
    if has_better and any(model["id"] == last and model["is_bundled"] for model in models):
        last = None
    wanted = (chosen.model if chosen else None, user.default_model or last, default_of_instance(models))
    there = {model["id"] for model in models}
    model = next((one for one in wanted if one in there), None)
    if chosen is None:
        return Beginning(model)
    is_gone = bool(chosen.model_name) and chosen.model not in there
    return Beginning(model, chosen.id, options_of(chosen), _gone(chosen.model_name, bool(models)) if is_gone else "")


def starters_last(models: Sequence[Any]) -> list[Any]:
    """The models in order, bundled ones last: the first is the default for a person who has chosen none."""
    return sorted(models, key=lambda model: bool(model["is_bundled"]))


def choose_model(user: User, thread: Thread | None, models: Sequence[Any], chosen: Any = None) -> Any | None:
    """What the composer shows of these models: the chosen one, else the thread's, else a default, else the first that answers."""
    by_id = {str(model["id"]): model for model in models}
    wanted = (chosen, thread.model if thread else None, user.default_model, default_of_instance(models))
    if model := next((by_id[str(one)] for one in wanted if str(one) in by_id), None):
        return model
    available = [model for model in starters_last(models) if model["is_available"]]
    return next((model for model in available if not model["is_silent"]), next(iter(available), None))


async def answering_model(user: User, thread: Thread) -> uuid.UUID | None:
    """The model that answers in a thread if the form names none: the one that its composer shows."""
    model = choose_model(user, thread, await catalog.list_models(user.id))
    return model["id"] if model else None


def default_of_instance(models: Sequence[Any]) -> uuid.UUID | None:
    """The model that the setting `default_model` names, as "name" or "provider/name"."""
    wanted = settings.default_model
    names = ((f"{model['provider_name']}/{model['name']}", model) for model in models)
    return next((model["id"] for name, model in names if wanted and wanted in (name, model["name"])), None)


async def _last_used(user_id: uuid.UUID) -> uuid.UUID | None:
    last = await fetch_row('SELECT model FROM thread WHERE "user" = $1 ORDER BY updated_at DESC LIMIT 1', user_id)
    return last["model"] if last else None


def _gone(name: str, has_other: bool) -> str:
    sentence = _("The model of this preset, %(model)s, is not available any more.") % {"model": name}
    return sentence + " " + _("Another one is chosen.") if has_other else sentence
