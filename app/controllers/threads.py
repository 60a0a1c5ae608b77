"""Threads: the empty one, a thread's page, its stream of events, and what can be changed of it."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.chat import catalog, facts, options
from app.chat.beginning import choose_model, find_beginning
from app.chat.cursor import Cursor
from app.chat.drawing import cursor_of, draw
from app.chat.missing_model import find_missing
from app.chat.models import count_hidden
from app.chat.new_message import NewMessage, check_text
from app.chat.presets import list_presets
from app.chat.tasks import can_be_kept
from app.chat.threads import choose_leaf, delete_thread, is_busy, my_message, my_thread, save_options
from app.chat.threads import save_draft as save_draft_of
from app.chat.title import store_title
from app.chat.tree import find_end, list_window
from app.chat.turn import start_thread
from app.chat.warm_up import warm_up
from app.chat.watch import Watch
from app.controllers.composer import field, fields, id_field
from app.controllers.errors import headers_of
from app.controllers.event_stream import EventStream
from app.controllers.guard import CurrentSession, CurrentUser
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import visit_of
from app.database import new_id
from app.errors import AppError, Invalid
from app.live import Reader
from app.parts import clean
from app.settings import settings
from app.tables.thread import Thread
from app.tables.user import User
from app.words import gettext as _

Asked = Request[Any, Any, Any]
Answer = Response[Any]
Headers = Mapping[str, str]


@get("/")
async def new(
    request: Asked,
    current_user: CurrentUser,
    preset: FromQuery[uuid.UUID | None] = None,
    model: FromQuery[uuid.UUID | None] = None,
) -> Answer:
    """An empty thread: a greeting and the composer, with a model or filled in from a preset if one is chosen."""
    return await _new_page(request, current_user, draft=current_user.draft, preset=preset, model=model)


@post("/threads", status_code=303)
async def create(request: Asked, current_user: CurrentUser) -> Answer:
    """A new thread with its first question."""
    form = fields(request)
    chosen, errors = options.read_options(form)
    try:
        message = read_message(request)
        if errors:
            raise Invalid(
                _("Some options cannot be used. They are marked below, and nothing was sent."), field="options"
            )
        stored = msgspec.json.encode(chosen.parameters).decode()
        turn = await start_thread(current_user.id, message, options=stored, system_prompt=chosen.system_prompt)
    except AppError as error:
        errors |= beside(error)
        text = form.get("text", "")
        return await _new_page(
            request,
            current_user,
            draft=text if text.strip() else "",
            form=form,
            errors=errors,
            status_code=error.status_code,
            headers=headers_of(error),
        )
    return redirect(request, f"/threads/{turn.thread}")


@get("/threads/{thread_id:uuid}")
async def show(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """A thread, opened at its end."""
    thread = await my_thread(current_user.id, thread_id)
    return await show_thread(request, current_user, thread)


@get("/threads/{thread_id:uuid}/events")
async def events(
    request: Asked,
    current_user: CurrentUser,
    current_session: CurrentSession,
    live: NamedDependency[Reader],
    thread_id: FromPath[uuid.UUID],
    at: FromQuery[str] = "",
) -> EventStream:
    """The event stream of an open page. `Last-Event-ID` says where it was cut; `at` where the page was drawn."""
    thread = await my_thread(current_user.id, thread_id)
    cursor = Cursor.parse(request.headers.get("last-event-id") or at)
    watch = Watch(live, thread.id, current_user.id, current_session.id, cursor)
    return EventStream(watch.lines(), current_user.id)


@patch("/threads/{thread_id:uuid}")
async def rename(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """A new title, from the sidebar or the thread's header."""
    thread = await my_thread(current_user.id, thread_id)
    title = " ".join(clean(field(request, "title")).split())
    if not title or len(title) > 200:
        raise Invalid(_("A title has between 1 and 200 characters."), field="title")
    await store_title(thread.id, title)
    thread.title, thread.is_busy = title, await is_busy(thread)
    if not visit_of(request).is_partial:
        return redirect(request, f"/threads/{thread.id}")
    return page(request, "threads/_item.html", {"thread": thread})


@get("/threads/{thread_id:uuid}/deletion")
async def ask_deletion(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """Asks before a thread is deleted."""
    thread = await my_thread(current_user.id, thread_id)
    return page(request, "threads/deletion.html", await with_sidebar(current_user, {"thread": thread}))


@delete("/threads/{thread_id:uuid}", status_code=303)
async def destroy(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """Deletes a thread with all that is in it."""
    await delete_thread(await my_thread(current_user.id, thread_id))
    if visit_of(request).is_partial:
        return Response(b"", status_code=204)
    return redirect(request, "/")


@put("/threads/{thread_id:uuid}/draft", status_code=204)
async def save_draft(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> None:
    """Keeps what was typed and not sent yet."""
    thread = await my_thread(current_user.id, thread_id)
    await save_draft_of(current_user.id, thread, draft_of(request))


@put("/draft", status_code=204)
async def save_new_draft(request: Asked, current_user: CurrentUser) -> None:
    """Keeps what was typed on the page of a new thread."""
    request_id = id_field(request, "request_id") if field(request, "request_id") else None
    await save_draft_of(current_user.id, None, draft_of(request), request_id=request_id)


@put("/threads/{thread_id:uuid}/options")
async def update_options(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """The thread's system prompt and parameters."""
    thread = await my_thread(current_user.id, thread_id)
    chosen, errors = options.read_options(fields(request))
    if not errors:
        await save_options(thread, chosen)
        if not visit_of(request).is_partial:
            return redirect(request, f"/threads/{thread.id}", flash="saved")
    composer = await composer_context(current_user, thread)
    context = options_context(thread, chosen if not errors else fields(request), errors, composer["model"])
    context["flash"] = None if errors else _("Saved.")
    if not visit_of(request).is_partial:
        del context["thread"]
        return await show_thread(request, current_user, thread, status_code=422, **context)
    return page(request, "threads/_options.html", context, status_code=422 if errors else 200)


@post("/threads/{thread_id:uuid}/leaf", status_code=200)
async def show_branch(request: Asked, current_user: CurrentUser, thread_id: FromPath[uuid.UUID]) -> Answer:
    """Shows another answer, and what followed it."""
    thread = await my_thread(current_user.id, thread_id)
    message, owner = await my_message(current_user.id, id_field(request, "message"))
    if owner.id != thread.id:
        raise Invalid(_("That message belongs to another thread."), field="message")
    await choose_leaf(thread, await find_end(message.id))
    if not visit_of(request).is_partial:
        return redirect(request, f"/threads/{thread.id}#message-{message.id}")
    thread = await my_thread(current_user.id, thread_id)
    messages, older = await list_window(thread.leaf)
    context = {"thread": thread, "messages": await draw(messages, current_user.id), "older": older}
    return page(request, "messages/_window.html", context)


async def show_thread(
    request: Asked,
    user: User,
    thread: Thread,
    *,
    status_code: int = 200,
    headers: Headers | None = None,
    **context: Any,
) -> Answer:
    """The whole page of a thread. `context` wins: errors, a draft that was not accepted."""
    messages, older = await list_window(thread.leaf)
    drawn = await draw(messages, user.id)
    known = {
        "thread": thread,
        "messages": drawn,
        "older": older,
        "cursor": cursor_of(thread, drawn),
        **(composer := await composer_context(user, thread)),
        **options_context(thread, options.of_thread(thread.system_prompt, thread.options), {}, composer["model"]),
    }
    await warm_up(composer["model"], user=user.id)
    found = await with_sidebar(user, known | context)
    return page(request, "threads/show.html", found, status_code=status_code, headers=headers)


async def composer_context(
    user: User, thread: Thread | None, *, chosen: Any = None, models: Any = None
) -> dict[str, Any]:
    """What the composer is drawn from: the models to pick from, the one in use, the draft, a fresh request id."""
    models = models or await catalog.list_models(user.id)
    models = [dict(row) | {"is_kept": can_be_kept(row["kind"])} for row in models]
    offered = {str(model["id"]) for model in models}
    misses_own = thread is not None and not offered & {str(chosen), str(thread.model)}
    model = choose_model(user, thread, models, chosen)
    return {
        "missing": await find_missing(thread.id, user.id) if thread and misses_own else None,
        "models": models,
        "hidden_count": await count_hidden() if user.is_owner and not models else 0,
        "model": model,
        "untaken": {each["id"]: facts.not_taken(each) for each in models},
        "draft": thread.draft if thread else "",
        "request_id": new_id(),
        "limit": settings.max_message_chars,
        "errors": {},
    }


def options_context(thread: Thread | None, chosen: Any, errors: dict[str, str], model: Any = None) -> dict[str, Any]:
    """What the options panel is drawn from; `not_taken` names what the thread's model does not take."""
    held = chosen if isinstance(chosen, options.Options) else options.read_options(chosen or {})[0]
    defaults = options.defaults(settings)
    return {
        "thread": thread,
        "options": chosen,
        "defaults": defaults,
        "changed": options.changed(held, defaults),
        "errors": errors,
        "not_taken": facts.not_taken(model) if model else (),
        "notes": facts.notes(held.parameters, model) if model else {},
    }


def read_message(request: Asked) -> NewMessage:
    """The composer's form. Raises `Invalid`."""
    text = check_text(field(request, "text"), most_chars=settings.max_message_chars)
    model = field(request, "model")
    if not model:
        raise Invalid(_("Choose a model first."), field="model")
    return NewMessage(text, id_field(request, "model"), id_field(request, "request_id"))


def beside(error: AppError) -> dict[str, str]:
    """Where a refusal stands in the composer: beside its field, or what was written."""
    return {error.field if error.field in ("model", "options") else "text": error.sentence}


def draft_of(request: Asked) -> str:
    """What was typed, as far as it could be sent."""
    return clean(field(request, "text"))[: settings.max_message_chars]


async def _new_page(
    request: Asked,
    user: User,
    *,
    draft: str,
    form: Any = None,
    preset: uuid.UUID | None = None,
    model: uuid.UUID | None = None,
    errors: dict[str, str] | None = None,
    status_code: int = 200,
    headers: Headers | None = None,
) -> Answer:
    models = await catalog.list_models(user.id)
    begun = await find_beginning(user, preset, models)
    chosen = (form or {}).get("model") or model or begun.model
    context = await composer_context(user, None, chosen=chosen, models=models)
    await warm_up(context["model"], user=user.id)
    context |= options_context(None, form or begun.options, {}, context["model"])
    context |= {"draft": draft, "errors": errors or {}, "begun": begun, "presets": await list_presets(user.id)}
    found = await with_sidebar(user, context)
    return page(request, "threads/new.html", found, status_code=status_code, headers=headers)


ROUTES = [
    new, create, show, events, rename, ask_deletion, destroy, save_draft, save_new_draft, update_options, show_branch,
]  # fmt: skip
