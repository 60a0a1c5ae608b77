"""The finished text of a slash-prompt: its variables as a form, and what becomes of them in the composer."""

import uuid
from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery

from app.chat.slash import SlashText, fill, read_slash_text
from app.chat.slash_prompts import usable_slash_prompt
from app.chat.threads import my_thread, save_draft
from app.controllers.composer import fields
from app.controllers.forms import Fields
from app.controllers.guard import CurrentUser
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.settings import settings
from app.tables.slash_prompt import SlashPrompt
from app.tables.thread import Thread
from app.tables.user import User
from app.words import gettext as _

Asked = Request[Any, Any, Any]
Answer = Response[Any]

#: Before the name of a variable, so that none is called like another field of the form.
OURS = "value-"
#: What is wrong with all of them together; no variable can have this name.
WHOLE = ""


@get("/slash-prompts/{slash_prompt_id:uuid}/text")
async def show(
    request: Asked,
    current_user: CurrentUser,
    slash_prompt_id: FromPath[uuid.UUID],
    thread: FromQuery[uuid.UUID | None] = None,
) -> Answer:
    """A field for each variable; in an open page, the text itself if it has none."""
    target = await _thread(current_user, str(thread or ""))
    prompt = await usable_slash_prompt(current_user.id, slash_prompt_id)
    text = read_slash_text(prompt.text)
    if visit_of(request).is_partial and not text.variables:
        return page(request, "slash_prompts/_finished.html", {"finished": prompt.text})
    typed = Fields({variable.name: variable.default for variable in text.variables})
    return await _page(request, current_user, prompt, text, target, typed, Fields())


@post("/slash-prompts/{slash_prompt_id:uuid}/text", status_code=200)
async def create(request: Asked, current_user: CurrentUser, slash_prompt_id: FromPath[uuid.UUID]) -> Answer:
    """The finished text, into the open composer; without a script, as the draft of the thread or of a new one."""
    prompt = await usable_slash_prompt(current_user.id, slash_prompt_id)
    text = read_slash_text(prompt.text)
    form = fields(request, {"thread", *(OURS + variable.name for variable in text.variables)})
    target = await _thread(current_user, form.pop("thread", ""))
    typed = Fields({name.removeprefix(OURS): value for name, value in form.items()})
    finished, errors = fill(text, typed)
    is_partial = visit_of(request).is_partial
    draft = finished if is_partial else _before(finished, target.draft if target else current_user.draft)
    if len(draft) > settings.max_message_chars:
        errors[WHOLE] = _("With this your message would have more characters than can be sent.")
    if errors:
        return await _page(request, current_user, prompt, text, target, typed, Fields(errors))
    if is_partial:
        return page(request, "slash_prompts/_finished.html", {"finished": finished})
    await save_draft(current_user.id, target, draft)
    return redirect(request, f"/threads/{target.id}" if target else "/")


async def _thread(user: User, thread_id: str) -> Thread | None:
    """The thread that the text is for; None for a new one. Raises `NotFound`, for what is no id too."""
    if not thread_id:
        return None
    try:
        return await my_thread(user.id, uuid.UUID(thread_id))
    except ValueError:
        return await my_thread(user.id, uuid.UUID(int=0))


def _before(text: str, draft: str) -> str:
    """The text, with what was typed and not sent kept behind it."""
    return f"{text}\n\n{draft}" if draft.strip() else text


async def _page(
    request: Asked,
    user: User,
    prompt: SlashPrompt,
    text: SlashText,
    thread: Thread | None,
    typed: Fields,
    errors: Fields,
) -> Answer:
    context: dict[str, Any] = {"prompt": prompt, "variables": text.variables, "prefix": OURS, "typed": typed}
    context |= {"errors": errors, "thread_id": thread.id if thread else None}
    if not visit_of(request).is_partial:
        context = await with_sidebar(user, context)
    return page(request, "slash_prompts/text.html", context, status_code=422 if errors else 200)


ROUTES = [show, create]
