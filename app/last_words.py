"""Why a child program failed, picked from its output, and what to do about known causes. Pure."""

import itertools
import pathlib
import re
import signal

#: Lines that say what went wrong, in programs of Postgres; what follows up to the next entry of the log belongs to them.
_LEVEL = re.compile(r"^.*?\b(?:error|FATAL|PANIC|ERROR):\s+")
_ADDED = re.compile(r"^.*?\b(?:DETAIL|HINT|detail|hint):\s+")
#: Errors that follow from another one, or that a client met while the server was starting.
_FOLLOWS = re.compile(r"failed to remove|the database system is (?:starting up|shutting down|not )")
_MOST_CHARS = 600

#: Pattern → what to do, the first that is found. `{folder}` is the data folder.
_WAYS = {
    r"error while loading shared libraries: (?P<it>[^\s:]+)": "Install the system package that provides {it}.",
    r"(?<![\w.+-])(?P<it>lib[\w.+-]+): cannot open shared object file": "Install the system package that provides {it}.",
    r"(?i)shared memory segment[^:\n]{0,40}: No space left|/dev/shm[^:\n]{0,40}: No space left|resize shared memory": (
        "Give it more shared memory: /dev/shm is full (in a container: --shm-size=256m)."
    ),
    r"No space left on device|disk quota exceeded": "Free up space on the disk of {folder}.",
    r"Cannot allocate memory|out of memory|signal 9": "Free some memory.",
    r"Read-only file system": "Set PARLEY_DATA to a folder that can be written.",
    r"(?i)permission denied|operation not permitted|not owned|wrong ownership": (
        "Give {folder} and everything in it to the account that runs Parley."
    ),
    r"(?i)invalid locale|locale name|LC_[A-Z]+": "Set LC_ALL=C.UTF-8.",
    r"Exec format error|signal 4\b|[Ii]llegal instruction": "It was built for another processor.",
    r"GLIBC_[\d.]+|GLIBCXX_[\d.]+|version \S{1,40} not found": "It needs a newer system.",
    r"pg_control|checkpoint record|invalid page|incorrect checksum|not read file": "Its files are damaged: restore a backup.",
    r'lock file "[^"\n]*" already exists|another server might be running': "Stop the other Postgres that uses {folder}.",
}


#: What to do where nothing better is known.
_OTHERWISE = "If nothing else helps, set DATABASE_URL to a Postgres of your own."


def sentence(what: str, words: str, code: int | None, folder: pathlib.Path) -> str:
    """What happened to a program of Postgres, why in its own words, and what to do."""
    reason = telling(words) or end_of(code)
    return f"{what}: {reason}. {way_on(f'{words} {reason}', str(folder)) or _OTHERWISE}"


def telling(text: str) -> str:
    """The lines that say why, as one: the first error with what is added to it, else the last three lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [number for number, line in enumerate(lines) if _LEVEL.search(line) and not _FOLLOWS.search(line)]
    if errors:
        first = errors[0]
        chosen = [lines[first], *itertools.takewhile(_ADDED.search, lines[first + 1 :])]
    elif "Traceback (most recent call last):" in lines:
        chosen = lines[-1:]
    else:
        chosen = lines[-3:]
    shown = "; ".join(_plain(line) for line in chosen)
    return "".join(letter if letter.isprintable() else " " for letter in shown)[:_MOST_CHARS].rstrip(".; ")


def end_of(code: int | None) -> str:
    """How a program ended that printed nothing."""
    if code is None:
        return "it did not say why"
    if code >= 0:
        return f"it ended with the code {code} and did not say why"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    return f"it was ended by signal {-code} ({name})"


def way_on(text: str, folder: str = "") -> str:
    """What to do, as a sentence; '' where nothing is known."""
    for pattern, advice in _WAYS.items():
        if found := re.search(pattern, text):
            return advice.format(folder=folder, **found.groupdict())
    return ""


def _plain(line: str) -> str:
    """A line without the time, the process and the level before it."""
    return _ADDED.sub("", _LEVEL.sub("", line, count=1), count=1).rstrip(".?")
