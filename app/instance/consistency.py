"""Rules that one setting's type cannot say: addresses, and settings that must go together. The same for every source.

What the environment or the command line gives must keep them, or nothing starts; a stored value that breaks one is ignored.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from app.database_url import BadAddress, to_dsn
from app.origins import origin_of
from app.server_url import url_fault
from app.settings import FIELDS, Effective, Settings, over_stored, refusal
from app.words import gettext as _

#: "none", a file of the hub, or an address: what a starter model may be.
_STARTER = re.compile(r"none|hf:[^/\s]+/[^/\s]+/\S+\.gguf|https?://\S+\.gguf", re.IGNORECASE)


def check_given(held: Effective) -> None:
    """Raises `BadSetting` for the first setting of the environment or the command line that breaks a rule."""
    for names, sentence in broken(held.values):
        if given := [name for name in names if held.is_locked(name)]:
            raise refusal(given[0], held.sources[given[0]], str(getattr(held.values, given[0])), sentence)


def usable(stored: Mapping[str, Any], held: Effective) -> tuple[dict[str, Any], dict[str, str]]:
    """The stored values that keep the rules over `held`, which holds none; and the others, each with what it breaks."""
    kept, ignored = dict(stored), dict[str, str]()
    while faulty := _faulty(kept, held):
        ignored |= faulty
        kept = {name: value for name, value in kept.items() if name not in faulty}
    return kept, ignored


def _faulty(stored: Mapping[str, Any], held: Effective) -> dict[str, str]:
    over = {name: value for name, value in stored.items() if not held.is_locked(name)}
    after = msgspec.structs.replace(held.values, **over)
    found = reversed(list(broken(after)))  # of several that one value breaks, the first is said
    return {name: sentence for names, sentence in found for name in names if name in over}


def broken(after: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each broken rule: the settings that it is about, and a sentence."""
    deadline = after.generation_deadline_seconds
    if after.first_token_timeout_seconds > deadline:
        names = ("first_token_timeout_seconds", "generation_deadline_seconds")
        yield names, _("The wait for the beginning of an answer cannot be longer than the total time for one.")
    if after.idle_timeout_seconds > deadline:
        names = ("idle_timeout_seconds", "generation_deadline_seconds")
        yield names, _("The wait within an answer cannot be longer than the total time for one.")
    most, window = after.default_max_tokens, after.default_context_window
    if most is not None and window is not None and most >= window:
        names = ("default_max_tokens", "default_context_window")
        yield names, _("The longest answer must be smaller than the context window.")
    if fault := url_fault(after.hub_url):
        yield ("hub_url",), fault
    yield from _secrets_left_behind(after)
    if after.public_url and (fault := _site_fault(after.public_url)):
        yield ("public_url",), fault
    if after.database_url and (fault := _database_fault(after.database_url)):
        yield ("database_url",), fault
    if not _STARTER.fullmatch(after.starter_model):
        yield (
            ("starter_model",),
            _("Write hf:organisation/repository/file.gguf, an address that ends in .gguf, or none."),
        )


def strayed_secrets(values: Settings, origins: Mapping[str, str]) -> dict[str, str]:
    """The stored secrets that are for another origin than the address that holds, each with a sentence.

    `origins`: setting → what it was stored for; empty where an older version did not say.
    """
    found = {}
    for name, origin in origins.items():
        address = FIELDS[name].address if name in FIELDS else ""
        if address and origin and origin != origin_of(getattr(values, address)):
            found[name] = _("It is for %(origin)s and is not sent elsewhere. Enter it again.") % {"origin": origin}
    return found


def _secrets_left_behind(after: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """An address that a secret of the environment is not for: that one goes with the address of the environment alone."""
    given = over_stored({})
    for name, field in FIELDS.items():
        if not field.address or not given.is_locked(name):
            continue
        origin = origin_of(getattr(given.values, field.address))
        if origin != origin_of(getattr(after, field.address)):
            sentence = _("%(secret)s is for %(origin)s alone: set %(variable)s beside it, or take it away.")
            named = {"secret": field.variable, "origin": origin, "variable": FIELDS[field.address].variable}
            yield (field.address,), sentence % named


def _site_fault(url: str) -> str:
    if fault := url_fault(url):
        return fault
    return _("Only the address itself, without a path.") if urlsplit(url).path not in ("", "/") else ""


def _database_fault(url: str) -> str:
    try:
        to_dsn(url)
    except BadAddress as error:
        return str(error)
    return ""
