"""Static files: found, compressed, cached for ever under their hash; nothing else is."""

import gzip
import re
from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from app.controllers.errors import EXCEPTION_HANDLERS
from app.controllers.guard import Guard
from app.controllers.static import BUNDLES, show_static, static
from app.paths import folder
from app.settings import settings
from tests.people import Browser


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    app = Litestar([show_static], exception_handlers=EXCEPTION_HANDLERS, openapi_config=None, logging_config=None)
    app.asgi_handler = Guard(app.asgi_handler, settings)
    async with Browser(app) as made:
        yield made


def test_every_stylesheet_is_in_one_of_the_two_that_pages_load() -> None:
    sheets = [f"css/{path.name}" for path in folder("static").joinpath("css").glob("*.css")]
    assert sorted(BUNDLES["app.css"] + BUNDLES["pages.css"]) == sorted(sheets)
    assert BUNDLES["app.css"][0] == "css/tokens.css", "the first one names the layers"


@pytest.mark.parametrize("name", ["app.css", "pages.css", "htmx.js", "js/page.js", "vendor/icons.svg", "img/icon.svg"])
async def test_a_file_is_kept_for_ever_under_its_hash(browser: Browser, name: str) -> None:
    address = static(name)
    assert re.fullmatch(rf"/static/{re.escape(name)}\?v=[0-9a-f]{{16}}", address)
    answer = await browser.get(address)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("app.css", "text/css"), ("js/page.js", "text/javascript"), ("vendor/icons.svg", "image/svg+xml")],
)
async def test_files_say_what_they_are(browser: Browser, name: str, media_type: str) -> None:
    assert (await browser.get(f"/static/{name}")).headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize("query", ["", "?v=0123456789abcdef", "?v="])
async def test_under_another_hash_a_file_is_asked_for_each_time(browser: Browser, query: str) -> None:
    answer = await browser.get(f"/static/js/page.js{query}")
    assert answer.headers["cache-control"] == "no-cache"
    again = await browser.get("/static/js/page.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await browser.get("/static/js/page.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


async def test_files_are_compressed_for_who_takes_it(browser: Browser) -> None:
    plain = await browser.get("/static/app.css", headers={"accept-encoding": "identity"})
    packed = await browser.get("/static/app.css", headers={"accept-encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.content == plain.content
    assert plain.content == b"\n".join(folder("static").joinpath(part).read_bytes() for part in BUNDLES["app.css"])
    assert len(gzip.compress(plain.content)) < len(plain.content)


@pytest.mark.parametrize(
    "path",
    ["/static/", "/static/nothing.js", "/static/js", "/static/../app/main.py", "/static/%2e%2e/app/main.py",
     "/static//etc/passwd", "/static/..%2f..%2fetc%2fpasswd", "/static/js/page.js%00", "/static/js\\page.js"],
)  # fmt: skip
async def test_nothing_but_static_files_is_found(browser: Browser, path: str) -> None:
    assert (await browser.get(path)).status_code == 404


def test_a_template_that_names_no_file_is_told() -> None:
    with pytest.raises(LookupError, match=r"no static file 'js/nothing\.js'"):
        static("js/nothing.js")
