"""Files under static/: read and compressed once, kept in memory, cached by browsers for ever under their hash."""

import functools
import gzip
import hashlib
import mimetypes
import pathlib
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath, FromQuery

from app.controllers.visit import visit_of
from app.errors import NotFound
from app.paths import folder
from app.words import gettext as _

#: Files that are served as one: name → its parts, in order. The first stylesheet names the layers; what only pages of sections
#: and forms need does not weigh on a chat.
BUNDLES = {
    "app.css": (
        "css/tokens.css",
        "css/controls.css",
        "css/layout.css",
        "css/sidebar.css",
        "css/thread.css",
        "css/endings.css",
        "css/print.css",
        "css/prose.css",
        "css/math.css",
        "css/highlight.css",
        "css/composer.css",
        "css/frame.css",
        "css/presets.css",
        "css/palette.css",
    ),
    "pages.css": ("css/pages.css", "css/models.css", "css/settings.css"),
    "js/page.js": (
        "js/keys.js",
        "js/page.js",
        "js/copy.js",
        "js/focus.js",
        "js/busy.js",
        "js/confirmation.js",
        "js/sidebar.js",
        "js/palette.js",
        "js/speech.js",
        "js/print.js",
    ),
    "js/stream.js": ("js/stream.js", "js/speed.js"),
    "js/composer.js": ("js/composer.js", "js/picker.js", "js/options.js", "js/slash.js", "js/revision.js"),
    "htmx.js": ("vendor/htmx.min.js", "vendor/hx-sse.min.js", "vendor/hx-csp.min.js"),
}

FOR_EVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"
COMPRESSED = ("text/", "image/svg+xml", "application/json")

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("application/manifest+json", ".webmanifest")


class StaticFile(msgspec.Struct, frozen=True):
    """One file as it is served. `gzipped` is None where compression gains nothing."""

    body: bytes
    gzipped: bytes | None
    media_type: str
    version: str


class StaticFiles:
    """The files of one folder. Only what was there at the start can be asked for: no path is ever joined."""

    def __init__(self, place: pathlib.Path) -> None:
        self._paths = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
        self._known: dict[str, StaticFile] = {}

    def find(self, name: str) -> StaticFile | None:
        """The file or bundle of that name."""
        if (known := self._known.get(name)) is not None:
            return known
        parts = BUNDLES.get(name, (name,))
        if any(part not in self._paths for part in parts):
            return None
        self._known[name] = file = _read(name, [self._paths[part] for part in parts])
        return file

    def address(self, name: str) -> str:
        """Where pages link it: with its hash, so that a changed file has another address. Raises `LookupError`."""
        if (file := self.find(name)) is None:
            raise LookupError(f"There is no static file {name!r}.")
        return f"/static/{name}?v={file.version}"


@functools.cache
def static_files() -> StaticFiles:
    """Ours."""
    return StaticFiles(folder("static"))


def static(name: str) -> str:
    """The address of a static file, for templates."""
    return static_files().address(name)


@get("/static/{path:path}")
async def show_static(
    request: Request[Any, Any, Any], path: FromPath[pathlib.PurePath], v: FromQuery[str] = ""
) -> Response[bytes]:
    """A file, in a form that the browser takes, or 304 if it has it already."""
    if (file := static_files().find(path.as_posix().lstrip("/"))) is None:
        raise NotFound(_("There is no such file."))
    headers = {
        "cache-control": FOR_EVER if v == file.version else ASK_EACH_TIME,
        "etag": f'"{file.version}"',
        "vary": "accept-encoding",
    }
    visit = visit_of(request)
    if headers["etag"] in visit.header(b"if-none-match"):
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    body = file.body
    if file.gzipped is not None and "gzip" in visit.header(b"accept-encoding"):
        body, headers["content-encoding"] = file.gzipped, "gzip"
    return Response(body, headers=headers, media_type=file.media_type)


def _read(name: str, paths: list[pathlib.Path]) -> StaticFile:
    body = b"\n".join(path.read_bytes() for path in paths)
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    gzipped = gzip.compress(body, mtime=0) if media_type.startswith(COMPRESSED) else None
    if gzipped is not None and len(gzipped) > 0.9 * len(body):
        gzipped = None
    return StaticFile(body, gzipped, media_type, hashlib.sha256(body).hexdigest()[:16])
