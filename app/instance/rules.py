"""What is wrong with a change of settings: rules that they break together, and what only the database knows."""

from collections.abc import Collection

from app.chat.access import is_offered
from app.database import fetch_row
from app.instance.consistency import broken
from app.settings import Settings
from app.settings.schema import TITLE_OFF
from app.words import gettext as _


async def faults_of(after: Settings, changed: Collection[str], *, with_model: bool = True) -> dict[str, str]:
    """What would be wrong once these are changed: a sentence for the first changed setting that a broken rule is about.

    A rule about others is nobody's fault here, even if it is broken.
    """
    found: dict[str, str] = {}
    for names, sentence in broken(after):
        if mine := [name for name in names if name in changed]:
            found.setdefault(mine[0], sentence)
    title_model = "" if after.title_model == TITLE_OFF else after.title_model
    for name, model in {"default_model": after.default_model, "title_model": title_model}.items():
        if with_model and name in changed and model and not await _is_model(model):
            found[name] = _("There is no such model: write it as it stands in the list of models.")
    return found


async def _is_model(name: str) -> bool:
    return await fetch_row(_MODEL, name) is not None


_MODEL = f"""
SELECT 1 FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE $1 IN (m.name, p.name || '/' || m.name) AND {is_offered()} AND p.is_enabled AND m.is_embedding IS NOT TRUE LIMIT 1
"""
