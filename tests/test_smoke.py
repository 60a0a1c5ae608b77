"""The smoke test of a release passes for the real program, and says what is wrong with anything else."""

import asyncio
import contextlib
import http.server
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest

from app import __version__
from scripts.smoke import Failed, check_first_page, wait_until_healthy
from tests.conftest import StartProgram
from tests.programs import ROOT

FORM = '<link rel="stylesheet" href="/static/app.css?v=1"><form><input name="password"></form>'
WHOLE = {"/first-run": FORM, "/static/app.css?v=1": "", "/health": '{"status": "ok", "version": "1.2.0"}'}


@contextlib.contextmanager
def serving(pages: Mapping[str, str], first: str = "/first-run") -> Iterator[str]:
    """A server of these pages on a free port, whose first page leads to `first`; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self.send_response(303)
                self.send_header("Location", first)
                self.end_headers()
            elif self.path in pages:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(pages[self.path].encode())
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_a_new_parley_passes(server: StartProgram) -> None:
    program = await server()
    assert await smoke(program.base_url) == (0, f"Parley {__version__} is healthy and shows its first page.\n")


async def test_what_is_wrong_is_said_and_ends_with_an_error() -> None:
    with serving(WHOLE | {"/first-run": "Welcome back"}) as base_url:
        code, said = await smoke(base_url)
    assert (code, said) == (1, f"{base_url}/ leads to {base_url}/first-run, which does not ask for an owner.\n")


@pytest.mark.parametrize("health", ["", "busy", '{"status": "migrating"}'])
def test_a_server_that_is_not_healthy_fails(health: str) -> None:
    with serving({"/health": health}) as base_url, pytest.raises(Failed, match="/health"):
        wait_until_healthy(base_url, timeout_seconds=1)


def test_nothing_that_listens_fails_in_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Failed, match="did not answer within 1 s"):
        wait_until_healthy(f"http://127.0.0.1:{port}", timeout_seconds=1)


@pytest.mark.parametrize(
    ("pages", "first", "fault"),
    [
        (WHOLE | {"/sign-in": FORM}, "/sign-in", "does not ask for an owner"),
        (WHOLE | {"/first-run": FORM.replace(".css", ".txt")}, "/first-run", "names no stylesheet"),
        ({"/first-run": FORM}, "/first-run", re.escape("/static/app.css?v=1 answered 404")),
        ({}, "/first-run", "answered 404"),
    ],
)
def test_a_first_page_that_is_not_whole_fails(pages: Mapping[str, str], first: str, fault: str) -> None:
    with serving(pages, first) as base_url, pytest.raises(Failed, match=fault):
        check_first_page(base_url)


def test_a_first_page_that_is_whole_passes() -> None:
    with serving(WHOLE) as base_url:
        assert wait_until_healthy(base_url) == "1.2.0"
        check_first_page(base_url)


async def smoke(base_url: str) -> tuple[int | None, str]:
    """The exit code of the command, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.smoke", base_url, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode()
