"""Opening the first page in a browser: only where somebody sits before it, and without showing its token to others."""

import pathlib
import queue
import stat
import webbrowser
from collections.abc import Iterator

import pytest

from app.cli.browser import FILE, can_open, forget_page, open_page

LINK = "http://127.0.0.1:8000/first-run?token=ABCD-EFGH-IJKL-MNOP&x=\"'<"


class Desktop(webbrowser.BaseBrowser):
    """A browser of a desktop that remembers what it was asked to open."""

    def __init__(self) -> None:
        super().__init__("desktop")
        self.opened: queue.Queue[str] = queue.Queue()

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.put(url)
        return True


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """The browser that Python's own module finds first."""
    found = Desktop()
    monkeypatch.setenv("BROWSER", "desktop-of-tests")
    webbrowser.register("desktop-of-tests", None, found, preferred=True)
    yield found
    webbrowser._tryorder = None  # type: ignore[attr-defined]  # it looks for them again
    webbrowser._browsers.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, "linux", False),
        ({"SSH_TTY": "/dev/pts/0"}, "darwin", False),
        ({"DISPLAY": ":0", "container": "podman"}, "linux", False),
        ({"DISPLAY": ":0", "KUBERNETES_SERVICE_HOST": "192.0.2.9"}, "linux", False),
    ],
)
def test_a_page_is_opened_where_a_person_sits_before_a_display(
    tmp_path: pathlib.Path, environment: dict[str, str], platform: str, expected: bool
) -> None:
    assert can_open(environment, platform=platform, is_terminal=True, root=tmp_path) is expected
    assert not can_open(environment, platform=platform, is_terminal=False, root=tmp_path)


@pytest.mark.parametrize("name", [".dockerenv", "run/.containerenv"])
def test_a_container_opens_nothing(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert not can_open({"DISPLAY": ":0"}, platform="linux", is_terminal=True, root=tmp_path)


def test_the_browser_is_given_a_file_that_leads_on_and_no_token(tmp_path: pathlib.Path, desktop: Desktop) -> None:
    (tmp_path / FILE).write_text("left behind by a process that was killed")
    (tmp_path / FILE).chmod(0o644)
    open_page(LINK, tmp_path)
    assert desktop.opened.get(timeout=60) == (tmp_path / FILE).as_uri()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    written = (tmp_path / FILE).read_text()
    assert (
        'content="0; url=http://127.0.0.1:8000/first-run?token=ABCD-EFGH-IJKL-MNOP&amp;x=&quot;&#x27;&lt;"' in written
    )
    forget_page(tmp_path)
    assert list(tmp_path.iterdir()) == []
    forget_page(tmp_path)


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: pathlib.Path, desktop: Desktop) -> None:
    open_page(LINK, tmp_path / "none")
    assert desktop.opened.empty()
