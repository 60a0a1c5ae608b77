"""Settings of the instance, for the owner: what holds, why, and what else it could be."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, get, post, put
from litestar.params import FromPath, FromQuery

from app.chat.access import is_offered
from app.controllers.border import is_ours
from app.controllers.confirmation import Confirmed
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import page, redirect, with_sidebar
from app.controllers.visit import Connection, visit_of
from app.database import fetch
from app.errors import Malformed, NotFound
from app.instance import changing, words
from app.parts import clean
from app.settings import FIELDS, Field, Source, effective
from app.settings.values import to_text
from app.tables.setting import Setting, Stored
from app.tables.user import User
from app.words import gettext as _

#: The names of so many models are offered while one is typed; the others are typed.
MOST_OFFERED = 200

AnyRequest = Request[Any, Any, Any]


class Shown(msgspec.Struct, frozen=True):
    """One setting on its page. `typed` stands in the field; `otherwise` is what holds while the field is empty.

    `fixed` says why it cannot be set here, if it cannot; `stored` is who set it and when; `ignored` why that does not hold.
    """

    field: Field
    label: str
    source: Source
    typed: str
    otherwise: str
    choices: list[tuple[str, str]]
    fixed: str
    is_set: bool
    stored: Stored | None = None
    ignored: str = ""

    @property
    def changed_at(self) -> datetime | None:
        """When it was set here."""
        return self.stored.changed_at if self.stored else None


async def _is_sensitive(connection: Connection) -> bool:
    """Whether a form that has no fault changes a setting that matters for security."""
    change = await changing.check_texts(_texts(connection, _known(connection.path_params["group"])))
    return not change.faults and any(FIELDS[name].is_sensitive for name in changing.changed_by(change))


@get("/settings", guards=[owner_only])
async def index(request: AnyRequest) -> Response[Any]:
    """The first page of them."""
    return redirect(request, "/settings/general")


@get("/settings/{group:str}", guards=[owner_only])
async def show(request: AnyRequest, current_user: CurrentUser, group: FromPath[str]) -> Response[Any]:
    """One page of settings."""
    return await _page(request, current_user, _known(group))


@put("/settings/{group:str}", guards=[owner_only, Confirmed("settings", only_if=_is_sensitive)])
async def update(request: AnyRequest, current_user: CurrentUser, group: FromPath[str]) -> Response[Any]:
    """Sets what is filled in, takes back what is empty: all of it, or nothing if anything is wrong."""
    texts = _texts(request, _known(group))
    change = await changing.check_texts(texts)
    if errors := {**_lockout(request, change.chosen.get("public_url", "")), **change.faults}:
        return await _page(request, current_user, group, typed=texts, errors=errors, status_code=422)
    await changing.save(change, by=current_user.id)
    if not visit_of(request).is_partial:
        return redirect(request, f"/settings/{group}", flash="saved")
    return await _page(request, current_user, group, flash=_("Saved."))


@post("/settings/{group:str}/faults", guards=[owner_only], status_code=200)
async def show_fault(request: AnyRequest, group: FromPath[str], name: FromQuery[str]) -> Response[Any]:
    """What is wrong with one field of the form as it is now. Nothing is stored."""
    texts = _texts(request, _known(group))
    if name not in texts and name not in _secrets(group):
        raise Malformed(_("The form has fields that do not belong to it. Load the page again."))
    change = await changing.check_texts(texts)
    return page(request, "settings/_fault.html", {"name": name, "errors": change.faults})


def _known(group: str) -> str:
    if group not in words.groups():
        raise NotFound(_("There is no such page of settings."))
    return group


def _lockout(request: AnyRequest, public_url: str) -> dict[str, str]:
    """Refuses a public URL that would make this page unreachable under the address it was opened at."""
    host = visit_of(request).host
    if not public_url or is_ours(host, public_url):
        return {}
    sentence = _("You opened Parley at %(host)s, which would stop working. Open Parley at the new address first.")
    return {"public_url": sentence % {"host": host}}


def _texts(request: Connection, group: str) -> dict[str, str]:
    """What was typed for the settings of this page. A secret is never shown: left empty it stays as it is.

    Raises `Malformed` for what is no field of this page.
    """
    form = visit_of(request).form
    if form is None:
        raise Malformed(_("This address takes a form."))
    fields = {name: values for name, values in form.items() if name != "taken_back"}
    taken_back = form.get("taken_back", [])
    known = {name for name, field in FIELDS.items() if field.group == group}
    if not known.issuperset(fields) or any(len(values) != 1 for values in fields.values()):
        raise Malformed(_("The form has fields that do not belong to it. Load the page again."))
    if not _secrets(group).issuperset(taken_back):
        raise Malformed(_("The form has fields that do not belong to it. Load the page again."))
    texts = {name: clean(values[0]).replace("\r\n", "\n").strip() for name, values in fields.items()}
    texts |= {name: texts.get(name, "") for name in taken_back}
    return {name: text for name, text in texts.items() if text or name not in _secrets(group) or name in taken_back}


def _secrets(group: str) -> set[str]:
    return {name for name, field in FIELDS.items() if field.group == group and field.is_secret}


async def _page(
    request: AnyRequest,
    owner: User,
    group: str,
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    status_code: int = 200,
    **context: Any,
) -> Response[Any]:
    stored = {row.name: row for row in await Setting.list_all()}
    labels = words.labels()
    shown = [
        _shown(field, labels[name], stored.get(name), typed) for name, field in FIELDS.items() if field.group == group
    ]
    known = {
        "group": group,
        "groups": words.groups(),
        "shown": shown,
        "errors": dict(errors or {}),
        "models": await fetch(_MODELS, MOST_OFFERED) if group == "models" else [],
    } | context
    if visit_of(request).is_partial and request.method != "GET":
        return page(request, "settings/_form.html", known, status_code=status_code)
    return page(request, "settings/show.html", await with_sidebar(owner, known), status_code=status_code)


def _shown(field: Field, label: str, stored: Stored | None, typed: Mapping[str, str] | None) -> Shown:
    held = effective()
    source, text = held.sources[field.name], to_text(getattr(held.values, field.name))
    fixed = changing.fixed_fault(field.name)
    if field.is_secret:
        in_field = ""
    elif typed is not None and field.name in typed and not fixed:
        in_field = typed[field.name]
    else:
        in_field = text if fixed or source == "database" else ""
    return Shown(
        field=field,
        label=label,
        source=source,
        typed=in_field,
        otherwise=words.called(field.name, to_text(field.default)),
        choices=words.choices(field.name),
        fixed=fixed,
        is_set=bool(text),
        stored=stored if source == "database" else None,
        ignored=held.ignored.get(field.name, ""),
    )


_MODELS = f"""
SELECT p.name || '/' || m.name AS name FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE {is_offered()} AND p.is_enabled AND m.is_embedding IS NOT TRUE ORDER BY p.created_at, m.name LIMIT $1
"""

ROUTES = [index, show, update, show_fault]
