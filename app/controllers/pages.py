"""Values → pages: the Jinja environment, what every template gets, compression, redirects that say what was done."""

import contextlib
import functools
import gzip
import io
import secrets
import sys
from collections.abc import Mapping
from typing import Any

import jinja2
from litestar import Response

from app.chat.sidebar import LENGTH, list_threads
from app.controllers.static import static
from app.controllers.visit import Connection, Visit, cookie_of, visit_of
from app.errors import Unavailable
from app.html import filters
from app.paths import folder
from app.secrets import seal, unseal
from app.settings import settings
from app.tables.user import User
from app.words import gettext as _

HTML = "text/html"
LEAST_COMPRESSED_BYTES = 1_000
FLASH_COOKIE = "parley-flash"
FLASH_NAME_COOKIE = "parley-flash-name"


def page(
    connection: Connection,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """An answer drawn from a template, compressed if the browser takes it."""
    visit = visit_of(connection)
    body = page_text(connection, template, context).encode("utf-8", "replace")
    sent = {"vary": "accept-encoding, hx-request"} | dict(headers or {})
    if len(body) >= LEAST_COMPRESSED_BYTES and "gzip" in visit.header(b"accept-encoding"):
        body, sent["content-encoding"] = _gzip(body), "gzip"
    return Response(body, status_code=status_code, headers=sent, media_type=HTML)


def page_text(connection: Connection, template: str, context: Mapping[str, Any] | None = None) -> str:
    """The HTML of a template."""
    values = _globals(connection, visit_of(connection)) | dict(context or {})
    return environment().get_template(template).render(values)


async def with_sidebar(user: User, context: Mapping[str, Any]) -> dict[str, Any]:
    """A context with what the sidebar of a signed-in person's page shows."""
    threads, next_before = await list_threads(user.id)
    return {"threads": threads, "next_before": next_before} | dict(context)


def redirect(connection: Connection, path: str, *, flash: str = "", name: str = "") -> Response[bytes]:
    """On to another page of ours (303), which says `flash`, a key of `_flashes`, once; of `name`, where it says one."""
    visit = visit_of(connection)
    if flash:
        visit.set_cookie(FLASH_COOKIE, flash, seconds=60)
        keep_text(visit, FLASH_NAME_COOKIE, name, seconds=60)
    return Response(b"", status_code=303, headers={"location": path}, media_type=HTML)


def keep_text(visit: Visit, cookie: str, text: str, *, seconds: int) -> None:
    """Leave a text with the browser, sealed: only we can write it, and only we can read it."""
    if text:
        visit.set_cookie(cookie, seal(f"{cookie}\n{text}"), seconds=seconds)


def kept_text(visit: Visit, cookie: str) -> str:
    """What `keep_text` left under this name; '' if nothing is there, or nothing of ours."""
    sealed = cookie_of(visit.header(b"cookie"), cookie)
    with contextlib.suppress(Unavailable):
        kept_for, _line, text = unseal(sealed).partition("\n")
        return text if kept_for == cookie else ""
    return ""


def local_path(text: str) -> str:
    """The path if it leads to a page of ours, else '/': no other host, in none of the ways to tell browsers one."""
    is_local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_local and text.isascii() else "/"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates. They are read again when they change in Python's development mode (`python -X dev`)."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=sys.flags.dev_mode,
        cache_size=-1,
    )
    filters.install(made, static)
    made.globals |= {"is_demo": settings.demo, "sidebar_length": LENGTH}
    return made


def _globals(connection: Connection, visit: Visit) -> dict[str, Any]:
    return {
        "nonce": visit.nonce,
        "csrf": visit.csrf,
        "user": visit.user,
        "is_partial": visit.is_partial,
        "flash": _take_flash(visit),
        "app_name": settings.instance_name,
        "default_theme": settings.default_theme,
        "path": _open_path(visit) if visit.is_partial else connection.scope["path"],
    }


def _open_path(visit: Visit) -> str:
    """The page that is open, to which belongs what is drawn into it."""
    place = visit.header(b"hx-current-url").partition("://")[2].partition("/")[2]
    return "/" + place.partition("#")[0].partition("?")[0]


def _take_flash(visit: Visit) -> str | None:
    """What the last redirect wanted to say. The cookie holds a key, never a text: nobody can put words on our pages."""
    key = cookie_of(visit.header(b"cookie"), FLASH_COOKIE)
    if not key or (visit.is_partial and visit.header(b"hx-request-type") == "partial"):
        return None
    visit.set_cookie(FLASH_COOKIE, "", seconds=0)
    sentence = _flashes().get(key, "")
    if "%(name)s" not in sentence:
        return sentence
    visit.set_cookie(FLASH_NAME_COOKIE, "", seconds=0)
    name = kept_text(visit, FLASH_NAME_COOKIE)
    return sentence % {"name": name} if name else None


def _gzip(body: bytes) -> bytes:
    """Compressed, with a random number of bytes in front: a page's size tells nothing of its token (BREACH)."""
    buffer = io.BytesIO()
    padding = "p" * secrets.randbelow(64)
    with gzip.GzipFile(filename=padding, mode="wb", compresslevel=5, fileobj=buffer, mtime=0) as file:
        file.write(body)
    return buffer.getvalue()


def _flashes() -> dict[str, str]:
    return {
        "saved": _("Saved."),
        "deleted": _("Deleted."),
        "disconnected": _("%(name)s is disconnected."),
        "exported": _("Downloaded."),
        "model-added": _("%(name)s added."),
        "model-hidden": _("%(name)s is hidden."),
        "model-shown": _("%(name)s is not hidden any more."),
        "password-changed": _("Your password is changed. Every other sign-in of yours was ended."),
        "session-ended": _("That sign-in was ended."),
        "sessions-ended": _("Every other sign-in of yours was ended."),
        "signed-out": _("You are signed out."),
        "activated": _("%(name)s can sign in again."),
        "deactivated": _("%(name)s is signed out everywhere and cannot sign in any more."),
        "revoked": _("The invitation is revoked. Its link leads nowhere now."),
    }
