"""The changelog at a release: checks the tag, prints the notes, and moves what is unreleased under the version.

`python -m scripts.changelog check v1.2.0 | notes | release 1.2.0`. The form is Keep a Changelog 1.1.
"""

import argparse
import datetime
import pathlib
import re
import sys

from app import __version__

FILE = pathlib.Path(__file__).resolve().parent.parent / "CHANGELOG.md"

#: As the forge reads them, relative to the page of the changelog: the project can move.
FIRST_LINK = "[Unreleased]: ../../commits/HEAD"
COMPARE_LINK = "[Unreleased]: ../../compare/v{version}...HEAD"
VERSION_LINK = "[{version}]: ../../releases/tag/v{version}"

_VERSION = re.compile(r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)")
_UNRELEASED = re.compile(r"^## \[Unreleased\]\n(?P<body>.*?)(?=^## \[|^\[Unreleased\]: )", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"^\[Unreleased\]: .*$", re.MULTILINE)


class CannotRelease(Exception):
    """The changelog or the tag is not ready; the text is one sentence for the console."""


def check(text: str, tag: str, day: datetime.date) -> None:
    """Raises `CannotRelease` unless the tag names the version of the program, and there is something to release."""
    if tag != f"v{__version__}":
        raise CannotRelease(f"The tag is {tag}, but app/__init__.py has version {__version__}.")
    release(text, __version__, day)


def notes(text: str) -> str:
    """What is unreleased, without its heading. Raises `CannotRelease` if there is nothing."""
    found = _UNRELEASED.search(text)
    if found is None or not _LINK.search(text):
        raise CannotRelease("The changelog has no section [Unreleased] with a link.")
    if not (body := found["body"].strip()):
        raise CannotRelease("The changelog has nothing under [Unreleased].")
    return body + "\n"


def release(text: str, version: str, day: datetime.date) -> str:
    """The changelog after this release. Raises `CannotRelease`."""
    if not _VERSION.fullmatch(version):
        raise CannotRelease(f"{version} is not a version such as 1.2.0.")
    if f"## [{version}]" in text:
        raise CannotRelease(f"The changelog has a section [{version}] already.")
    section = f"## [Unreleased]\n\n## [{version}] - {day.isoformat()}\n\n{notes(text)}\n"
    links = f"{COMPARE_LINK.format(version=version)}\n{VERSION_LINK.format(version=version)}"
    return _LINK.sub(lambda _: links, _UNRELEASED.sub(lambda _: section, text))


def main(arguments: list[str]) -> None:
    """Run one command on the changelog of this checkout."""
    parser = argparse.ArgumentParser(prog="python -m scripts.changelog")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="is everything ready for this tag?").add_argument("tag")
    commands.add_parser("notes", help="print what is unreleased")
    commands.add_parser("release", help="move it under this version").add_argument("version")
    given = parser.parse_args(arguments)
    text, day = FILE.read_text(), datetime.datetime.now(datetime.UTC).date()
    try:
        match given.command:
            case "check":
                check(text, given.tag, day)
            case "notes":
                print(notes(text), end="")
            case "release":
                FILE.write_text(release(text, given.version, day))
    except CannotRelease as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
