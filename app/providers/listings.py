"""Lists of models in the shapes that servers give them, and which protocol a list is written in.

`{"data": […]}`, `{"models": […]}`, a bare list, names alone, names as keys: all are read in every dialect. Null is an empty list.
"""

from collections.abc import Mapping
from typing import Any

from app.providers import failures
from app.providers.errors import BadAnswer
from app.providers.http import Wire
from app.words import gettext as _

Entry = dict[str, Any]

_BOXES = ("data", "models")
_NAMES = ("id", "name", "model")


async def fetch_list(wire: Wire, path: str, most: int) -> tuple[Mapping[str, Any], list[Entry]]:
    """What stands around the list (nothing around a bare one), and at most so many entries. Raises `ProviderError`."""
    answer = await wire.fetch("GET", path, Any)
    entries = entries_in(answer)
    if entries is None:
        sentence = _("%(name)s did not answer with a list of models. %(check)s")
        raise BadAnswer(sentence % {"name": wire.account.name, "check": failures.check_url(wire.account)})
    return answer if isinstance(answer, dict) else {}, entries[:most]


def entries_in(answer: Any) -> list[Entry] | None:
    """The entries of a list of models; None for what is no list. Names alone become entries that say nothing else."""
    if answer is None:
        return []
    if isinstance(answer, list):
        entries = [entry for entry in answer if isinstance(entry, dict)]
        return entries or [_named(name) for name in answer if isinstance(name, str)]
    if not isinstance(answer, dict):
        return None
    boxes = [answer[box] for box in _BOXES if box in answer]
    filled = [box for box in boxes if box is not None]
    if not filled:
        return [] if boxes else None
    return next((found for box in filled if (found := _entries_of_box(box)) is not None), None)


def name_in(entry: Entry, *places: str) -> str:
    """The first of these places that holds a text; empty if none does."""
    return next((entry[place] for place in places if isinstance(entry.get(place), str) and entry[place]), "")


def protocol_of(around: Mapping[str, Any], entries: list[Entry]) -> str:
    """The kind of provider whose protocol a list is written in, by what only that one says; empty if nothing tells."""
    first = entries[0] if entries else {}
    # OpenAI first: llama.cpp and others put Ollama's list beside it.
    if around.get("object") == "list" or first.get("object") == "model" or "owned_by" in first:
        return "openai"
    if first.get("type") == "model" or "has_more" in around:
        return "anthropic"
    if "supportedGenerationMethods" in first or name_in(first, "name").startswith("models/"):
        return "gemini"
    if "digest" in first or "modified_at" in first:
        return "ollama"
    return ""


def _entries_of_box(box: Any) -> list[Entry] | None:
    if isinstance(box, dict) and not any(inner in box for inner in _BOXES):
        is_by_name = all(isinstance(value, dict) for value in box.values())
        return [value | _named(name) for name, value in box.items()] if is_by_name else None
    return entries_in(box)


def _named(name: str) -> Entry:
    return dict.fromkeys(_NAMES, name)
