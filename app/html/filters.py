"""What templates say about values: ids of elements, times, numbers, sizes, durations, icons; and translation.

Everything here is pure. `install` puts it all into a Jinja environment.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

import jinja2
from markupsafe import Markup

from app import words
from app.providers import PROVIDERS

#: Between a number and its unit. page.js writes it too.
NARROW_SPACE = "\u202f"


class Row(Protocol):
    """Anything that has an id: a row of a table or what a template is given for one."""

    id: UUID


def install(environment: jinja2.Environment, static: Callable[[str], str]) -> None:
    """Add filters, `icon` and translation to `environment`. `static` turns a path under static/ into its address."""
    environment.filters |= {
        "dom_id": dom_id,
        "short_id": short_id,
        "when": when,
        "number": number,
        "bytes": in_bytes,
        "seconds": in_seconds,
        "dollars": in_dollars,
        "browser": browser,
        "provider_name": provider_name,
    }
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.globals |= {
        "static": static,
        "icon": functools.cache(lambda name: icon(name, static("vendor/icons.svg"))),
        "_": translated,
        "language": words.language,
    }


def translated(text: str, **values: object) -> Markup:
    """What Jinja's own `_` does, which looks it up and formats it anew each time: a third of the time of a page."""
    spoken = words.language()
    return _said(spoken, text) % values if values else _plain(spoken, text)


@functools.cache
def _said(spoken: str, text: str) -> Markup:
    return Markup(words.gettext(text))  # noqa: S704  # a sentence of our own templates, and of our own translators


@functools.cache
def _plain(spoken: str, text: str) -> Markup:
    return _said(spoken, text) % {}


def say(sentence: str, **values: object) -> Markup:
    """A sentence of ours or our translators' with values in it: escaped unless they are HTML themselves."""
    return Markup(sentence) % values  # noqa: S704


def text_of(html: str) -> str:
    """What people would read of it."""
    return Markup(html).striptags()  # noqa: S704  # for consoles and programs


def dom_id(row: Row, part: str = "") -> str:
    """The id of the element that shows `row`, or a part of it: message-…, message-…-tools; short for what streams."""
    match part:
        case "body":
            return f"b-{short_id(row.id)}"
        case "tail":
            return f"t-{short_id(row.id)}"
        case "":
            return f"{_noun(row)}-{row.id}"
        case _:
            return f"{_noun(row)}-{row.id}-{part}"


def short_id(identifier: UUID) -> str:
    """The last 12 hexadecimal digits: 48 random bits of a UUIDv7, enough within one page and short in every frame."""
    return identifier.hex[-12:]


def browser(user_agent: str) -> str:
    """A User-Agent header in words that its owner knows: "Firefox on Linux"; its beginning if it says nothing known.

    The order matters: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
    """
    name = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((system for mark, system in _SYSTEMS if mark in user_agent), "")
    if name and system:
        return words.gettext("%(browser)s on %(system)s") % {"browser": name, "system": system}
    return name or system or user_agent[:60]


_BROWSERS = (
    *(
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS", "Firefox"),
    ),
    *(("CriOS", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl")),
)
_SYSTEMS = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows")),
    *(("Mac OS X", "macOS"), ("Linux", "Linux")),
)


def provider_name(name: str) -> str:
    """What a provider is called: Parley's own in the reader's language, all others as their owner named them."""
    return words.gettext(name) if name in _own_names() else name


@functools.cache
def _own_names() -> frozenset[str]:
    with words.speaking(words.SOURCE):
        return frozenset(kind.label() for kind in PROVIDERS.values() if kind.is_builtin)


def when(moment: datetime) -> Markup:
    """A `<time>`: in UTC as it is sent, in the reader's own time and language once a script has seen it."""
    moment = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.strftime("%Y-%m-%d %H:%M UTC")
    )


def number(value: float) -> Markup:
    """A number in groups of three; at most one decimal."""
    rounded = round(value, 1)
    return _data(rounded, "number", f"{rounded:,.1f}".removesuffix(".0"))


def in_bytes(size: int) -> Markup:
    """A size in decimal units, as files and models are advertised: 4.7 GB."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    digits = 0 if unit == "B" or amount >= 99.95 else 1
    return _data(size, "bytes", f"{amount:.{digits}f}".removesuffix(".0") + NARROW_SPACE + unit)


def in_seconds(milliseconds: float) -> Markup:
    """A duration given in milliseconds: 80 ms, 1.2 s, 45 s, 2 min 5 s."""
    if milliseconds < 100:
        text = f"{milliseconds:.0f}{NARROW_SPACE}ms"
    elif milliseconds < 9_950:
        text = f"{milliseconds / 1000:.1f}{NARROW_SPACE}s"
    elif milliseconds < 59_500:
        text = f"{milliseconds / 1000:.0f}{NARROW_SPACE}s"
    else:
        minutes, seconds = divmod(round(milliseconds / 1000), 60)
        text = f"{minutes}{NARROW_SPACE}min {seconds}{NARROW_SPACE}s"
    return _data(milliseconds, "duration", text)


def in_dollars(amount: float | Decimal) -> Markup:
    """An amount of US dollars: at least two decimals, and of small ones two digits that say something: $0.0021."""
    value = Decimal(str(amount))
    digits = 2 if not value or value >= 1 else min(12, max(2, 1 - value.adjusted()))
    text = f"{value:,.{digits}f}"
    kept = max(3, len(text.rstrip("0")) - text.index("."))
    return _data(value, "dollars", "$" + text[: text.index(".") + kept])


def icon(name: str, sprite: str) -> Markup:
    """A picture out of the sprite, for the eye alone: words beside it, or a label on its button, say what it means."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>').format(sprite, name)


def _noun(row: Row) -> str:
    return type(row).__name__.lower()


def _data(value: float | Decimal, kind: str, text: str) -> Markup:
    """The value for programs (a script writes it again in the reader's language) and a text for everybody else."""
    return Markup('<data value="{}" data-as="{}">{}</data>').format(value, kind, text)
