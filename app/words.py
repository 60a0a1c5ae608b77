"""The words of the app in the reader's language: `gettext` and `ngettext` look up what the current request speaks.

The source is English; each other language is a folder below locale/ with a `parley.mo`, read once when it is first spoken.
What no request asked for (a worker, the console) is English.
"""

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from gettext import GNUTranslations

from app.paths import folder

SOURCE = "en"
#: Longer headers of languages are not read to their end.
MOST_CHARS = 500

_spoken: ContextVar[str] = ContextVar("language", default=SOURCE)


def gettext(text: str) -> str:
    """A sentence in the language that is spoken; in English where nobody translated it."""
    spoken = _spoken.get()
    return text if spoken == SOURCE else _translations(spoken).gettext(text)


def ngettext(singular: str, plural: str, count: int) -> str:
    """The form of a sentence that goes with a number."""
    spoken = _spoken.get()
    if spoken == SOURCE:
        return singular if count == 1 else plural
    return _translations(spoken).ngettext(singular, plural, count)


def language() -> str:
    """What is spoken, as `<html lang>` says it."""
    return _spoken.get()


def speak(language: str) -> None:
    """From here on, in this request: one of `languages()`."""
    _spoken.set(language)


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak a language for a while."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


@functools.cache
def languages() -> tuple[str, ...]:
    """English, and what there is a translation for."""
    found = (path.parent.parent.name for path in folder("locale").glob("*/LC_MESSAGES/parley.mo"))
    return (SOURCE, *sorted(found))


def own_name(language: str) -> str:
    """A language's name in itself: its translation of “English”."""
    with speaking(language):
        return gettext("English")


def choose(chosen: str, accepted: str) -> str:
    """The language that a reader is spoken to in: the one chosen, else the best of an Accept-Language header (RFC 9110)."""
    if chosen in languages():
        return chosen
    ranges = [_weighed(part) for part in accepted[:MOST_CHARS].split(",")]
    for weight, wanted in sorted(ranges, key=lambda pair: -pair[0]):
        if weight > 0 and wanted in languages():
            return wanted
    return SOURCE


def _weighed(part: str) -> tuple[float, str]:
    """One range of the header, as its weight and its language without a region."""
    tag, _semicolon, quality = part.partition(";")
    with contextlib.suppress(ValueError):
        return float(quality.strip().removeprefix("q=") or 1), tag.strip().partition("-")[0].lower()
    return 0, ""


@functools.cache
def _translations(language: str) -> GNUTranslations:
    with (folder("locale") / language / "LC_MESSAGES" / "parley.mo").open("rb") as file:
        return GNUTranslations(file)
