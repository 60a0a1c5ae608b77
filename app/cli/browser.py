"""The first page of a new instance, opened in the browser of this machine.

The address holds the token, and arguments of a process can be read by every account of the machine. So the browser is given
a file that only we can read and that leads on.
"""

import contextlib
import html
import os
import pathlib
import threading
import webbrowser
from collections.abc import Mapping

FILE = "first-run.html"
_ROOT = pathlib.Path("/")
_OF_CONTAINERS = (".dockerenv", "run/.containerenv")
_ELSEWHERE = ("CI", "SSH_CONNECTION", "SSH_TTY", "container", "KUBERNETES_SERVICE_HOST")


def can_open(environment: Mapping[str, str], *, platform: str, is_terminal: bool, root: pathlib.Path = _ROOT) -> bool:
    """Whether Parley was probably started by hand, at a display of this machine."""
    if not is_terminal or any(environment.get(name) for name in _ELSEWHERE):
        return False
    if any((root / name).exists() for name in _OF_CONTAINERS):
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_page(url: str, folder: pathlib.Path) -> None:
    """Open it without waiting. The file stays in `folder` until `forget_page`. The console shows the address in any case."""
    with contextlib.suppress(OSError):
        path = _write(url, folder)
        threading.Thread(target=_open, args=(path.as_uri(),), name="browser", daemon=True).start()


def forget_page(folder: pathlib.Path) -> None:
    """Delete the file that leads to the page, if there is one."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink()


def _write(url: str, folder: pathlib.Path) -> pathlib.Path:
    forget_page(folder)
    path = folder / FILE
    address = html.escape(url)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">\n')
        file.write(f'<title>Parley</title><a href="{address}">Parley</a>\n')
    return path


def _open(url: str) -> None:
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return
    # One that runs in the terminal would take it away from us.
    if type(found) is not webbrowser.GenericBrowser:
        found.open(url)
