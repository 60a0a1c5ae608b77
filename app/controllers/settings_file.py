"""The file of an instance's settings, for the owner: downloading it, and taking one in."""

from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, get, post, put
from msgspec import Meta

from app.controllers.addresses import address_fault
from app.controllers.confirmation import Confirmed
from app.controllers.forms import LEAST_PASSWORD_CHARS, MOST_PASSWORD_CHARS, Fields, Filled, read_form, wrong
from app.controllers.guard import CurrentUser, owner_only
from app.controllers.pages import FLASH_COOKIE, page, with_sidebar
from app.controllers.visit import Connection, visit_of
from app.errors import Invalid, Unavailable
from app.instance import words
from app.instance.exporting import make_file
from app.instance.file import File, Secrets, decode, encode, unseal_secrets
from app.instance.importing import Outcome, check_file, take_in
from app.tables.user import User
from app.words import gettext as _

log = structlog.get_logger()

#: Tells the page that a download has begun: a browser that is given one stays where it is, and says so to no script.
DOWNLOADED_COOKIE = "parley-downloaded"

Passphrase = Annotated[str, Meta(max_length=MOST_PASSWORD_CHARS, extra={"is_secret": True})]
AnyRequest = Request[Any, Any, Any]


class Export(msgspec.Struct):
    """The form. No passphrase: without the secrets."""

    new_passphrase: Passphrase = ""


class Import(msgspec.Struct):
    """The form. What `file` holds stands in the visit's files; `text` is the same, pasted."""

    file: str = ""
    text: str = ""
    passphrase: Passphrase = ""


async def _has_passphrase(connection: Connection) -> bool:
    return any((visit_of(connection).form or {}).get("new_passphrase", []))


@get("/settings/file", guards=[owner_only])
async def show(request: AnyRequest, current_user: CurrentUser) -> Response[Any]:
    """Both forms."""
    return await _page(request, current_user)


@post("/settings/file", guards=[owner_only, Confirmed("export", only_if=_has_passphrase)], status_code=200)
async def download(request: AnyRequest, current_user: CurrentUser) -> Response[Any]:
    """The file. It is asked for by a form, because a passphrase has no place in an address."""
    filled = read_form(request, Export)
    if filled.values is not None and 0 < len(filled.values.new_passphrase) < LEAST_PASSWORD_CHARS:
        filled = wrong(filled, "new_passphrase", _("At least %(least)s characters.") % {"least": LEAST_PASSWORD_CHARS})
    if (values := filled.values) is None:
        return await _page(request, current_user, filled, status_code=422)
    try:
        file = await make_file(values.new_passphrase)
    except Unavailable as error:
        failed = wrong(filled, "new_passphrase", error.sentence)
        return await _page(request, current_user, failed, status_code=422)
    log.info("settings_exported", with_secrets=file.secrets is not None)
    name = f"parley-settings-{file.made_at:%Y-%m-%d}.json"
    visit = visit_of(request)
    visit.set_cookie(DOWNLOADED_COOKIE, "1", seconds=60, for_scripts=True)
    visit.set_cookie(FLASH_COOKIE, "exported", seconds=60)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(encode(file), headers=headers, media_type="application/json")


@put("/settings/file", guards=[owner_only, Confirmed("import")])
async def take(request: AnyRequest, current_user: CurrentUser) -> Response[Any]:
    """Looks at all of a file, stores what it holds, and says what became of it."""
    filled = read_form(request, Import)
    if (values := filled.values) is None:
        return await _page(request, current_user, filled, status_code=422)
    try:
        outcome = await _take(request, values, current_user)
    except Invalid as error:
        field = "text" if error.field == "file" and values.text else str(error.field)
        return await _page(request, current_user, wrong(filled, field, error.sentence), status_code=422)
    return await _page(request, current_user, outcome=outcome)


async def _take(request: AnyRequest, values: Import, owner: User) -> Outcome:
    """Raises `Invalid`; then nothing was stored."""

    async def check_address(url: str, allows_private: bool) -> str:
        return await address_fault(request, url, allows_private=allows_private)

    file = decode(_body(request, values))
    secrets, skipped = await _secrets(file, values.passphrase)
    settings = await check_file(file, secrets, check_address)
    outcome = await take_in(file, secrets, settings, by=owner.id)
    log.info("settings_imported", changed=len(outcome.changed), skipped=len(outcome.skipped))
    return msgspec.structs.replace(outcome, skipped=outcome.skipped + skipped)


def _body(request: AnyRequest, values: Import) -> bytes:
    uploaded = visit_of(request).files.get("file")
    if uploaded is not None and values.text:
        raise Invalid(_("Choose a file or paste its text: not both."), field="file")
    if uploaded is None and not values.text:
        raise Invalid(_("Choose a file, or paste its text below."), field="file")
    return values.text.encode("utf-8", "replace") if uploaded is None else uploaded


async def _secrets(file: File, passphrase: str) -> tuple[Secrets, list[str]]:
    """The secrets of a file, and what to say if they stay closed. Raises `Invalid`."""
    if file.secrets is None:
        return Secrets(), []
    if not passphrase:
        return Secrets(), [_("The secrets: no passphrase was given.")]
    return await unseal_secrets(file.secrets, passphrase), []


async def _page(
    request: AnyRequest,
    owner: User,
    filled: Filled[Any] | None = None,
    *,
    outcome: Outcome | None = None,
    status_code: int = 200,
) -> Response[Any]:
    context = {
        "group": "file",
        "groups": words.groups(),
        "form": filled.typed if filled else Fields(),
        "errors": filled.errors if filled else Fields(),
        "outcome": outcome,
        "least_chars": LEAST_PASSWORD_CHARS,
        "asks_password": (session := visit_of(request).session) is not None and not session.is_confirmed,
    }
    return page(request, "settings/file.html", await with_sidebar(owner, context), status_code=status_code)


ROUTES = [show, download, take]
