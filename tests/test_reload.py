"""`make dev` shows a change soon after it was saved, survives one that cannot run, and leaves no process behind."""

import pathlib
import shutil
import signal
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.programs import ROOT, Program

FOLDERS = ("app", "locale", "migrations", "scripts", "static", "templates")


class Reloading(Program):
    """`python -m scripts.reload …`."""

    module = "scripts.reload"


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the checkout, to change files in."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "tree"


@pytest.fixture
def program(tree: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Reloading]:
    running = Reloading("--port", "0", data=tmp_path / "data", cwd=tree)
    running.start()
    yield running
    running.stop(timeout_seconds=60)


def replace(file: pathlib.Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def until_served(program: Reloading, path: str, text: str) -> None:
    """Waits until a process of Parley answers with this text. After a restart it has another port."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if text in httpx.get(program.base_url + path, timeout=10).text:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{path} never showed {text!r}:\n{program.text()}")


def test_what_is_changed_is_served(program: Reloading, tree: pathlib.Path) -> None:
    page, styles, version = (
        tree / "templates" / "first_run" / "show.html",
        tree / "static" / "css" / "tokens.css",
        tree / "app" / "__init__.py",
    )
    until_served(program, "/first-run", "</form>")
    replace(page, "</form>", "</form><p>From a changed template</p>")
    until_served(program, "/first-run", "From a changed template")
    program.wait_for_line(r"^Changed: templates/first_run/show\.html\. Restarting", 60)

    styles.write_text(styles.read_text() + "/* a changed stylesheet */")
    replace(version, '__version__ = "', '__version__ = "9.9.9-')
    until_served(program, "/health", "9.9.9-")
    assert "a changed stylesheet" in httpx.get(program.base_url + "/static/css/tokens.css").text


def test_an_error_is_shown_and_the_next_change_tries_again(program: Reloading, tree: pathlib.Path) -> None:
    version = tree / "app" / "__init__.py"
    replace(version, "__version__ =", "__version__ ==")
    program.wait_for_line("NameError", 60)
    program.wait_for_line(r"ended with exit code 1\. The next change starts it again", 60)
    replace(version, '__version__ == "', '__version__ = "9.9.9-')
    until_served(program, "/health", "9.9.9-")


def test_ctrl_c_ends_everything(program: Reloading) -> None:
    processes = psutil.Process(program.process.pid).children(recursive=True)
    assert len(processes) > 1
    program.process.send_signal(signal.SIGINT)
    assert program.process.wait(60) == 0
    assert not [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert "Parley has ended." in program.text()
