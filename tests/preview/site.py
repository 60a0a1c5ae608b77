"""Every template with plausible rows, served as the app serves them: the real Jinja environment, filters and headers.

To look at it with your own eyes: `python -m tests.preview.site`.
"""

import json
import mimetypes
import queue
import secrets
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jinja2

from app.controllers.static import BUNDLES
from app.html.filters import install
from tests.preview import pages

ROOT = Path(__file__).parents[2]
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types htmx"
)
#: An event that ends the connection, as a restart would.
CUT = object()


class Live:
    """What the fake event streams say, and what their readers asked. `open`: so many streams wait for what is said."""

    def __init__(self) -> None:
        self.connections: queue.Queue[str | None] = queue.Queue()  # a Last-Event-ID (or None) per connection
        self.requests: list[str] = []
        self.messages: list[SimpleNamespace] = []
        self.threads: list[SimpleNamespace] = []
        self.refuse_next = 0
        self.open = 0
        self.request_id = uuid.UUID(int=98)
        self._events: queue.Queue[object] = queue.Queue()

    def send(self, data: str, identity: str = "", event: str = "") -> None:
        lines = [f"id: {identity}"] * bool(identity) + [f"event: {event}"] * bool(event)
        self._events.put("\n".join(lines + [f"data: {line}" for line in data.split("\n")]) + "\n\n")

    def tell(self, event: str, **data: Any) -> None:
        self.send(json.dumps(data, default=str), event=event)

    def cut(self) -> None:
        self._events.put(CUT)

    def next_event(self) -> object:
        return self._events.get()


class Site(ThreadingHTTPServer):
    """The pages of `pages.py` and one thread that is alive."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.live = Live()
        self.is_over = threading.Event()
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(ROOT / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        install(self.templates, lambda name: f"/static/{name}")
        self.templates.globals |= {
            "app_name": "Parley",
            "default_theme": "system",
            "is_demo": False,
            "sidebar_length": 40,
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def render(self, template: str, **context: Any) -> str:
        return self.templates.get_template(template).render({"csrf": "c" * 43, "flash": None} | context)


class Handler(BaseHTTPRequestHandler):
    """Answers as the app would, as far as a browser can tell."""

    server: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.server.live.requests.append(f"{self.command} {self.path}")
        if address.path.startswith("/static/"):
            self._static(address.path.removeprefix("/static/"))
        elif address.path.endswith("/events"):
            self._events(is_live=address.path == f"/threads/{pages.LIVE.id}/events")
        elif (text := pages.text_of(address.path)) is not None:
            self._answer(200, text.encode(), "text/plain; charset=utf-8")
        else:
            self._page(address.path, {name: values[0] for name, values in parse_qs(address.query).items()})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.live.requests.append(f"{self.command} {self.path}")
        self._answer(204, b"", "text/html")

    def _static(self, name: str) -> None:
        body = b"\n".join((ROOT / "static" / part).read_bytes() for part in BUNDLES.get(name, (name,)))
        self._answer(200, body, mimetypes.guess_type(name)[0] or "application/octet-stream")

    def _page(self, path: str, query: dict[str, str]) -> None:
        is_partial = self.headers.get("HX-Request") == "true"
        nonce = secrets.token_urlsafe(16)
        user = SimpleNamespace(**{**vars(pages.USER), **{k: v for k, v in query.items() if k in vars(pages.USER)}})
        found = pages.find(path, query, self.command, is_partial, self.server.live)
        status = found.pop("status_code", 200)
        template = found.pop("template")
        context = {"path": path, "nonce": nonce, "is_partial": is_partial, "user": user} | found
        html = self.server.render(template, **context)
        self._answer(status, html.encode(), "text/html; charset=utf-8", nonce)

    def _answer(self, status: int, body: bytes, media_type: str, nonce: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if nonce:
            self.send_header("Content-Security-Policy", POLICY.format(nonce=nonce))
        self.end_headers()
        self.wfile.write(body)

    def _events(self, is_live: bool) -> None:
        live = self.server.live
        if is_live and live.refuse_next:
            live.refuse_next -= 1
            self._answer(503, b"<html><body>Bad gateway</body></html>", "text/html")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        if not is_live:
            self.server.is_over.wait()
            self.close_connection = True
            return
        live.open += 1
        live.connections.put(self.headers.get("Last-Event-ID"))
        try:
            while (event := live.next_event()) is not CUT:
                self.wfile.write(str(event).encode())
                self.wfile.flush()
        finally:
            live.open -= 1
        self.close_connection = True


@contextmanager
def running_site() -> Iterator[Site]:
    """A site on a free port of this machine."""
    site = Site()
    server = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
    server.start()
    try:
        yield site
    finally:
        site.is_over.set()
        site.live.cut()
        site.shutdown()
        server.join()
        site.server_close()


if __name__ == "__main__":
    with running_site() as shown:
        print(*(shown.address + path for path in pages.PAGES), sep="\n")
        threading.Event().wait()
