"""Presets: named starts for threads, one's own; those of the owner may be shared with everybody."""

import uuid
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath, FromQuery

from app.chat import catalog, options
from app.chat.presets import (
    NewPreset,
    add_preset,
    change_preset,
    delete_preset,
    list_presets,
    my_preset,
    options_of,
    usable_preset,
)
from app.chat.threads import my_thread
from app.controllers.forms import Fields, Filled, Name, read_form, wrong
from app.controllers.guard import CurrentUser
from app.controllers.pages import page, redirect, with_sidebar
from app.errors import Forbidden
from app.settings import settings
from app.tables.preset import Preset
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

Asked = Request[Any, Any, Any]
Answer = Response[Any]


class PresetForm(msgspec.Struct):
    """The form. Options come as they are typed: `chat/options.py` reads them."""

    name: Name
    model: uuid.UUID | None = None
    is_shared: bool = False
    system_prompt: str = ""
    temperature: str = ""
    top_p: str = ""
    top_k: str = ""
    repeat_penalty: str = ""
    max_tokens: str = ""
    context_window: str = ""
    stop: str = ""
    reasoning_effort: str = ""


@get("/presets")
async def index(request: Asked, current_user: CurrentUser) -> Answer:
    """One's own presets, and those that the owner shares."""
    context = {"presets": await list_presets(current_user.id)}
    return page(request, "presets/index.html", await with_sidebar(current_user, context))


@get("/presets/new")
async def new(request: Asked, current_user: CurrentUser, thread: FromQuery[uuid.UUID | None] = None) -> Answer:
    """The form, empty or filled in from a thread."""
    if thread is None:
        return await _form_page(request, current_user, None, Fields(), options.Options())
    source = await my_thread(current_user.id, thread)
    form = Fields(model=str(source.model or ""), name=source.title[:100])
    return await _form_page(request, current_user, None, form, options.of_thread(source.system_prompt, source.options))


@post("/presets", status_code=303)
async def create(request: Asked, current_user: CurrentUser) -> Answer:
    """A new preset."""
    filled, found = await _read(request, current_user)
    if found is None:
        return await _form_page(request, current_user, None, filled.typed, filled.typed, filled.errors)
    preset_id = await add_preset(current_user.id, found)
    log.info("preset_added", preset_id=str(preset_id), is_shared=found.is_shared)
    return redirect(request, "/presets", flash="saved")


@get("/presets/{preset_id:uuid}")
async def show(request: Asked, current_user: CurrentUser, preset_id: FromPath[uuid.UUID]) -> Answer:
    """The form of an own preset; what a shared one holds."""
    preset = await usable_preset(current_user.id, preset_id)
    held = options_of(preset)
    if preset.user != current_user.id:
        context = {"preset": preset, "held": [(name, value) for name, value in _set(held) if name != "system_prompt"]}
        return page(request, "presets/shared.html", await with_sidebar(current_user, context))
    form = Fields(name=preset.name, model=str(preset.model or ""), is_shared="true" if preset.is_shared else "")
    return await _form_page(request, current_user, preset, form, held)


@put("/presets/{preset_id:uuid}")
async def update(request: Asked, current_user: CurrentUser, preset_id: FromPath[uuid.UUID]) -> Answer:
    """Writes an own preset anew. Threads that it began keep what they copied."""
    preset = await my_preset(current_user.id, preset_id)
    filled, found = await _read(request, current_user)
    if found is None:
        return await _form_page(request, current_user, preset, filled.typed, filled.typed, filled.errors)
    await change_preset(preset, found)
    log.info("preset_changed", preset_id=str(preset.id), is_shared=found.is_shared)
    return redirect(request, "/presets", flash="saved")


@get("/presets/{preset_id:uuid}/deletion")
async def ask_deletion(request: Asked, current_user: CurrentUser, preset_id: FromPath[uuid.UUID]) -> Answer:
    """Asks before a preset is deleted."""
    context = {"preset": await my_preset(current_user.id, preset_id)}
    return page(request, "presets/deletion.html", await with_sidebar(current_user, context))


@delete("/presets/{preset_id:uuid}", status_code=303)
async def destroy(request: Asked, current_user: CurrentUser, preset_id: FromPath[uuid.UUID]) -> Answer:
    """Deletes an own preset."""
    preset = await my_preset(current_user.id, preset_id)
    await delete_preset(preset)
    log.info("preset_deleted", preset_id=str(preset.id))
    return redirect(request, "/presets", flash="deleted")


def check_sharing(user: User, is_shared: bool) -> None:
    """Only what belongs to an owner is shared with everybody. Raises `Forbidden`."""
    if is_shared and not user.is_owner:
        raise Forbidden(_("Only the owner of this instance may share something with everybody."))


async def _read(request: Asked, user: User) -> tuple[Filled[PresetForm], NewPreset | None]:
    """The form as it came, and the preset that it describes if nothing in it is wrong."""
    filled = read_form(request, PresetForm)
    check_sharing(user, bool(filled.typed["is_shared"]))
    chosen, errors = options.read_options(filled.typed)
    for name, sentence in errors.items():
        filled = wrong(filled, name, sentence)
    if (values := filled.values) is None:
        return filled, None
    models = {model["id"]: model["label"] for model in await catalog.list_models(user.id)}
    if values.model is not None and values.model not in models:
        return wrong(filled, "model", _("This model is not available any more. Choose another one.")), None
    label = models[values.model] if values.model else ""
    return filled, NewPreset(values.name, values.model, label, chosen, values.is_shared)


async def _form_page(
    request: Asked, user: User, preset: Preset | None, form: Fields, chosen: Any, errors: Fields | None = None
) -> Answer:
    models = await catalog.list_models(user.id)
    is_gone = preset is not None and preset.model_name and not any(m["id"] == preset.model for m in models)
    context = {
        "preset": preset,
        "form": form,
        "options": chosen,
        "defaults": options.defaults(settings),
        "models": models,
        "gone": preset.model_name if preset is not None and is_gone else "",
        "errors": errors or Fields(),
    }
    found = await with_sidebar(user, context)
    return page(request, "presets/show.html", found, status_code=422 if errors else 200)


def _set(held: options.Options) -> list[tuple[str, Any]]:
    """What is set of the options, by name."""
    unset = options.Options()
    names = options.Options.__struct_fields__
    return [(name, getattr(held, name)) for name in names if getattr(held, name) != getattr(unset, name)]


ROUTES = [index, new, create, show, update, ask_deletion, destroy]
