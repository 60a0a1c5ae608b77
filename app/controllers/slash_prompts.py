"""Slash-prompts: texts that are called up in the composer; one's own, and the owner's that are shared."""

import re
import uuid
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath, FromQuery

from app.chat.slash import KINDS, read_slash_text
from app.chat.slash_prompts import (
    NewSlashPrompt,
    add_slash_prompt,
    change_slash_prompt,
    delete_slash_prompt,
    list_slash_prompts,
    my_slash_prompt,
    usable_slash_prompt,
)
from app.chat.threads import my_thread
from app.controllers.forms import Fields, Filled, read_form, wrong
from app.controllers.guard import CurrentUser
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.presets import check_sharing
from app.controllers.visit import visit_of
from app.errors import Invalid
from app.parts import clean
from app.tables.slash_prompt import SlashPrompt
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

Asked = Request[Any, Any, Any]
Answer = Response[Any]

_NAME = re.compile(r"[^\W_][\w-]{0,39}")


class SlashPromptForm(msgspec.Struct):
    """The form. What the name and the text must be like is checked with what they mean."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=41)]
    text: Annotated[str, msgspec.Meta(min_length=1)]
    description: Annotated[str, msgspec.Meta(max_length=200)] = ""
    is_shared: bool = False


@get("/slash-prompts")
async def index(request: Asked, current_user: CurrentUser, thread: FromQuery[uuid.UUID | None] = None) -> Answer:
    """Those that may be used, for the thread that is open or a new one: a page, or the composer's menu."""
    if thread is not None:
        await my_thread(current_user.id, thread)
    context = {"prompts": await list_slash_prompts(current_user.id), "thread_id": thread}
    if visit_of(request).is_partial:
        return page(request, "slash_prompts/_menu.html", context)
    return page(request, "slash_prompts/index.html", await with_sidebar(current_user, context))


@get("/slash-prompts/new")
async def new(request: Asked, current_user: CurrentUser) -> Answer:
    """The empty form."""
    return await _form_page(request, current_user, None, Fields())


@post("/slash-prompts", status_code=303)
async def create(request: Asked, current_user: CurrentUser) -> Answer:
    """A new slash-prompt."""
    filled = _read(request, current_user)
    if (values := filled.values) is not None:
        try:
            prompt_id = await add_slash_prompt(current_user.id, _new(values))
        except Invalid as error:
            filled = wrong(filled, "name", error.sentence)
        else:
            log.info("slash_prompt_added", slash_prompt_id=str(prompt_id), is_shared=values.is_shared)
            return redirect(request, "/slash-prompts", flash="saved")
    return await _form_page(request, current_user, None, filled.typed, filled.errors)


@get("/slash-prompts/{slash_prompt_id:uuid}")
async def show(request: Asked, current_user: CurrentUser, slash_prompt_id: FromPath[uuid.UUID]) -> Answer:
    """The form of an own one; what a shared one says."""
    prompt = await usable_slash_prompt(current_user.id, slash_prompt_id)
    if prompt.user != current_user.id:
        return page(request, "slash_prompts/shared.html", await with_sidebar(current_user, {"prompt": prompt}))
    form = Fields(name=prompt.name, description=prompt.description, text=prompt.text)
    form["is_shared"] = "true" if prompt.is_shared else ""
    return await _form_page(request, current_user, prompt, form)


@put("/slash-prompts/{slash_prompt_id:uuid}")
async def update(request: Asked, current_user: CurrentUser, slash_prompt_id: FromPath[uuid.UUID]) -> Answer:
    """Writes an own one anew."""
    prompt = await my_slash_prompt(current_user.id, slash_prompt_id)
    filled = _read(request, current_user)
    if (values := filled.values) is not None:
        try:
            await change_slash_prompt(prompt, _new(values))
        except Invalid as error:
            filled = wrong(filled, "name", error.sentence)
        else:
            log.info("slash_prompt_changed", slash_prompt_id=str(prompt.id), is_shared=values.is_shared)
            return redirect(request, "/slash-prompts", flash="saved")
    return await _form_page(request, current_user, prompt, filled.typed, filled.errors)


@get("/slash-prompts/{slash_prompt_id:uuid}/deletion")
async def ask_deletion(request: Asked, current_user: CurrentUser, slash_prompt_id: FromPath[uuid.UUID]) -> Answer:
    """Asks before one is deleted."""
    context = {"prompt": await my_slash_prompt(current_user.id, slash_prompt_id)}
    return page(request, "slash_prompts/deletion.html", await with_sidebar(current_user, context))


@delete("/slash-prompts/{slash_prompt_id:uuid}", status_code=303)
async def destroy(request: Asked, current_user: CurrentUser, slash_prompt_id: FromPath[uuid.UUID]) -> Answer:
    """Deletes an own one."""
    prompt = await my_slash_prompt(current_user.id, slash_prompt_id)
    await delete_slash_prompt(prompt)
    log.info("slash_prompt_deleted", slash_prompt_id=str(prompt.id))
    return redirect(request, "/slash-prompts", flash="deleted")


def _read(request: Asked, user: User) -> Filled[SlashPromptForm]:
    filled = read_form(request, SlashPromptForm)
    check_sharing(user, bool(filled.typed["is_shared"]))
    if filled.typed["name"] and not _NAME.fullmatch(_plain_name(filled.typed["name"])):
        filled = wrong(filled, "name", _("Use letters, digits, - and _, at most 40 and without spaces."))
    try:
        read_slash_text(filled.typed["text"])
    except Invalid as error:
        filled = wrong(filled, "text", error.sentence)
    return filled


def _new(values: SlashPromptForm) -> NewSlashPrompt:
    text = clean(values.text.replace("\r\n", "\n"))
    description = " ".join(clean(values.description).split())
    return NewSlashPrompt(_plain_name(values.name), description, text, values.is_shared)


def _plain_name(name: str) -> str:
    """A name as it is stored: small letters, and without the slash that people type before it."""
    return name.strip().removeprefix("/").lower()


async def _form_page(
    request: Asked, user: User, prompt: SlashPrompt | None, form: Fields, errors: Fields | None = None
) -> Answer:
    context = {"prompt": prompt, "form": form, "errors": errors or Fields(), "kinds": KINDS}
    found = await with_sidebar(user, context)
    return page(request, "slash_prompts/show.html", found, status_code=422 if errors else 200)


ROUTES = [index, new, create, show, update, ask_deletion, destroy]
