"""What settings must be like together, and what only the database knows of them."""

import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from app.chat.access import is_offered
from app.database import fetch_row
from app.providers.addresses import url_fault
from app.settings import Settings
from app.words import gettext as _

#: "none", a file of the hub, or an address: what a starter model may be.
_STARTER = re.compile(r"none|hf:[^/\s]+/[^/\s]+/\S+\.gguf|https?://\S+\.gguf", re.IGNORECASE)


async def faults_of(after: Settings, changed: Collection[str], *, with_model: bool = True) -> dict[str, str]:
    """What would be wrong once these are changed: a sentence for the first changed setting that a broken rule is about.

    A rule about others is nobody's fault here, even if it is broken.
    """
    found: dict[str, str] = {}
    for names, sentence in _broken(after):
        if mine := [name for name in names if name in changed]:
            found.setdefault(mine[0], sentence)
    is_new = with_model and "default_model" in changed and after.default_model != ""
    if is_new and not await _is_model(after.default_model):
        found["default_model"] = _("There is no such model: write it as it stands in the list of models.")
    return found


def _broken(after: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
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
    if after.public_url and (fault := _site_fault(after.public_url)):
        yield ("public_url",), fault
    if not _STARTER.fullmatch(after.starter_model):
        yield (
            ("starter_model",),
            _("Write hf:organisation/repository/file.gguf, an address that ends in .gguf, or none."),
        )


def _site_fault(url: str) -> str:
    if fault := url_fault(url):
        return fault
    return _("Only the address itself, without a path.") if urlsplit(url).path not in ("", "/") else ""


async def _is_model(name: str) -> bool:
    return await fetch_row(_MODEL, name) is not None


_MODEL = f"""
SELECT 1 FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE $1 IN (m.name, p.name || '/' || m.name) AND {is_offered()} AND p.is_enabled AND m.is_embedding IS NOT TRUE LIMIT 1
"""
