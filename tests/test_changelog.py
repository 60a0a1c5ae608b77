"""CHANGELOG.md keeps the form of Keep a Changelog 1.1, and a release moves what is unreleased under its version."""

import datetime
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from app import __version__
from scripts.changelog import CannotRelease, check, notes, release
from tests.programs import ROOT

DAY = datetime.date(2026, 12, 1)
HEADINGS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
TEXT = (ROOT / "CHANGELOG.md").read_text()

FIRST = """# Changelog

About it.

## [Unreleased]

### Added

* A thing.

[Unreleased]: ../../commits/HEAD
"""

SECOND = """# Changelog

About it.

## [Unreleased]

## [0.1.0] - 2026-12-01

### Added

* A thing.

[Unreleased]: ../../compare/v0.1.0...HEAD
[0.1.0]: ../../releases/tag/v0.1.0
"""


def check_form(text: str) -> None:
    """Raises `AssertionError` where the form is broken."""
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", version) for version in versions[1:]]
    assert all(dated)
    numbers = [tuple(map(int, match[1].split("."))) for match in dated]
    days = [datetime.date.fromisoformat(match[2]) for match in dated]
    assert numbers == sorted(set(numbers), reverse=True)
    assert days == sorted(days, reverse=True)
    links = re.findall(r"^\[([^\]]+)\]: \S+$", text, re.MULTILINE)
    assert links == ["Unreleased", *(match[1] for match in dated)]
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert kinds == [kind for kind in HEADINGS if kind in kinds], "known headings, each once, in the usual order"
        for part in re.split(r"^### .*$", section, flags=re.MULTILINE)[1:]:
            assert re.search(r"^\* ", part, re.MULTILINE), "a heading has entries"


def test_it_keeps_the_form() -> None:
    assert TEXT.startswith("# Changelog\n")
    assert "https://keepachangelog.com/en/1.1.0/" in TEXT
    check_form(TEXT)


def test_every_entry_is_a_sentence_and_stands_once() -> None:
    entries = re.findall(r"^\* (.+(?:\n  .+)*)", TEXT, re.MULTILINE)
    assert len(entries) == len({entry.casefold() for entry in entries}) > 50
    assert not [entry for entry in entries if not entry.rstrip().endswith(".")]


@pytest.mark.parametrize(
    "wrong",
    [
        FIRST.replace("[Unreleased]\n", "Unreleased\n"),
        FIRST.replace("### Added", "### News"),
        FIRST.replace("* A thing.", ""),
        FIRST.replace("[Unreleased]: ../../commits/HEAD", ""),
        SECOND.replace("2026-12-01", "1.12.2026"),
        SECOND.replace("2026-12-01", "2026-13-01"),
        SECOND.replace("[0.1.0]: ", "[0.1.1]: "),
    ],
)
def test_what_breaks_the_form_is_found(wrong: str) -> None:
    check_form(FIRST)
    check_form(SECOND)
    with pytest.raises((AssertionError, ValueError)):
        check_form(wrong)


def test_a_release_moves_what_is_unreleased_under_its_version() -> None:
    assert release(FIRST, "0.1.0", DAY) == SECOND
    more = SECOND.replace("## [0.1.0]", "### Fixed\n\n* Another thing, \\1 and \\g<0>.\n\n## [0.1.0]")
    later = release(more, "0.2.0", datetime.date(2027, 1, 2))
    check_form(later)
    assert later == SECOND.replace(
        "## [0.1.0]", "## [0.2.0] - 2027-01-02\n\n### Fixed\n\n* Another thing, \\1 and \\g<0>.\n\n## [0.1.0]"
    ).replace(
        "[Unreleased]: ../../compare/v0.1.0...HEAD",
        "[Unreleased]: ../../compare/v0.2.0...HEAD\n[0.2.0]: ../../releases/tag/v0.2.0",
    )


def test_ours_can_be_released() -> None:
    unreleased = re.compile(r"(?<=^## \[Unreleased\]\n).*?(?=^## |^\[)", re.MULTILINE | re.DOTALL)
    text = unreleased.sub("\n### Added\n\n* One more.\n\n", TEXT)
    assert notes(text) == "### Added\n\n* One more.\n"
    released = release(text, "99.0.0", datetime.date(2999, 1, 1))
    check_form(released)
    assert "## [99.0.0] - 2999-01-01\n\n### Added\n\n* One more.\n" in released


def test_what_cannot_be_released_is_refused_in_a_sentence() -> None:
    with pytest.raises(CannotRelease, match="nothing under"):
        release(SECOND, "0.2.0", DAY)
    with pytest.raises(CannotRelease, match="already"):
        release(SECOND.replace("## [0.1.0]", "* More.\n\n## [0.1.0]"), "0.1.0", DAY)
    with pytest.raises(CannotRelease, match="no section"):
        release("# Changelog\n", "0.1.0", DAY)
    for version in ("1.2", "v1.2.0", "1.02.0", "1.2.0-rc1", "1.2.0\n", ""):
        with pytest.raises(CannotRelease, match="not a version"):
            release(FIRST, version, DAY)
    check(FIRST, f"v{__version__}", DAY)
    with pytest.raises(CannotRelease, match=re.escape(__version__)):
        check(FIRST, "v99.0.0", DAY)


def test_the_command_reads_and_writes_the_changelog(tmp_path: pathlib.Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "app").mkdir()
    shutil.copy(ROOT / "app" / "__init__.py", tmp_path / "app")
    file = tmp_path / "CHANGELOG.md"
    file.write_text(FIRST)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.changelog", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=False, timeout=60, capture_output=True, text=True)

    assert run("check", f"v{__version__}").returncode == 0
    assert run("notes").stdout == "### Added\n\n* A thing.\n"
    assert run("release", "0.1.0").returncode == 0
    today = datetime.datetime.now(datetime.UTC).date()
    assert file.read_text() == SECOND.replace("2026-12-01", today.isoformat())
    again = run("release", "0.1.0")
    assert again.returncode == 1
    assert again.stderr == "The changelog has a section [0.1.0] already.\n"
    check_form(file.read_text())
